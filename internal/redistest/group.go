//go:build unix

package redistest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// group is servers that know each other.
type group []*Server

// living returns the servers that run and are not paused.
func (g group) living() group {
	var living group

	for _, s := range g {
		if s.isAlive() {
			living = append(living, s)
		}
	}

	return living
}

// at returns the server with an address.
func (g group) at(addr string) (*Server, error) {
	for _, s := range g {
		if s.Addr() == addr {
			return s, nil
		}
	}

	return nil, fmt.Errorf("no server has the address %q", addr)
}

// addrs returns where the servers are.
func (g group) addrs() []string {
	addrs := make([]string, 0, len(g))
	for _, s := range g {
		addrs = append(addrs, s.Addr())
	}

	return addrs
}

// agree returns the server that all asked servers name, if it is the same for all and alive.
func agree(asked group, named func(s *Server) (*Server, error)) (*Server, error) {
	var agreed *Server

	for _, s := range asked {
		master, err := named(s)

		switch {
		case err != nil:
			return nil, err
		case !master.isAlive():
			return nil, fmt.Errorf("%s does not know that %s is gone", s.Addr(), master.Addr())
		case agreed != nil && agreed != master:
			return nil, fmt.Errorf("%s and %s are named", agreed.Addr(), master.Addr())
		}

		agreed = master
	}

	if agreed == nil {
		return nil, errors.New("nobody is left to ask")
	}

	return agreed, nil
}

// soon is a context for a question that does not take long to answer, unless the machine stands still.
func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 20*time.Second)
}

// do sends a command whose reply is only "OK".
func (s *Server) do(args ...any) error {
	ctx, cancel := soon()
	defer cancel()

	return s.client.Do(ctx, args...).Err()
}

// section returns a section of the server's INFO.
func (s *Server) section(name string) (map[string]string, error) {
	ctx, cancel := soon()
	defer cancel()

	info, err := s.client.InfoMap(ctx, name).Result()
	for _, section := range info {
		return section, err // the only one
	}

	return nil, err
}

// inStep returns nil when a replica has all the data of its master.
func (s *Server) inStep() error {
	replication, err := s.section("replication")
	if err != nil {
		return err
	}

	if replication["role"] != "slave" || replication["master_link_status"] != "up" {
		return fmt.Errorf("%s: role %s, link %s", s.Addr(), replication["role"], replication["master_link_status"])
	}

	return nil
}
