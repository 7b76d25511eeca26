package retry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ServiceConfig converts p to a gRPC service config, for programs that prefer gRPC's own retries. Give it to grpc.WithDefaultServiceConfig.
// It holds for the named methods: write a method as in "/payments.v1.PaymentService/Pay", and all methods of a service as in
// "/payments.v1.PaymentService/". Without names it holds for all methods.
//
// Name only methods that the server protects. gRPC also retries calls without a key, and their effects happen again. The key of a call must
// be chosen outside of gRPC's retries: install UnaryClientKeyInterceptor of package interceptor, without UnaryClientRetryInterceptor.
//
// gRPC's retries differ from [Do]:
//   - Only UNAVAILABLE is retried.
//   - gRPC reads a server's pushback, and not its RetryInfo.
//   - The jitter is a fifth, up or down.
//   - gRPC does not retry once a response has begun, and it reports no attempts.
//   - It makes at most five attempts, unless grpc.WithMaxCallAttempts sets another bound.
//   - A Budget becomes retryThrottling, which counts for each connection separately.
//
// The error joins everything that a service config cannot express: AttemptTimeout and MaxElapsed, fewer than two attempts, and a Budget of
// more than 1000 tokens or of no whole number. It also has the problems of [Policy.Validate], and names that are no method names.
func ServiceConfig(p Policy, fullMethods ...string) (string, error) {
	problems := []error{p.Validate()}

	reject := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("retry: a service config cannot express "+format, args...))
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

// serviceConfig has the JSON form of gRFC A6 and A2: see
// https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto.
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

// methodNames splits full names of methods. Without names it returns the empty name, which stands for every method.
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

		// gRPC refuses a name that appears twice.
		if name := (methodName{Service: service, Method: method}); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}

	return names, errors.Join(problems...)
}

// seconds returns a duration in the JSON form of protobuf.
func seconds(d time.Duration) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%09d", d/time.Second, d%time.Second), "0"), ".") + "s"
}
