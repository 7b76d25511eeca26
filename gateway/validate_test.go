package oncegateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/proto"

	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
)

func TestValidateFindsAMuxThatDoesNotKeepTheContract(t *testing.T) {
	if err := oncegateway.Validate(nil); err == nil {
		t.Error("no mux is valid")
	}

	every := func(name string) (string, bool) { return name, true }
	early := func(_ context.Context, w http.ResponseWriter, _ proto.Message) error {
		w.WriteHeader(http.StatusCreated)

		return nil
	}

	failing := runtime.WithForwardResponseOption(func(context.Context, http.ResponseWriter, proto.Message) error {
		return errors.New("an unknown message")
	})

	for name, test := range map[string]struct {
		mux   *runtime.ServeMux
		texts []string
	}{
		"complete": {runtime.NewServeMux(oncegateway.Options()...), nil},
		"problems": {runtime.NewServeMux(oncegateway.Options(oncegateway.WithProblems())...), nil},
		"without options": {
			runtime.NewServeMux(), []string{
				"WithIncomingHeaderMatcher", "before all other options", "WithErrorHandler", "WithStreamErrorHandler", "binary metadata",
			},
		},
		"another error handler": {
			runtime.NewServeMux(append(oncegateway.Options(), runtime.WithErrorHandler(runtime.DefaultHTTPErrorHandler))...),
			[]string{"WithErrorHandler"},
		},
		"another handler of stream errors": {
			runtime.NewServeMux(append(oncegateway.Options(), runtime.WithStreamErrorHandler(runtime.DefaultStreamErrorHandler))...),
			[]string{"WithStreamErrorHandler"},
		},
		"handler of stream errors by Options": {
			runtime.NewServeMux(oncegateway.Options(oncegateway.WithStreamErrorHandler(runtime.DefaultStreamErrorHandler))...), nil,
		},
		"another matcher of headers of answers": {
			runtime.NewServeMux(append(oncegateway.Options(), runtime.WithOutgoingHeaderMatcher(every))...), []string{"binary metadata"},
		},
		"another matcher of trailers": {
			runtime.NewServeMux(append(oncegateway.Options(), runtime.WithOutgoingTrailerMatcher(every))...), []string{"binary metadata"},
		},
		"matchers by Options": {
			runtime.NewServeMux(oncegateway.Options(
				oncegateway.WithOutgoingHeaderMatcher(every), oncegateway.WithOutgoingTrailerMatcher(every))...), nil,
		},
		"Options twice": {
			runtime.NewServeMux(append(oncegateway.Options(), oncegateway.Options()...)...), []string{"WithIncomingHeaderMatcher"},
		},
		"a status written before": {
			runtime.NewServeMux(append([]runtime.ServeMuxOption{runtime.WithForwardResponseOption(early)}, oncegateway.Options()...)...),
			[]string{"before all other options"},
		},
		"an option that may fail before": {
			runtime.NewServeMux(append([]runtime.ServeMuxOption{failing}, oncegateway.Options()...)...), []string{"before all other options"},
		},
		"an option that may fail behind": {runtime.NewServeMux(append(oncegateway.Options(), failing)...), nil},
	} {
		t.Run(name, func(t *testing.T) { mustFind(t, oncegateway.Validate(test.mux), test.texts) })
	}
}

// Another matcher of headers loses the number of an attempt. The key is not its business.
func TestAnotherHeaderMatcherCannotLoseTheKey(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	mux := runtime.NewServeMux(append(oncegateway.Options(), runtime.WithIncomingHeaderMatcher(none))...)

	mustFind(t, oncegateway.Validate(mux), []string{"x-retry-attempt [] of the header X-Retry-Attempt"})
}

// mustFind checks that an error has as many problems as there are texts, each with its text.
func mustFind(t *testing.T, err error, texts []string) {
	t.Helper()

	if len(texts) == 0 {
		if err != nil {
			t.Error(err)
		}

		return
	}

	if err == nil {
		t.Fatalf("no problem is found, want %q", texts)
	}

	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(texts) {
		t.Fatalf("%d problems are found, want %d: %v", len(lines), len(texts), err)
	}

	for i, text := range texts {
		if !strings.Contains(lines[i], text) {
			t.Errorf("problem %d does not have %q: %s", i, text, lines[i])
		}
	}
}
