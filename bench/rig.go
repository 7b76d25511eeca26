package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// rig measures protections: each has a server in a process of its own, which starts at its first round.
type rig struct {
	ctx     context.Context //nolint:containedctx // the same for all calls
	here    bool            // the servers are in this process
	profile string          // of the server processes; empty: none
	program *redisProgram   // of the Redis with the records; nil if they are in memory

	redis   *redisServer
	servers map[string]*rigServer
	keys    atomic.Int64
}

// rigServer is a server in a process of its own, and its client.
type rigServer struct {
	process *serverProcess
	conn    *loopback
	client  testing.TestServiceClient
}

// Kinds of calls.
const (
	firstCall = "first call"
	replay    = "replay"
	anyCall   = "" // of a server that does not tell them apart
)

// replayed is the number of records that the replays use.
const replayed = 1_000

// variants are the protections, first calls before replays.
func (r *rig) variants(all []protection, calls int) (variants []variant) {
	for _, kind := range []string{anyCall, firstCall, replay} {
		for _, p := range all {
			for _, has := range p.kinds {
				if has == kind {
					variants = append(variants, timed(r.variant(p.name, kind, calls), calls))
				}
			}
		}
	}

	return variants
}

// variant makes calls of one kind to the server with a protection.
func (r *rig) variant(protection, kind string, calls int) variant {
	fresh := func(int) string { return newKey(replayed + int(r.keys.Add(1))) }
	known := func(i int) string { return newKey(i % replayed) }

	key, runs := fresh, int64(calls)
	if kind == replay {
		key, runs = known, 0
	}

	var (
		before   usage
		redisCPU time.Duration
	)

	return variant{
		way: protection, kind: kind,
		start: func() (call func(int) error, err error) {
			if err := r.prepare(protection, kind == replay, known); err != nil {
				return nil, err
			}

			before, redisCPU, err = r.usage(protection, (*serverProcess).ready)

			return func(i int) error { return r.call(protection, key(i)) }, err
		},
		finish: func(s *sample) error {
			after, redisAfter, err := r.usage(protection, (*serverProcess).usage)
			if err != nil {
				return err
			}

			if ran := after.Runs - before.Runs; ran != runs {
				return fmt.Errorf("the handler has run %d times, not %d times", ran, runs)
			}

			s.cpu = float64(after.CPU-before.CPU) / float64(calls)
			s.redisCPU = float64(redisAfter-redisCPU) / float64(calls)

			return nil
		},
	}
}

// prepare removes all records. If records is set, it makes the records to replay.
func (r *rig) prepare(protection string, records bool, key func(i int) string) error {
	if err := r.open(protection); err != nil {
		return err
	}

	if err := r.forget(protection); err != nil || !records {
		return err
	}

	_, err := measure(16, replayed, func(i int) error { return r.call(protection, key(i)) })

	return err
}

// open starts the servers that are not running yet.
func (r *rig) open(protection string) (err error) {
	redisAddr := ""

	if r.program != nil {
		if r.redis == nil {
			if r.redis, err = r.program.start(r.ctx); err != nil {
				return err
			}
		}

		redisAddr = r.redis.addr
	}

	if r.servers[protection] != nil {
		return nil
	}

	profile := r.profile
	if profile != "" {
		profile += "." + strings.ReplaceAll(protection, " ", "-")
	}

	process, err := r.start(protection, redisAddr, profile)
	if err != nil {
		return err
	}

	server := &rigServer{process: process, conn: &loopback{addr: process.addr}}

	if r.servers == nil {
		r.servers = make(map[string]*rigServer)
	}

	r.servers[protection] = server
	server.client, err = server.conn.dial()

	return err
}

func (r *rig) start(protection, redisAddr, profile string) (*serverProcess, error) {
	if r.here {
		return startHere(r.ctx, protection, redisAddr)
	}

	return startServer(r.ctx, protection, redisAddr, profile)
}

// forget removes all records.
func (r *rig) forget(protection string) error {
	if r.redis != nil {
		return r.redis.client.FlushAll(r.ctx).Err()
	}

	return r.servers[protection].process.forget()
}

func (r *rig) stop() (err error) {
	for _, server := range r.servers {
		server.conn.hangUp()

		err = errors.Join(err, server.process.stop())
	}

	if r.redis != nil {
		r.redis.stop()
	}

	return err
}

// usage returns the usage of a protection's server so far, and the CPU time of Redis.
func (r *rig) usage(protection string, ask func(*serverProcess) (usage, error)) (u usage, redisCPU time.Duration, err error) {
	u, err = ask(r.servers[protection].process)
	if err != nil || r.redis == nil {
		return u, 0, err
	}

	redisCPU, err = r.redis.cpu(r.ctx)

	return u, redisCPU, err
}

func (r *rig) call(protection, key string) error {
	ctx := metadata.AppendToOutgoingContext(r.ctx, interceptor.KeyHeader, key)
	_, err := r.servers[protection].client.UnaryCall(ctx, request)

	return err
}

var request = newRequest() //nolint:gochecknoglobals // never modified
