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

// Defaults for options of go-redis.
const (
	// clusterReload is how often a client reads the masters of a cluster. With the minute of go-redis, a client would miss a new master for
	// most of a minute.
	clusterReload = 500 * time.Millisecond
	// resends is how often the client resends an operation within its time. Resends are harmless.
	resends     = 2
	resendFirst = 8 * time.Millisecond
	resendMost  = 64 * time.Millisecond
	// dials is how often the client tries to open a connection. The five tries of go-redis, a tenth of a second apart, would use up the time
	// of an operation while a server is down.
	dials = 1
	// connectionLife bounds the use of a connection, because after a failover an address may lead to another server.
	connectionLife       = 10 * time.Minute
	connectionLifeJitter = time.Minute
)

// SetOptions sets the options of a client as [Open] does, and returns o:
//
//	records, err := redisstore.New(redis.NewClient(redisstore.SetOptions(&redis.Options{Addr: "localhost:6379"})))
//
// The client then obeys the deadline of an operation and sends an operation up to three times. It uses a connection for about 10 minutes,
// and drops connections that lead to a failed server. Without these settings every dead connection costs a failed operation.
//   - SetOptions sets ContextTimeoutEnabled and DisableIdentity, and switches off maintenance notifications.
//   - It sets MaxRetries (2), MinRetryBackoff (8 ms), MaxRetryBackoff (64 ms), DialerRetries (1), and ConnMaxLifetime (10 min, with a
//     jitter of 1 min) unless they are set.
//   - It wraps the Dialer. So each client needs options of its own.
func SetOptions(o *redis.Options) *redis.Options {
	o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, quiet()
	o.Dialer = dialer(o.Dialer, o.TLSConfig, o.DialTimeout)

	setRetries(&o.MaxRetries, &o.MinRetryBackoff, &o.MaxRetryBackoff, &o.DialerRetries)
	setLife(&o.ConnMaxLifetime, &o.ConnMaxLifetimeJitter)

	return o
}

// SetClusterOptions is [SetOptions] for a cluster. It also sets ClusterStateReloadInterval to 500 ms unless it is set, so that the client
// finds a new master soon.
func SetClusterOptions(o *redis.ClusterOptions) *redis.ClusterOptions {
	o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, quiet()
	o.Dialer = dialer(o.Dialer, o.TLSConfig, o.DialTimeout)
	o.ClusterStateReloadInterval = cmp.Or(o.ClusterStateReloadInterval, clusterReload)

	setRetries(&o.MaxRetries, &o.MinRetryBackoff, &o.MaxRetryBackoff, &o.DialerRetries)
	setLife(&o.ConnMaxLifetime, &o.ConnMaxLifetimeJitter)

	return o
}

// SetFailoverOptions is [SetOptions] for a master behind Sentinel. The client queries a sentinel before each new connection. If the
// connection to the sentinel is dead, the query takes ReadTimeout, 3 s unless it is set.
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

// dialer returns a function that makes connections. Own is the caller's dialer, which makes TLS by itself, or nil.
func dialer(own dialFunc, config *tls.Config, timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	if own != nil {
		return newRoutes(own).Dial
	}

	timeout = cmp.Or(timeout, dialTimeout)
	tcp := &net.Dialer{
		Timeout: timeout,
		// The values of go-redis.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3},
	}

	if config == nil {
		return newRoutes(tcp.DialContext).Dial
	}

	return newRoutes(dialTLS(tcp.DialContext, config, timeout)).Dial
}
