package oncegateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A gateway whose service runs in the same process.
func Example() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeFromMetadata("authorization"))
	if err != nil {
		fmt.Println(err)

		return
	}

	channel := oncegateway.NewInProcess(protect)
	tillv1.RegisterTillServiceServer(channel, &till{})

	mux := runtime.NewServeMux(oncegateway.Options(oncegateway.WithProblems())...)
	if err := tillv1.RegisterTillServiceHandlerClient(context.Background(), mux, tillv1.NewTillServiceClient(channel)); err != nil {
		fmt.Println(err)

		return
	}

	fmt.Println("validated:", protect.Validate(channel), oncegateway.Validate(mux))

	for _, body := range []string{`{"cents": 100}`, `{"cents": 100}`, `{"cents": 200}`} {
		r := httptest.NewRequest(http.MethodPost, "/v1/customers/ann/charges", strings.NewReader(body))
		r.Header.Set("Idempotency-Key", `"order-1"`)
		r.Header.Set("Authorization", "Bearer ann")

		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)

		answer := w.Result()
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()

		fmt.Println(answer.StatusCode, answer.Header.Get("Idempotency-Status"), len(text) > 0)
	}
	// Output:
	// validated: <nil> <nil>
	// 200 executed true
	// 200 replayed true
	// 422 rejected true
}
