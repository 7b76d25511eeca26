package pages

import (
	"log"

	"google.golang.org/grpc"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	stores "github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// Shadow is the server of docs/adopting.md, step 1.
func Shadow(store stores.Store, scope interceptor.Scope) (*interceptor.Server, *onlyonce.ShadowReport, error) {
	report := new(onlyonce.ShadowReport)

	engine, err := onlyonce.New(store, onlyonce.WithObserver(report.With(onlyonce.SlogObserver(nil))))
	if err != nil {
		return nil, nil, err
	}

	protect, err := interceptor.NewServer(engine, scope, interceptor.WithPolicy(interceptor.Policy{
		Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn},
	}))

	return protect, report, err
}

// Validated is the server of docs/annotations.md.
func Validated(protect *interceptor.Server, payments paymentsv1.PaymentServiceServer) *grpc.Server {
	server := grpc.NewServer(protect.ServerOptions()...)
	paymentsv1.RegisterPaymentServiceServer(server, payments)

	if err := protect.Validate(server); err != nil {
		log.Fatal(err) // all problems at once, each with its method or field and a remedy
	}

	return server
}

// Declared is a server and a client of docs/annotations.md with declarations from a file.
func Declared(
	engine *onlyonce.Engine, scope interceptor.Scope, declared []interceptor.Declaration,
) (*interceptor.Server, []grpc.DialOption, error) {
	protect, err := interceptor.NewServer(engine, scope, interceptor.WithDeclarations(declared...))
	if err != nil {
		return nil, nil, err
	}

	dial, err := interceptor.DialOptions(interceptor.WithClientDeclarations(declared...))

	return protect, dial, err
}

// Downstream is the chain of docs/derived-keys.md.
func Downstream() []interceptor.ServerOption {
	opts := []interceptor.ServerOption{
		// 0 means the retention in the .proto, or 24 hours.
		interceptor.WithDownstream(0, shopv1.ChargeService_Charge_FullMethodName, shopv1.InventoryService_Withdraw_FullMethodName),
	}

	return opts
}

// Recovered is the policy of docs/operating.md.
func Recovered(askTheBank interceptor.RecoverFunc) interceptor.Policy {
	return interceptor.Policy{
		Policy:  onlyonce.Policy{KeepRequest: 4 << 10}, // bytes
		Recover: askTheBank,
	}
}

// SealedEngine is the engine of docs/sealed.md.
func SealedEngine(records stores.Store, secret []byte) (*onlyonce.Engine, error) {
	key, err := sealKey(secret)
	if err != nil {
		return nil, err
	}

	ring, err := stores.NewStaticKeys(key)
	if err != nil {
		return nil, err
	}

	return sealed(records, ring)
}

// Peers is the interceptor of docs/annotations.md.
func Peers(engine *onlyonce.Engine) (*interceptor.Server, error) {
	protect, err := interceptor.NewServer(engine, interceptor.ScopeFromPeerURI())

	return protect, err
}

// Observed is the store of docs/telemetry.md.
func Observed(url string, telemetry interface {
	StoreObserver(name string) stores.Observer
}) (*redisstore.Store, error) {
	records, err := redisstore.Open(url, redisstore.WithObserver(telemetry.StoreObserver("payments")))

	return records, err
}
