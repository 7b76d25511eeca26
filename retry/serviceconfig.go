package retry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ServiceConfig renders p as a gRPC service config, for those who prefer gRPC's own retries: give it to grpc.WithDefaultServiceConfig.
// It is for the methods that are named, as in "/payments.v1.PaymentService/Pay", or "/payments.v1.PaymentService/" for all of a
// service; for all methods where none is. Name those alone that the server protects: gRPC retries calls without a key, too, and their
// effects happen again.
//
// Only UNAVAILABLE is retried. The key of a call has to be chosen outside of gRPC's retries: install the interceptor's key half,
// UnaryClientKeyInterceptor, without its retry half. What gRPC does otherwise than [Do]: it asks a server's pushback and not its RetryInfo;
// its jitter is of a fifth either way; it gives up once a response has begun; it reports no attempts; it makes at most five
// attempts unless grpc.WithMaxCallAttempts says otherwise, and a Budget, which becomes retryThrottling, counts for each connection
// alone.
//
// The error joins everything that a service config cannot say: AttemptTimeout and MaxElapsed; fewer than two attempts; a
// Budget of more than 1000 tokens, or of no whole number of them; and what [Policy.Validate] reports.
func ServiceConfig(p Policy, fullMethods ...string) (string, error) {
	problems := []error{p.Validate()}

	reject := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("retry: a service config cannot say "+format, args...))
	}

	if p.AttemptTimeout != 0 {
		reject("AttemptTimeout %v: leave it out, or give calls deadlines", p.AttemptTimeout)
	}

	if p.MaxElapsed != 0 {
		reject("MaxElapsed %v: leave it out, and give calls deadlines that are shorter than the servers' retention", p.MaxElapsed)
	}

	if p.MaxAttempts == 1 {
		reject("MaxAttempts 1: give at least 2, or no service config")
	}

	names, err := methodNames(fullMethods)
	problems = append(problems, err)

	p = p.WithDefaults()
	config := serviceConfig{MethodConfig: []methodConfig{{Name: names, RetryPolicy: nativePolicy{
		MaxAttempts:          p.MaxAttempts,
		InitialBackoff:       seconds(min(p.BaseDelay, p.MaxDelay)),
		MaxBackoff:           seconds(p.MaxDelay),
		BackoffMultiplier:    p.Multiplier,
		RetryableStatusCodes: []string{"UNAVAILABLE"},
	}}}}

	if b := p.Budget; b != nil {
		const most = 1000 * milli

		if b.max > most || b.max%milli != 0 {
			reject("a Budget of %v tokens: give a whole number from 1 to 1000", float64(b.max)/milli)
		}

		config.RetryThrottling = &throttling{MaxTokens: b.max / milli, TokenRatio: float64(b.ratio) / milli}
	}

	if err := errors.Join(problems...); err != nil {
		return "", err
	}

	text, err := json.Marshal(config)

	return string(text), err
}

// serviceConfig is what gRFC A6 and A2 define. See https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto.
type serviceConfig struct {
	MethodConfig    []methodConfig `json:"methodConfig"`
	RetryThrottling *throttling    `json:"retryThrottling,omitempty"`
}

type methodConfig struct {
	Name        []methodName `json:"name"`
	RetryPolicy nativePolicy `json:"retryPolicy"`
}

type methodName struct {
	Service string `json:"service,omitempty"`
	Method  string `json:"method,omitempty"`
}

type nativePolicy struct {
	MaxAttempts          int      `json:"maxAttempts"`
	InitialBackoff       string   `json:"initialBackoff"`
	MaxBackoff           string   `json:"maxBackoff"`
	BackoffMultiplier    float64  `json:"backoffMultiplier"`
	RetryableStatusCodes []string `json:"retryableStatusCodes"`
}

type throttling struct {
	MaxTokens  int64   `json:"maxTokens"`
	TokenRatio float64 `json:"tokenRatio"`
}

// methodNames takes names apart. None at all is one that means every method.
func methodNames(fullMethods []string) ([]methodName, error) {
	if len(fullMethods) == 0 {
		return []methodName{{}}, nil
	}

	var problems []error

	names := make([]methodName, 0, len(fullMethods))

	for _, full := range fullMethods {
		service, method, ok := strings.Cut(strings.TrimPrefix(full, "/"), "/")
		if !ok || !strings.HasPrefix(full, "/") || service == "" || strings.Contains(method, "/") {
			problems = append(problems, fmt.Errorf("retry: %q is not the full name of a method: write it as in %q", full, "/package.Service/Method"))
		}

		// gRPC refuses a name that is there twice.
		if name := (methodName{Service: service, Method: method}); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}

	return names, errors.Join(problems...)
}

// seconds is a duration as protobuf's JSON writes it.
func seconds(d time.Duration) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%09d", d/time.Second, d%time.Second), "0"), ".") + "s"
}
