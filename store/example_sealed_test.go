package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Records are sealed under the newest key. Records that were sealed under the older key stay readable.
func ExampleSealed() {
	secret := func(string) []byte { // such as a mounted file
		secret := make([]byte, store.SealKeySize)
		_, _ = rand.Read(secret)

		return secret
	}

	newest, err := store.NewSealKey("2026-11", secret("onlyonce-2026-11"))
	if err != nil {
		log.Fatal(err)
	}

	older, err := store.NewSealKey("2026-05", secret("onlyonce-2026-05"))
	if err != nil {
		log.Fatal(err)
	}

	ring, err := store.NewStaticKeys(newest, older)
	if err != nil {
		log.Fatal(err)
	}

	records := store.Sealed(memstore.New(), ring) // for onlyonce.New

	ctx := context.Background()
	claim := store.Claim{Token: store.Token{1}, Lease: time.Minute, MaxRun: time.Minute, Retention: time.Hour, Note: []byte("4000 EUR to Ann")}

	res, err := records.Claim(ctx, claim)
	fmt.Printf("%v %s %v\n", res.Applied, res.Record.Outcome, err)
	// Output: true 4000 EUR to Ann <nil>
}

// keyService is the client of a key management service, such as AWS KMS, Google Cloud KMS or Vault Transit.
type keyService interface {
	Decrypt(ctx context.Context, wrapped []byte) ([]byte, error)
}

// wrappedKeys is a key ring whose secrets are encrypted by a key management service. The wrapped secrets are part of the configuration.
// The ring calls the service once for each, and keeps the answer.
type wrappedKeys struct {
	service keyService
	newest  string
	wrapped map[string][]byte // by id

	mu        sync.Mutex
	unwrapped map[string]*store.SealKey
}

func (r *wrappedKeys) Newest(ctx context.Context) (*store.SealKey, error) {
	return r.Key(ctx, r.newest)
}

func (r *wrappedKeys) Key(ctx context.Context, id string) (*store.SealKey, error) {
	wrapped, ok := r.wrapped[id]
	if !ok {
		return nil, store.ErrNoKey // surely: the record is refused
	}

	if key := r.kept(id); key != nil {
		return key, nil
	}

	secret, err := r.service.Decrypt(ctx, wrapped) // not under the lock: others have deadlines of their own
	if err != nil {
		return nil, fmt.Errorf("unwrapping key %s: %w", id, err) // not sure: the operation is tried again
	}

	key, err := store.NewSealKey(id, secret)
	if err != nil {
		return nil, err
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	r.unwrapped[id] = key

	return key, nil
}

func (r *wrappedKeys) kept(id string) *store.SealKey {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.unwrapped[id]
}

// keyServiceInMemory stands for the service.
type keyServiceInMemory struct{ calls int }

func (s *keyServiceInMemory) Decrypt(_ context.Context, wrapped []byte) ([]byte, error) {
	s.calls++
	if s.calls == 1 {
		return nil, errors.New("the key service is busy")
	}

	secret := make([]byte, store.SealKeySize)
	copy(secret, wrapped)

	return secret, nil
}

// A key management service unwraps the secrets of this ring. The service is down at first.
func ExampleKeyring() {
	service := &keyServiceInMemory{}
	ring := &wrappedKeys{
		service: service, newest: "2026-11", wrapped: map[string][]byte{"2026-11": []byte("wrapped")},
		unwrapped: make(map[string]*store.SealKey),
	}
	records := store.Sealed(memstore.New(), ring)

	ctx := context.Background()
	claim := store.Claim{Token: store.Token{1}, Lease: time.Minute, MaxRun: time.Minute, Retention: time.Hour, Note: []byte("4000 EUR to Ann")}

	for range 3 {
		res, err := records.Claim(ctx, claim)
		fmt.Println(res.Applied, err)
	}

	fmt.Println("calls of the service:", service.calls)
	// Output:
	// false store: getting a key from the key ring: unwrapping key 2026-11: the key service is busy
	// true <nil>
	// true <nil>
	// calls of the service: 2
}
