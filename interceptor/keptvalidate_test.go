package interceptor_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestValidateReportsErrorsThatAreKeptForLessTimeThanClientsRetry(t *testing.T) {
	const short = 30 * time.Second

	for name, tt := range map[string]struct {
		policy interceptor.Policy
		named  []string // empty where it holds
	}{
		"answers":        {interceptor.Policy{Policy: onlyonce.Policy{Retention: short}}, []string{"keeps outcomes for 30s"}},
		"errors":         {interceptor.Policy{Policy: onlyonce.Policy{ErrorRetention: short}}, []string{"keeps errors for 30s"}},
		"errors, longer": {interceptor.Policy{Policy: onlyonce.Policy{ErrorRetention: 2 * time.Minute}}, nil},
		"errors of a code": {
			interceptor.Policy{Retentions: map[codes.Code]time.Duration{codes.NotFound: short}}, []string{"keeps NOT_FOUND for 30s"},
		},
		"errors of a code, longer": {interceptor.Policy{Retentions: map[codes.Code]time.Duration{codes.NotFound: 2 * time.Minute}}, nil},
	} {
		server := grpc.NewServer()
		pb.RegisterTestServiceServer(server, new(service))

		err := validate(server, engine(t), interceptor.WithMethodPolicy(unaryCall, tt.policy))
		if tt.named == nil {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}

			continue
		}

		mustName(t, err, append(tt.named, unaryCall, "may take 2m0s", "raise the retention")...)

		if n := len(strings.Split(err.Error(), "\n")); n != 1 {
			t.Errorf("%s: %d problems, want one: %v", name, n, err)
		}
	}
}

// The policy of the engine is narrower than the default of a field that the .proto leaves out.
func TestValidateReportsAnEngineThatKeepsErrorsForLessTimeThanTheProtoPromises(t *testing.T) {
	hour := onlyonce.Policy{ErrorRetention: time.Hour}
	day := interceptor.Policy{Policy: onlyonce.Policy{ErrorRetention: 24 * time.Hour}}

	for settings, named := range map[string][]string{
		"retention { seconds: 86400 }": {
			"keeps errors for 1h0m0s by the policy of the engine", "promises clients 24h0m0s", "set error_retention in the .proto",
		},
		"retention { seconds: 86400 } error_retention { seconds: 600 }": nil,
		"key: KEY_USE_OPTIONAL": nil,
	} {
		_, service := declaration{method: method(settings)}.register(t)
		pay := "/" + string(service.FullName()) + "/Pay"

		made, err := onlyonce.New(memstore.New(), onlyonce.WithPolicy(hour))
		if err != nil {
			t.Fatal(err)
		}

		if err := validate(servicesOf(service), made); named != nil {
			mustName(t, err, append(named, pay)...)
		} else if err != nil {
			t.Errorf("%s: %v", settings, err)
		}

		if err := validate(servicesOf(service), made, interceptor.WithMethodPolicy(pay, day)); err != nil {
			t.Errorf("%s, with an option for the method: %v", settings, err)
		}
	}
}
