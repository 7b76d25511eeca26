package main_test

import (
	"testing"

	chargesv1 "github.com/onlyonce-go/onlyonce/examples/clients/proto/charges/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestCodeOfThePageProtectsAMethodWithoutItsAnnotation(t *testing.T) {
	t.Parallel()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	scope := interceptor.ScopeShared()

	protect, err := interceptor.NewServer(engine, scope,
		interceptor.WithMethodPolicy(chargesv1.ChargeService_Charge_FullMethodName, interceptor.Policy{Key: interceptor.KeyRequired}),
	)
	if protect == nil || err != nil {
		t.Error(err)
	}
}
