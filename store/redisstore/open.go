package redisstore

import (
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// clusterReload is how often a client asks a cluster for its masters. go-redis waits a minute by itself, so that after the
	// death of a master most of that minute is lost; half a second finds the new one as soon as it is elected.
	clusterReload = 500 * time.Millisecond
	// resends is how often the client sends an operation again, which is harmless, within the time of the operation.
	resends = 2
	// dials is how often a connection is tried at a time. go-redis tries it five times, a tenth of a second apart, which would
	// take the whole time of an operation where a server is down.
	dials          = 1
	resendFirst    = 8 * time.Millisecond
	resendMost     = 64 * time.Millisecond
	schemeCluster  = "+cluster://"
	schemeSentinel = "+sentinel://"
)

// Open returns a store on the Redis at a URL, with a client of its own, which Close closes. It runs Check, and fails where
// Check does.
//
//	redis://user:password@host:6379/0                               one server; rediss:// for TLS
//	redis+cluster://user:password@host1:6379?addr=host2:6379        a cluster; rediss+cluster://
//	redis+sentinel://user:password@host1:26379?addr=host2:26379&master_name=main   Sentinel; rediss+sentinel://
//
// User and password are those of the servers' access control lists. Options of go-redis, such as pool_size=50, may
// follow in the query; see [redis.ParseURL].
func Open(url string, opts ...Option) (*Store, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}

	s, err := New(client, opts...)
	if err != nil {
		_ = client.Close() // it has no use any more

		return nil, err
	}

	s.close = client.Close

	return s, nil
}

func dial(url string) (redis.UniversalClient, error) {
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

	switch {
	case strings.Contains(url, schemeCluster):
		o, err := parsed(url, schemeCluster, redis.ParseClusterURL)
		if err != nil {
			return nil, err
		}

		o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, quiet
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.DialerRetries = resends, resendFirst, resendMost, dials
		o.ClusterStateReloadInterval = clusterReload
		o.Dialer = dialer(o.TLSConfig, o.DialTimeout)

		return redis.NewClusterClient(o), nil
	case strings.Contains(url, schemeSentinel):
		o, err := parsed(url, schemeSentinel, redis.ParseFailoverURL)
		if err != nil {
			return nil, err
		}

		o.ContextTimeoutEnabled, o.DisableIdentity = true, true
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.DialerRetries = resends, resendFirst, resendMost, dials
		o.Dialer = dialer(o.TLSConfig, o.DialTimeout)

		return redis.NewFailoverClient(o), nil
	default:
		o, err := parsed(url, "://", redis.ParseURL)
		if err != nil {
			return nil, err
		}

		o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, quiet
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.DialerRetries = resends, resendFirst, resendMost, dials
		o.Dialer = dialer(o.TLSConfig, o.DialTimeout)

		return redis.NewClient(o), nil
	}
}

// parsed reads a URL, whose scheme ends in a way that go-redis does not know.
func parsed[O any](url, scheme string, parse func(string) (O, error)) (O, error) {
	try := func(url string) (O, error) { return parse(strings.Replace(url, scheme, "://", 1)) }

	o, err := try(url)
	if err != nil {
		return o, errURL(url, func(url string) error {
			_, err := try(url)

			return err
		})
	}

	return o, nil
}
