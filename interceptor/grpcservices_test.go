package interceptor_test

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

func TestKeyOfAHealthCheckIsThatOfItsOwnPolicyAndNotThatOfTheServer(t *testing.T) {
	const (
		service = "grpc.health.v1.Health"
		check   = "/grpc.health.v1.Health/Check"
	)

	declared := func(of string) interceptor.ServerOption {
		return interceptor.WithDeclarations(interceptor.Declaration{
			Of: of, Policy: &onlyoncev1.Policy{Key: onlyoncev1.KeyUse_KEY_USE_REQUIRED.Enum()},
		})
	}
	required := interceptor.Policy{Key: interceptor.KeyRequired}
	patient := interceptor.Policy{Policy: onlyonce.Policy{MaxWait: time.Second}}

	for name, test := range map[string]struct {
		own     interceptor.ServerOption
		refused bool
	}{
		"a policy of the service without a key": {interceptor.WithServicePolicy(service, patient), false},
		"a policy of the method without a key":  {interceptor.WithMethodPolicy(check, patient), false},
		"a policy of the service":               {interceptor.WithServicePolicy(service, required), true},
		"a policy of the method":                {interceptor.WithMethodPolicy(check, required), true},
		"a declaration of the service":          {declared(service), true},
		"a declaration of the method":           {declared(check), true},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{
				server:   []interceptor.ServerOption{interceptor.WithPolicy(required), test.own},
				register: func(s *grpc.Server) { healthv1.RegisterHealthServer(s, health.NewServer()) },
			}, nil)

			_, err := healthv1.NewHealthClient(w.conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
			if (err != nil) != test.refused {
				t.Errorf("a health check without a key: %v, want refused: %t", err, test.refused)
			}
		})
	}
}
