package redisstore

import (
	"strings"

	"github.com/redis/go-redis/v9"
)

const (
	schemeCluster  = "+cluster://"
	schemeSentinel = "+sentinel://"
)

// Open returns a store on the Redis at a URL. Its Close also closes the client. Open calls Check as [New] does.
//
//	redis://user:password@host:6379/0                               one server; rediss:// for TLS
//	redis+cluster://user:password@host1:6379?addr=host2:6379        a cluster; rediss+cluster://
//	redis+sentinel://user:password@host1:26379?addr=host2:26379&master_name=main   Sentinel; rediss+sentinel://
//
// User and password belong to the servers' access control lists. The query may have options of go-redis, such as pool_size=50: see
// [redis.ParseURL]. With TLS, each of the three schemes has two more:
//   - ca_file=/etc/redis/ca.pem trusts the certificate authorities of this PEM file, and no others.
//   - skip_verify=true trusts every server. It is for tests.
//
// [SetOptions] lists what Open sets unless the query does. The error for an invalid URL matches [ErrURL] and contains no password.
func Open(url string, opts ...Option) (*Store, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}

	s, err := New(client, opts...)
	if err != nil {
		_ = client.Close() // nobody uses it

		return nil, err
	}

	s.close = client.Close

	return s, nil
}

func dial(url string) (redis.UniversalClient, error) {
	switch {
	case strings.Contains(url, schemeCluster):
		o, security, err := parsed(url, schemeCluster, redis.ParseClusterURL)
		if err == nil {
			err = security.set(o.TLSConfig)
		}

		if err != nil {
			return nil, err
		}

		return redis.NewClusterClient(SetClusterOptions(o)), nil
	case strings.Contains(url, schemeSentinel):
		o, security, err := parsed(url, schemeSentinel, redis.ParseFailoverURL)
		if err == nil {
			err = security.set(o.TLSConfig)
		}

		if err != nil {
			return nil, err
		}

		return redis.NewFailoverClient(SetFailoverOptions(o)), nil
	default:
		o, security, err := parsed(url, "://", redis.ParseURL)
		if err == nil {
			err = security.set(o.TLSConfig)
		}

		if err != nil {
			return nil, err
		}

		return redis.NewClient(SetOptions(o)), nil
	}
}

// parsed parses a URL. It first removes what go-redis does not know: the end of the scheme, and our own options.
func parsed[O any](url, scheme string, parse func(string) (O, error)) (options O, security urlTLS, err error) {
	try := func(url string) (O, urlTLS, error) {
		rest, security, err := takeTLS(strings.Replace(url, scheme, "://", 1))
		if err != nil {
			var none O

			return none, security, err
		}

		options, err := parse(rest)

		return options, security, err
	}

	if options, security, err = try(url); err != nil {
		err = errURL(url, func(url string) error {
			_, _, err := try(url)

			return err
		})
	}

	return options, security, err
}
