package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/onlyonce-go/onlyonce/examples/internal/child"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
)

// centsPerPiece is the price of every item.
const centsPerPiece = 250

// stage is the four services, each behind a proxy that simulates network faults.
type stage struct {
	demo    *demo
	without bool
	trace   string
	life    context.Context //nolint:containedctx // of the processes
	fail    context.CancelCauseFunc
	remove  func(context.Context) error // databases on a server
	members map[string]*member
}

// member is a service.
type member struct {
	config  service.Config
	line    *faultynet.Proxy // in front of it
	process *child.Process
}

// names returns the services. A called service comes before its callers.
func names() []string {
	return []string{service.Payments, service.Inventory, service.Orders, service.Gateway}
}

// open starts all services. It calls fail when one ends by itself.
func (d *demo) open(ctx context.Context, without bool, fail context.CancelCauseFunc) (*stage, error) {
	mode := "onlyonce"
	if without {
		mode = "plain"
	}

	s := &stage{
		demo: d, without: without, life: ctx, fail: fail, trace: filepath.Join(d.folder, mode+".jsonl"),
		members: make(map[string]*member), remove: func(context.Context) error { return nil },
	}

	if err := s.start(ctx, mode); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}

	return s, nil
}

func (s *stage) start(ctx context.Context, mode string) error {
	databases, err := s.makeDatabases(ctx, mode)
	if err != nil {
		return err
	}

	addresses := make(map[string]string)

	for i, name := range names() {
		m := &member{config: service.Config{
			Name: name, Database: databases[name], Without: s.without, Others: maps.Clone(addresses), Trace: s.trace,
			Lease: s.demo.lease, CentsPerPiece: centsPerPiece,
		}}
		if name == service.Orders {
			m.config.ParkAt = s.demo.parkAt
		}

		s.members[name] = m

		if m.line, err = faultynet.Listen("", s.demo.faults, s.demo.seed+uint64(i)); err != nil {
			return err
		}

		addresses[name] = m.line.Addr()
	}

	var all sync.WaitGroup

	errs := make([]error, len(names()))

	for i, name := range names() {
		all.Go(func() { errs[i] = s.launch(s.members[name]) })
	}

	all.Wait()

	return errors.Join(errs...)
}

// launch starts the process of a service.
func (s *stage) launch(m *member) error {
	process, err := child.Launch(s.life, m.config.Name, serviceCommand, &m.config, s.demo.childErrors, s.fail)
	if err != nil {
		return err
	}

	m.process = process
	m.line.Redirect(process.Addr)

	return nil
}

// kill kills the process of a service.
func (m *member) kill() {
	m.line.Redirect("") // another process may get its port
	m.process.Kill()
	m.line.Cut()
}

// settle stops the services after their running calls. A caller stops before the services that it calls.
func (s *stage) settle(ctx context.Context) error {
	for _, name := range slices.Backward(names()) {
		if err := s.members[name].process.Stop(ctx); err != nil {
			return err
		}
	}

	return nil
}

// close ends everything that still runs. It can be called at any time.
func (s *stage) close(ctx context.Context) error {
	for _, m := range s.members {
		if m.process != nil {
			m.process.Kill()
		}

		if m.line != nil {
			_ = m.line.Close() // there is nothing left to lose
		}
	}

	return s.remove(context.WithoutCancel(ctx))
}

// makeDatabases returns a database for each service.
func (s *stage) makeDatabases(ctx context.Context, mode string) (map[string]service.Database, error) {
	databases := make(map[string]service.Database)

	if s.demo.postgres == "" {
		for _, name := range names() {
			databases[name] = service.Database{File: filepath.Join(s.demo.folder, mode+"-"+name+".db")}
		}

		return databases, nil
	}

	where, err := url.Parse(s.demo.postgres)
	if err != nil {
		return nil, errors.New("the URL of the PostgreSQL server cannot be read") // it may have a password
	}

	server, err := (&service.Database{URL: s.demo.postgres}).Open()
	if err != nil {
		return nil, err
	}

	prefix := "onlyonce_" + strings.ToLower(rand.Text()[:8]) + "_" // one in 10^12
	drop := make([]string, 0, len(names()))

	s.remove = func(ctx context.Context) error {
		var errs []error

		for _, query := range drop {
			_, err := server.ExecContext(ctx, query)
			errs = append(errs, err)
		}

		return errors.Join(append(errs, server.Close())...)
	}

	for _, name := range names() {
		if _, err := server.ExecContext(ctx, "CREATE DATABASE "+prefix+name); err != nil {
			return nil, fmt.Errorf("making a database: %w", err)
		}

		drop = append(drop, "DROP DATABASE "+prefix+name+" WITH (FORCE)")
		own := *where
		own.Path = "/" + prefix + name
		databases[name] = service.Database{URL: own.String()}
	}

	return databases, nil
}
