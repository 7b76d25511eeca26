package redisstore

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// maxLanes is how many lanes are kept before idle lanes are removed. Most clusters have fewer masters.
const maxLanes = 64

// servers has the lanes to the servers of a client. In a cluster each server has a lane, so that a slow server does not delay the others.
type servers struct {
	wire *wire
	// cluster is nil if the client has one server.
	cluster *redis.ClusterClient
	// only is the lane to a single server, and to servers of a cluster that the client does not know.
	only lane
	// known is set once the client knows the servers of the cluster. From then on it finds the server of a key without a wait.
	known atomic.Bool

	mu    sync.Mutex // locked before the mutex of a lane
	lanes map[*redis.Client]*lane
}

func (s *servers) init(w *wire) {
	s.wire, s.only.wire = w, w

	if cluster, ok := w.client.(*redis.ClusterClient); ok {
		s.cluster, s.lanes = cluster, make(map[*redis.Client]*lane)
	}
}

// lane returns the lane to the server of a key. It returns an error if the request times out before the servers of a cluster are known.
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
		return &s.only, nil // the operation gets the error
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

// load waits until the client knows the servers of the cluster. It returns an error only if the request times out.
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

// forgetIdle removes idle lanes to make room for another, because addresses come and go. The caller holds the lock. An operation may have a
// removed lane that it has not yet entered. It uses that lane, and shares no round trip with later operations.
func (s *servers) forgetIdle() {
	if len(s.lanes) >= maxLanes {
		maps.DeleteFunc(s.lanes, func(_ *redis.Client, l *lane) bool { return l.idle() })
	}
}

// part returns the address of the server of a key, as far as the client knows. It is empty before the first operation.
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
