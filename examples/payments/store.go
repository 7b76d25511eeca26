package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

const (
	memory     = "memory:"
	storeUsage = "where idempotency records are kept: memory:, or a Redis that processes share, as redis://[user:password@]host:6379[/0],\n" +
		"redis+cluster://host1:6379?addr=host2:6379 or redis+sentinel://host1:26379?master_name=main; rediss for TLS;\n" +
		"or a database, which then has the payments as well: sqlite:path, postgres://user:password@host:5432/database\n" +
		"or mysql://user:password@host:3306/database"
)

// isShared reports whether processes can share the store of a URL. An unknown kind of store is an error.
func isShared(address string) (bool, error) {
	switch scheme, rest, _ := strings.Cut(address, ":"); scheme {
	case "memory":
		if address != memory {
			return false, fmt.Errorf("the store is memory and %q: give %s and nothing behind it", rest, memory)
		}

		return false, nil
	case "redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel":
		return true, nil
	case "sqlite", "postgres", "postgresql", "mysql":
		return true, nil
	default: // the rest of the URL may hold a password
		return false, fmt.Errorf("there is no store of kind %q: give %s, sqlite:payments.db, or a URL such as redis://127.0.0.1:6379 or "+
			"postgres://postgres@127.0.0.1:5432/postgres", scheme, memory)
	}
}

// openStore opens the store of a URL that is not a database. The function closes it. The options are for Redis, whose configuration is
// checked within some seconds.
func openStore(address string, opts ...redisstore.Option) (store.Store, func(), error) {
	shared, err := isShared(address)
	if err != nil {
		return nil, nil, err
	}

	if !shared {
		return memstore.New(), func() {}, nil
	}

	records, err := redisstore.Open(address, opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("the store cannot be used: %w", err)
	}

	return records, func() { _ = records.Close() }, nil
}

// location returns the URL of a store without user, password and options.
func location(address string) string {
	if strings.HasPrefix(address, "sqlite:") {
		return address
	}

	parsed, err := url.Parse(address)
	if err != nil {
		return "as given"
	}

	if isDatabase(address) {
		return parsed.Scheme + "://" + parsed.Host + parsed.Path
	}

	return parsed.Scheme + "://" + parsed.Host
}
