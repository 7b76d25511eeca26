package main

import (
	"fmt"
	"net/url"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const storeUsage = "where idempotency records are kept: memory:"

// openStore opens the store that a URL names.
func openStore(address string) (store.Store, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the store is %q: give a URL, such as memory: (%w)", address, err)
	}

	if parsed.Scheme != "memory" || parsed.Opaque != "" || parsed.Host != "" || parsed.Path != "" {
		return nil, fmt.Errorf("the store is %q: give memory: and nothing behind it", address)
	}

	return memstore.New(), nil
}
