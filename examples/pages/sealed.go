package pages

import (
	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func sealKey(secret []byte) (*store.SealKey, error) {
	key, err := store.NewSealKey("2026-11", secret) // 32 random bytes, for example from: openssl rand 32

	return key, err
}

func sealed(records store.Store, ring store.Keyring) (*onlyonce.Engine, error) {
	engine, err := onlyonce.New(store.Sealed(records, ring))

	return engine, err
}
