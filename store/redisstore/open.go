package redisstore

import (
	"fmt"
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
		o, err := redis.ParseClusterURL(strings.Replace(url, schemeCluster, "://", 1))
		if err != nil {
			return nil, urlError(err)
		}

		o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, quiet
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.DialerRetries = resends, resendFirst, resendMost, dials
		o.ClusterStateReloadInterval = clusterReload

		return redis.NewClusterClient(o), nil
	case strings.Contains(url, schemeSentinel):
		o, err := redis.ParseFailoverURL(strings.Replace(url, schemeSentinel, "://", 1))
		if err != nil {
			return nil, urlError(err)
		}

		o.ContextTimeoutEnabled, o.DisableIdentity = true, true
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.DialerRetries = resends, resendFirst, resendMost, dials

		return redis.NewFailoverClient(o), nil
	default:
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, urlError(err)
		}

		o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, quiet
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.DialerRetries = resends, resendFirst, resendMost, dials

		return redis.NewClient(o), nil
	}
}

// urlError says how a URL is wrong. The parser's error may hold the whole of it, password included, so it is left out.
func urlError(error) error {
	return fmt.Errorf("redisstore: the URL cannot be read: write it as in %q, %q or %q", "redis://user:password@host:6379/0",
		"redis+cluster://host1:6379?addr=host2:6379", "redis+sentinel://host1:26379?addr=host2:26379&master_name=main")
}
