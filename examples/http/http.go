// Package http shows package oncehttp with other routers than net/http. Each function returns a payment server on which a request with an
// idempotency key charges once. For fiber, see docs/http.md.
package http

import (
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Middleware returns the middleware of all servers here. Put authentication in front of it, and take the scope from the authenticated
// caller.
func Middleware(engine *onlyonce.Engine) (func(http.Handler) http.Handler, error) {
	return oncehttp.Middleware(engine, oncehttp.ScopeFromHeader("X-Tenant"),
		oncehttp.WithRoute("POST /payments/{order}", oncehttp.Policy{Key: oncehttp.KeyRequired}))
}

// Charges counts the charges.
type Charges struct{ made atomic.Int64 }

// Made returns the number of charges.
func (c *Charges) Made() int64 { return c.made.Load() }

// payment is the answer of all servers.
type payment struct {
	Order  string `json:"order"`
	Number int64  `json:"number"`
}

func (c *Charges) charge(order string) payment { return payment{order, c.made.Add(1)} }

// Declined is an order that nobody can pay. It is answered with 402.
const Declined = "declined"

const noMoney = "the card is declined"

// Chi returns a server with chi.
func Chi(protect func(http.Handler) http.Handler, charges *Charges) http.Handler {
	router := chi.NewRouter()
	router.Use(protect) // behind authentication
	router.Post("/payments/{order}", func(w http.ResponseWriter, r *http.Request) {
		if chi.URLParam(r, "order") == Declined {
			http.Error(w, noMoney, http.StatusPaymentRequired)

			return
		}

		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(charges.charge(chi.URLParam(r, "order")))
	})

	return router
}

// Gin returns a server with gin. The gin engine is an http.Handler, so the middleware wraps the whole engine.
func Gin(protect func(http.Handler) http.Handler, charges *Charges) http.Handler {
	router := gin.New()
	router.POST("/payments/:order", func(c *gin.Context) {
		if c.Param("order") == Declined {
			c.String(http.StatusPaymentRequired, noMoney)

			return
		}

		c.JSON(http.StatusCreated, charges.charge(c.Param("order")))
	})

	return protect(router)
}

// Echo returns a server with echo.
func Echo(protect func(http.Handler) http.Handler, charges *Charges) http.Handler {
	router := echo.New()
	router.Use(echo.WrapMiddleware(protect), answered) // behind authentication
	router.POST("/payments/:order", func(c echo.Context) error {
		if c.Param("order") == Declined {
			return echo.NewHTTPError(http.StatusPaymentRequired, noMoney)
		}

		return c.JSON(http.StatusCreated, charges.charge(c.Param("order")))
	})

	return router
}

// answered answers the error of a handler. echo itself answers it when all middlewares have returned. That is too late: the middleware of
// the kit would record an empty 200.
func answered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := next(c); err != nil {
			c.Error(err)
		}

		return nil
	}
}
