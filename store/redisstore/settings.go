package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// What go-redis' options are set to where the caller has not set them.
const (
	// clusterReload is the interval at which a client reads the masters of a cluster. With go-redis' own minute a client would not find a
	// new master for most of a minute. With half a second it finds it as soon as it is elected.
	clusterReload = 500 * time.Millisecond
	// resends is how often the client sends an operation again, which is harmless, within the time of the operation.
	resends     = 2
	resendFirst = 8 * time.Millisecond
	resendMost  = 64 * time.Millisecond
	// dials is how often a connection is tried at a time. go-redis tries it five times, a tenth of a second apart, which would
	// take the whole time of an operation where a server is down.
	dials = 1
	// connectionLife is how long a connection is used. An address may lead to another server after a failover.
	connectionLife       = 10 * time.Minute
	connectionLifeJitter = time.Minute
)

// SetOptions sets the options of a client as [Open] does, and returns them:
//
//	records, err := redisstore.New(redis.NewClient(redisstore.SetOptions(&redis.Options{Addr: "localhost:6379"})))
//
// The client then obeys the deadline of an operation, sends an operation up to three times, uses a connection for 10 minutes, and drops
// connections that lead to a server that has failed. Without these settings each connection that has died costs a failure.
//
// ContextTimeoutEnabled becomes true, DisableIdentity too, and maintenance notifications are switched off. Fields that the caller has
// set stay: MaxRetries, MinRetryBackoff, MaxRetryBackoff, DialerRetries, ConnMaxLifetime and its jitter. A Dialer is wrapped.
// The options belong to one client.
func SetOptions(o *redis.Options) *redis.Options {
	o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, quiet()
	o.Dialer = dialer(o.Dialer, o.TLSConfig, o.DialTimeout)

	setRetries(&o.MaxRetries, &o.MinRetryBackoff, &o.MaxRetryBackoff, &o.DialerRetries)
	setLife(&o.ConnMaxLifetime, &o.ConnMaxLifetimeJitter)

	return o
}

// SetClusterOptions is [SetOptions] for a cluster. Besides, the client learns every half second which servers are masters, unless
// ClusterStateReloadInterval is set.
func SetClusterOptions(o *redis.ClusterOptions) *redis.ClusterOptions {
	o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, quiet()
	o.Dialer = dialer(o.Dialer, o.TLSConfig, o.DialTimeout)
	o.ClusterStateReloadInterval = cmp.Or(o.ClusterStateReloadInterval, clusterReload)

	setRetries(&o.MaxRetries, &o.MinRetryBackoff, &o.MaxRetryBackoff, &o.DialerRetries)
	setLife(&o.ConnMaxLifetime, &o.ConnMaxLifetimeJitter)

	return o
}

// SetFailoverOptions is [SetOptions] for a master behind Sentinel. Before a new connection the client queries
// a sentinel. If the connection to the sentinel has died, the query takes ReadTimeout, which is 3 seconds unless it is set.
func SetFailoverOptions(o *redis.FailoverOptions) *redis.FailoverOptions {
	o.ContextTimeoutEnabled, o.DisableIdentity = true, true
	o.Dialer = dialer(o.Dialer, o.TLSConfig, o.DialTimeout)

	setRetries(&o.MaxRetries, &o.MinRetryBackoff, &o.MaxRetryBackoff, &o.DialerRetries)
	setLife(&o.ConnMaxLifetime, &o.ConnMaxLifetimeJitter)

	return o
}

func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func setRetries(most *int, first, longest *time.Duration, dialing *int) {
	*most, *dialing = cmp.Or(*most, resends), cmp.Or(*dialing, dials)
	*first, *longest = cmp.Or(*first, resendFirst), cmp.Or(*longest, resendMost)
}

func setLife(life, jitter *time.Duration) {
	if *life == 0 {
		*life, *jitter = connectionLife, connectionLifeJitter
	}
}

// dialer returns a function that makes connections. Own is that of the caller, or nil: it makes TLS by itself.
func dialer(own dialFunc, config *tls.Config, timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	if own != nil {
		return newRoutes(own).Dial
	}

	timeout = cmp.Or(timeout, dialTimeout)
	tcp := &net.Dialer{
		Timeout: timeout,
		// As go-redis has it.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3},
	}

	if config == nil {
		return newRoutes(tcp.DialContext).Dial
	}

	return newRoutes(dialTLS(tcp.DialContext, config, timeout)).Dial
}
