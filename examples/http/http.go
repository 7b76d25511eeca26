// Package http shows package oncehttp with other routers than net/http. Each function returns a payment server on which a request with an
// idempotency key charges once. For fiber, see docs/http.md.
package http

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v4"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Middleware returns the middleware of all servers here. Put authentication in front of it, and take the scope from the authenticated
// caller.
//
// WithPolicy and not only WithRoute requires the key, because these routers match other paths than the pattern: echo also takes
// /payments/1/ for an order, and gin /payments%2F1.
func Middleware(engine *onlyonce.Engine) (func(http.Handler) http.Handler, error) {
	return oncehttp.Middleware(engine, oncehttp.ScopeFromHeader("X-Tenant"),
		oncehttp.WithPolicy(oncehttp.Policy{Key: oncehttp.KeyRequired}),
		oncehttp.WithRoute("POST /payments/{order}", oncehttp.Policy{}))
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

// Declined is an order that nobody can pay. It is answered with 402. Broken is an order whose handler panics.
const (
	Declined = "declined"
	Broken   = "broken"
)

const (
	noMoney  = "the card is declined"
	nonsense = "the provider has sent nonsense"
)

// Chi returns a server with chi.
func Chi(protect func(http.Handler) http.Handler, charges *Charges) http.Handler {
	router := chi.NewRouter()
	router.Use(chimiddleware.Recoverer, protect) // behind authentication
	router.Post("/payments/{order}", func(w http.ResponseWriter, r *http.Request) {
		switch chi.URLParam(r, "order") {
		case Declined:
			http.Error(w, noMoney, http.StatusPaymentRequired)

			return
		case Broken:
			panic(nonsense)
		}

		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(charges.charge(chi.URLParam(r, "order")))
	})

	return router
}

// Gin returns a server with gin. The gin engine is an http.Handler, so the middleware wraps the whole engine. Authentication belongs in
// front of both: a middleware of the engine itself does not run for a duplicate.
func Gin(protect func(http.Handler) http.Handler, charges *Charges) http.Handler {
	router := gin.New()
	router.Use(gin.Recovery())
	router.POST("/payments/:order", func(c *gin.Context) {
		switch c.Param("order") {
		case Declined:
			c.String(http.StatusPaymentRequired, noMoney)

			return
		case Broken:
			panic(nonsense)
		}

		c.JSON(http.StatusCreated, charges.charge(c.Param("order")))
	})

	return protect(router)
}

// Echo returns a server with echo.
func Echo(protect func(http.Handler) http.Handler, charges *Charges) http.Handler {
	router := echo.New()
	router.Use(recovered, protected(protect)) // behind authentication
	router.POST("/payments/:order", func(c echo.Context) error {
		switch c.Param("order") {
		case Declined:
			return echo.NewHTTPError(http.StatusPaymentRequired, noMoney)
		case Broken:
			panic(nonsense)
		}

		return c.JSON(http.StatusCreated, charges.charge(c.Param("order")))
	})

	return router
}

// recovered answers a panic with 500, as middleware.Recover of echo does.
func recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		defer func() {
			if problem := recover(); problem != nil {
				c.Error(fmt.Errorf("panic: %v", problem))
			}
		}()

		return next(c)
	}
}

// protected returns protect as a middleware of echo. echo.WrapMiddleware alone is not enough:
//   - echo itself answers the error of a handler when all middlewares have returned. That is too late: the middleware of the kit would
//     record an empty 200.
//   - WrapMiddleware leaves the response of the handler in the context. After a panic, a recovery in front would write to it, and the
//     client would get an empty 200.
func protected(protect func(http.Handler) http.Handler) echo.MiddlewareFunc {
	wrap := echo.WrapMiddleware(protect)

	return func(next echo.HandlerFunc) echo.HandlerFunc {
		answered := wrap(func(c echo.Context) error {
			if err := next(c); err != nil {
				c.Error(err)
			}

			return nil
		})

		return func(c echo.Context) error {
			front := c.Response()
			defer func() { c.SetResponse(front) }()

			return answered(c)
		}
	}
}
