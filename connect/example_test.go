package onceconnect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// charges answers the first attempt with UNAVAILABLE, before it has charged anybody.
type charges struct{ attempts, charged int }

func (c *charges) pay(_ context.Context, req *shopv1.PayRequest) (*shopv1.PayResponse, error) {
	c.attempts++
	if c.attempts == 1 {
		return nil, onlyonce.NotExecuted(connect.NewError(connect.CodeUnavailable, errors.New("the bank is closed for a moment")))
	}

	c.charged++

	return &shopv1.PayResponse{Receipt: fmt.Sprintf("receipt %d for order %s", c.charged, req.GetOrder())}, nil
}

func Example() {
	// The server. Generated code has a NewShopServiceHandler that makes the handlers of all methods.
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		panic(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(),
		interceptor.WithMethodPolicy(shopv1.ShopService_Watch_FullMethodName, interceptor.Policy{Key: interceptor.KeyIgnored}))
	if err != nil {
		panic(err)
	}

	server := onceconnect.NewServer(protect)
	if err := server.Validate("shop.v1.ShopService"); err != nil {
		panic(err)
	}

	shop := new(charges)
	pay := shopv1.ShopService_Pay_FullMethodName

	mux := http.NewServeMux()
	mux.Handle(pay, connect.NewUnaryHandlerSimple(pay, shop.pay, connect.WithInterceptors(server)))

	listening := httptest.NewServer(onceconnect.Handler(mux))
	defer listening.Close()

	// The client. Generated code has a NewShopServiceClient.
	client, err := onceconnect.NewClient(interceptor.WithRetry(retry.Policy{BaseDelay: time.Millisecond}))
	if err != nil {
		panic(err)
	}

	payments := connect.NewClient[shopv1.PayRequest, shopv1.PayResponse](
		onceconnect.HTTPClient(listening.Client()), listening.URL+pay, connect.WithInterceptors(client))

	// One call: the client makes a key, and retries with it.
	resp, err := payments.CallUnary(context.Background(), connect.NewRequest(&shopv1.PayRequest{Order: "7", Amount: 1999}))
	if err != nil {
		panic(err)
	}

	fmt.Println(resp.Msg.GetReceipt(), "/", resp.Trailer().Get(interceptor.StatusTrailer))

	// The same key twice: the second answer is a replay.
	ctx := onlyonce.ContextWithKey(context.Background(), "order-8")

	for range 2 {
		resp, err := payments.CallUnary(ctx, connect.NewRequest(&shopv1.PayRequest{Order: "8", Amount: 500}))
		if err != nil {
			panic(err)
		}

		fmt.Println(resp.Msg.GetReceipt(), "/", resp.Trailer().Get(interceptor.StatusTrailer))
	}

	// Output:
	// receipt 1 for order 7 / executed
	// receipt 2 for order 8 / executed
	// receipt 2 for order 8 / replayed
}
