package onlyonce

import (
	"crypto/rand"

	"github.com/onlyonce-go/onlyonce/store"
)

// newToken makes an owner token of 128 random bits.
func newToken() store.Token {
	var t store.Token

	_, _ = rand.Read(t[:]) // crypto/rand.Read never returns an error

	return t
}
