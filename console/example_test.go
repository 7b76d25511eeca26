package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/console"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// isOperator and userName stand for your own authorization.
func isOperator(r *http.Request) bool { return r.Header.Get("X-Role") == "operator" }
func userName(r *http.Request) string { return r.Header.Get("X-User") }

// requireLogin stands for your own authentication middleware.
func requireLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if userName(r) == "" {
			http.Error(w, "log in", http.StatusUnauthorized)

			return
		}

		next.ServeHTTP(w, r)
	})
}

// Mount the pages in your own server, behind its authentication.
func ExampleNew() {
	mux := http.NewServeMux()

	if err := mountConsole(mux); err != nil {
		fmt.Println(err)

		return
	}

	for _, user := range []string{"", "ada"} {
		request := httptest.NewRequest(http.MethodGet, "/admin/onlyonce/", http.NoBody)
		request.Header.Set("X-User", user)

		response := httptest.NewRecorder()
		mux.ServeHTTP(response, request)

		page, _ := io.ReadAll(response.Body)
		fmt.Println(response.Code, strings.Contains(string(page), "No outcome is unknown."))
	}
	// Output:
	// 401 false
	// 200 true
}

func mountConsole(mux *http.ServeMux) error {
	records := memstore.New() // or the store of your service

	activity := new(console.Activity)

	engine, err := onlyonce.New(records, onlyonce.WithObserver(activity))
	if err != nil {
		return err
	}

	pages, err := console.New(
		console.Options{MaySettle: isOperator, MayReveal: isOperator, By: userName},
		console.Store{Name: "payments", Engine: engine, Activity: activity},
	)
	if err != nil {
		return err
	}

	mux.Handle("/admin/onlyonce/", requireLogin(http.StripPrefix("/admin/onlyonce", pages)))

	return nil
}
