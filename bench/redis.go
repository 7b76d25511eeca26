package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// What the servers are protected with.
const (
	onlyGRPC       = "gRPC"
	byTextbook     = "textbook"
	byTwoScripts   = "two scripts"
	byOnlyonce     = "onlyonce"
	withoutBatches = "onlyonce without batching"
	withoutIndex   = "onlyonce without index"
	autoPipelined  = "onlyonce, go-redis batches"
)

// protections are the interceptors of the servers, by name, and what closes their clients.
func protections(redisAddr string) (all map[string]grpc.UnaryServerInterceptor, closeAll func(), err error) {
	var closers []func() error

	closeAll = func() {
		for _, end := range slices.Backward(closers) {
			_ = end() // nothing follows
		}
	}

	plain := redis.NewClient(&redis.Options{Addr: redisAddr})
	closers = append(closers, plain.Close)
	all = map[string]grpc.UnaryServerInterceptor{onlyGRPC: alone, byTextbook: textbook{plain}.intercept}

	add := func(name string, s *redisstore.Store, problem error) {
		if problem == nil {
			closers = append(closers, s.Close)
			all[name], problem = protectedBy(s)
		}

		if problem != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, problem))
		}
	}
	open := func(name string, opts ...redisstore.Option) {
		s, problem := redisstore.Open("redis://"+redisAddr, opts...)
		add(name, s, problem)
	}

	open(byOnlyonce)
	own, problem := plain.AutoPipeline()
	if problem != nil {
		return all, closeAll, problem
	}

	closers = append(closers, own.Close)
	all[byTwoScripts] = twoScripts{own}.intercept

	open(withoutBatches, redisstore.WithoutBatching())
	open(withoutIndex, redisstore.WithoutIndex())

	batching := redis.NewClient(&redis.Options{Addr: redisAddr, ContextTimeoutEnabled: true})
	closers = append(closers, batching.Close)

	pipeliner, problem := batching.AutoPipeline()
	if problem != nil {
		return all, closeAll, errors.Join(err, problem)
	}

	closers = append(closers, pipeliner.Close)

	s, problem := redisstore.New(pipeliner)
	add(autoPipelined, s, problem)

	return all, closeAll, err
}

func protectedBy(s *redisstore.Store) (grpc.UnaryServerInterceptor, error) {
	engine, err := onlyonce.New(s)
	if err != nil {
		return nil, err
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return nil, err
	}

	return protect.Unary, nil
}

// redisCalls measures calls to servers in a process of their own, with their records in every Redis that there is.
func (c *config) redisCalls(ctx context.Context) error {
	for _, program := range redisPrograms() {
		if err := c.redisCallsOn(ctx, program); err != nil {
			return err
		}
	}

	return nil
}

func (c *config) redisCallsOn(ctx context.Context, program redisProgram) (err error) {
	rig := &redisRig{ctx: ctx, profile: c.serverProfile, program: program}
	defer func() { err = errors.Join(err, rig.stop()) }()

	for _, size := range []struct{ callers, calls int }{{1, 2_000}, {64, 10_000}, {512, 10_000}} {
		callers := "1 caller"
		if size.callers > 1 {
			callers = fmt.Sprintf("%d callers", size.callers)
		}

		err := c.play(ctx, &contest{
			title: program.name + ", " + callers,
			aim: "The textbook: GET, SET NX, SET, DEL with go-redis as it comes. Two scripts of one line, through go-redis' auto-pipeliner: " +
				"GET and SET; GET, compare and SET. CPU is that of the server process. Aims of first calls on Redis 7 and Valkey 9: with 64 " +
				"callers 2.0 and 2.2 times the calls of the textbook, 0.95 and 1.0 times those of the two scripts, and 0.37 and 0.25 of the " +
				"textbook's CPU of Redis; with one caller 0.88 and 0.76 of the textbook's latency. Aims of replays: 1.1 times the calls with " +
				"64 callers, 1.2 and 1.3 times with one.",
			callers: size.callers, calls: size.calls,
			heads: redisHeads(), columns: redisColumns,
			variants: rig.variants(size.calls), //nolint:contextcheck // the rig has it
		})
		if err != nil {
			return err
		}
	}

	return nil
}

func redisHeads() []string {
	const compared = "of the textbook's"

	return []string{
		"median latency", compared, "calls/s", compared, "of two scripts'",
		"CPU per call", "over gRPC", compared, "CPU of Redis per call", compared,
	}
}

// redisColumns compares with the textbook, with two scripts, and with gRPC, which is first.
func redisColumns(own, textbook, scripts, bare []sample) []string {
	latency := func(s sample) float64 { return s.latency }
	perSecond := func(s sample) float64 { return float64(time.Second) / s.nanos }
	cpu := func(s sample) float64 { return s.cpu }
	redisCPU := func(s sample) float64 { return s.redisCPU }
	micros := func(nanos float64) string { return fmt.Sprintf("%.1f µs", nanos/1000) }

	added := func(all []sample) []sample {
		over := make([]sample, len(all))
		for i := range all {
			over[i].cpu = all[i].cpu - bare[i].cpu
		}

		return over
	}

	return []string{
		micros(median(own, latency)),
		ratio(medianOf(own, textbook, latency, dividedBy)),
		fmt.Sprintf("%.0f", median(own, perSecond)),
		ratio(medianOf(own, textbook, perSecond, dividedBy)),
		ratio(medianOf(own, scripts, perSecond, dividedBy)),
		micros(median(own, cpu)),
		micros(median(added(own), cpu)),
		ratio(medianOf(added(own), added(textbook), cpu, dividedBy)),
		micros(median(own, redisCPU)),
		ratio(medianOf(own, textbook, redisCPU, dividedBy)),
	}
}

// ratio is a ratio, if there is one.
func ratio(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "-"
	}

	return fmt.Sprintf("%.2f", x)
}
