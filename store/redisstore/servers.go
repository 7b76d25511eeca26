package redisstore

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// maxLanes is how many lanes are kept at most before idle ones go. Most clusters have fewer masters.
const maxLanes = 64

// servers are the lanes to the servers of a client. In a cluster each server has a lane, so that a server that is slow does not hold up
// the others.
type servers struct {
	wire *wire
	// cluster is nil if the client has one server.
	cluster *redis.ClusterClient
	// only is the lane to a single server, and to those of a cluster that the client does not know.
	only lane
	// known is set when the client knows the servers of the cluster. From then on it names the server of a key without a wait.
	known atomic.Bool

	mu    sync.Mutex // is taken before that of a lane
	lanes map[*redis.Client]*lane
}

func (s *servers) init(w *wire) {
	s.wire, s.only.wire = w, w

	if cluster, ok := w.client.(*redis.ClusterClient); ok {
		s.cluster, s.lanes = cluster, make(map[*redis.Client]*lane)
	}
}

// lane is the lane to the server of a key. It fails if the time of the request is over before the servers of a cluster are known.
func (s *servers) lane(r *request, name string) (*lane, error) {
	if s.cluster == nil {
		return &s.only, nil
	}

	if !s.known.Load() {
		if err := s.load(r, name); err != nil {
			return nil, err
		}
	}

	server, err := s.cluster.MasterForKey(r.ctx, name)
	if err != nil {
		return &s.only, nil // the operation finds out
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	l := s.lanes[server]
	if l == nil {
		s.forgetIdle()

		l = &lane{wire: s.wire}
		s.lanes[server] = l
	}

	return l, nil
}

// load waits until the client knows the servers of the cluster. It fails only if the time of the request is over.
func (s *servers) load(r *request, name string) error {
	ctx, cancel := context.WithDeadline(r.ctx, r.deadline)
	defer cancel()

	err := s.wire.await(ctx, func() error {
		_, err := s.cluster.MasterForKey(ctx, name)

		return err //nolint:wrapcheck // dropped
	})
	if err == nil {
		s.known.Store(true)
	}

	return ctx.Err() //nolint:wrapcheck // wrapped by the operation
}

// forgetIdle makes room for another lane: servers come and go with their addresses. It is called with the lock. An operation may have
// been given one of the lanes and not yet have entered it. It uses the lane all the same, and shares no round trip with those that come
// later.
func (s *servers) forgetIdle() {
	if len(s.lanes) >= maxLanes {
		maps.DeleteFunc(s.lanes, func(_ *redis.Client, l *lane) bool { return l.idle() })
	}
}

// part is the address of the server that has a key, as far as the client knows. It is empty before the first operation.
func (s *servers) part(name string) string {
	if !s.known.Load() {
		return ""
	}

	server, err := s.cluster.MasterForKey(context.Background(), name)
	if err != nil {
		return ""
	}

	return server.Options().Addr
}
