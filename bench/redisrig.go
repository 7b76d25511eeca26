package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// redisRig is a Redis, a process with servers that use it, and their clients.
type redisRig struct {
	ctx     context.Context //nolint:containedctx // the same for all calls
	profile string          // of the server process, if it is to write one
	program redisProgram    // of Redis

	redis   *redisServer
	servers *serverProcess
	clients map[string]testing.TestServiceClient
	conns   []*loopback
	keys    atomic.Int64
}

const (
	firstCall = ": first call"
	replay    = ": replay"
	// replayed is over how many records replays are spread.
	replayed = 1_000
)

func (r *redisRig) variants(calls int) []variant {
	first := []string{byTextbook, byTwoScripts, byOnlyonce, withoutBatches, withoutIndex, autoPipelined}
	again := []string{byTextbook, byTwoScripts, byOnlyonce, withoutBatches}
	variants := append(make([]variant, 0, 1+len(first)+len(again)), r.variant(onlyGRPC, "", calls, firstCall))

	for _, server := range first {
		variants = append(variants, r.variant(server, firstCall, calls, firstCall))
	}

	for _, server := range again {
		variants = append(variants, r.variant(server, replay, calls, replay))
	}

	return variants
}

// redisRound is what is known of a round besides what the clients see.
type redisRound struct {
	took     []time.Duration // by call
	before   usage
	redisCPU time.Duration
}

// variant makes calls to the server with a protection, which are compared with those of another kind.
func (r *redisRig) variant(server, kind string, calls int, against string) variant {
	round := &redisRound{took: make([]time.Duration, calls)}
	fresh := func(int) string { return newKey(replayed + int(r.keys.Add(1))) }
	known := func(i int) string { return newKey(i % replayed) }

	key, runs := fresh, int64(calls)
	if kind == replay {
		key, runs = known, 0
	}

	return variant{
		name: server + kind, against: byTextbook + against, beside: byTwoScripts + against,
		start: func() (func(int) error, error) {
			if err := r.prepare(server, kind == replay, known); err != nil {
				return nil, err
			}

			before, redisCPU, err := r.usage()
			round.before, round.redisCPU = before, redisCPU

			return func(i int) error {
				began := time.Now()
				err := r.call(server, key(i))
				round.took[i] = time.Since(began)

				return err
			}, err
		},
		finish: func(s *sample) error {
			after, redisCPU, err := r.usage()
			if err != nil {
				return err
			}

			if ran := after.Runs - round.before.Runs; ran != runs {
				return fmt.Errorf("the handler has run %d times, not %d times", ran, runs)
			}

			slices.Sort(round.took)

			s.latency = float64(round.took[calls/2])
			s.cpu = float64(after.CPU-round.before.CPU) / float64(calls)
			s.redisCPU = float64(redisCPU-round.redisCPU) / float64(calls)

			return nil
		},
	}
}

// prepare leaves nothing in Redis but, where they are wanted, the records that are replayed.
func (r *redisRig) prepare(server string, records bool, key func(i int) string) error {
	if err := r.open(); err != nil {
		return err
	}

	if err := r.redis.client.FlushAll(r.ctx).Err(); err != nil || !records {
		return err
	}

	_, err := measure(16, replayed, func(i int) error { return r.call(server, key(i)) })

	return err
}

// open starts what is not yet started.
func (r *redisRig) open() (err error) {
	if r.clients != nil {
		return nil
	}

	r.redis, err = r.program.start(r.ctx)
	if err != nil {
		return err
	}

	r.servers, err = startServers(r.ctx, r.redis.addr, r.profile)
	if err != nil {
		return err
	}

	r.clients = make(map[string]testing.TestServiceClient)

	for name, addr := range r.servers.addrs {
		conn := &loopback{addr: addr}

		r.clients[name], err = conn.dial()
		if err != nil {
			return err
		}

		r.conns = append(r.conns, conn)
	}

	return nil
}

func (r *redisRig) stop() (err error) {
	for _, conn := range r.conns {
		conn.hangUp()
	}

	if r.servers != nil {
		err = r.servers.stop()
	}

	if r.redis != nil {
		r.redis.stop()
	}

	return err
}

func (r *redisRig) usage() (u usage, redisCPU time.Duration, err error) {
	u, err = r.servers.usage()
	if err != nil {
		return u, 0, err
	}

	redisCPU, err = r.redis.cpu(r.ctx)

	return u, redisCPU, err
}

func (r *redisRig) call(server, key string) error {
	client, ok := r.clients[server]
	if !ok {
		return errors.New("no such server")
	}

	_, err := client.UnaryCall(metadata.AppendToOutgoingContext(r.ctx, interceptor.KeyHeader, key), request)

	return err
}

var request = newRequest() //nolint:gochecknoglobals // never modified
