package redisstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// stored is the name of the record of a key.
func stored(key store.Key) string {
	return redisstore.DefaultPrefix + string(key[:])
}

// specimens are records in all their forms, each with the claim that it belongs to.
func specimens(t *testing.T, s *redisstore.Store) map[string]store.Claim {
	t.Helper()

	all := make(map[string]store.Claim)
	make1 := func(name string, ops ...func(store.Claim) (store.Result, error)) {
		claim := newClaim()
		start(t, s, claim)

		for _, op := range ops {
			res, err := op(claim)
			must(t, res, err)
		}

		all[name] = claim
	}

	renew := func(c store.Claim) (store.Result, error) { return s.Renew(t.Context(), renewal(c)) }
	held := func(c store.Claim) (store.Result, error) { return s.Hold(t.Context(), hold(c)) }
	released := func(c store.Claim) (store.Result, error) { return s.Release(t.Context(), release(c)) }
	completed := func(c store.Claim) (store.Result, error) { return s.Complete(t.Context(), completion(c, "paid")) }

	make1("RUNNING, fresh")
	make1("RUNNING, renewed", renew)
	make1("UNKNOWN", held)
	make1("RELEASED", released)
	make1("COMPLETED", completed)

	return all
}

// everyOperation tries all operations on a key, of an owner and of others.
func everyOperation(t *testing.T, s *redisstore.Store, claim store.Claim, look func(name string, err error)) {
	t.Helper()

	ctx := t.Context()
	other := claimOn(claim.Key)
	other.Fence = 1

	for name, op := range map[string]func() (store.Result, error){
		"claim":    func() (store.Result, error) { return s.Claim(ctx, claimOn(claim.Key)) },
		"copy":     func() (store.Result, error) { return s.Claim(ctx, claim) },
		"takeover": func() (store.Result, error) { return s.Claim(ctx, other) },
		"renew":    func() (store.Result, error) { return s.Renew(ctx, renewal(claim)) },
		"complete": func() (store.Result, error) { return s.Complete(ctx, completion(claim, "other")) },
		"release":  func() (store.Result, error) { return s.Release(ctx, release(claim)) },
		"withdraw": func() (store.Result, error) { return s.Release(ctx, release(other)) },
		"hold":     func() (store.Result, error) { return s.Hold(ctx, hold(claim)) },
		"lookup":   func() (store.Result, error) { return s.Lookup(ctx, claim.Key) },
		"resolve":  func() (store.Result, error) { return resolveCompleted(ctx, s, claim) },
		"forget":   func() (store.Result, error) { return s.Forget(ctx, forgetting(claim, false)) },
	} {
		_, err := op()
		look(name, err)
	}
}

// mustRefuse replaces a record with damaged bytes. It checks that every operation refuses them and leaves them as they are.
func mustRefuse(t *testing.T, s *redisstore.Store, server *redistest.Server, claim store.Claim, damaged, what string, want error) {
	t.Helper()
	mustNotice(t, s, server, claim, damaged, what, want)

	if got := server.Client().Get(t.Context(), stored(claim.Key)).Val(); got != damaged {
		t.Errorf("%s: it was %x, and is %x", what, damaged, got)
	}
}

// mustNotice is mustRefuse, whatever becomes of the bytes.
func mustNotice(t *testing.T, s *redisstore.Store, server *redistest.Server, claim store.Claim, damaged, what string, want error) {
	t.Helper()

	client := server.Client()
	name := stored(claim.Key)

	if err := client.Set(t.Context(), name, damaged, time.Hour).Err(); err != nil {
		t.Fatal(err)
	}

	everyOperation(t, s, claim, func(op string, err error) {
		if want == nil && !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %s returned %v", what, op, err)
		}
	})
}

// isSealed reports whether the client checks a byte of a specimen: the seal, and the bytes that it covers. Operations
// may change the rest of the record, which stays unreadable.
func isSealed(name string, i int) bool {
	identity := 63
	if name == "COMPLETED" {
		identity = 51
	}

	return i >= 1 && i < 5 || i >= identity
}

// outcomeOf is the length of the outcome of a specimen, which has a checksum of its own.
func outcomeOf(name string) int {
	switch name {
	case "UNKNOWN":
		return len("a note")
	case "COMPLETED":
		return len("paid")
	default:
		return 0
	}
}

func TestF36ADamagedByteIsNoticedByEveryOperationAndLeftAsItIs(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	for name, claim := range specimens(t, s) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			whole := server.Client().Get(t.Context(), stored(claim.Key)).Val()

			for i := range len(whole) - outcomeOf(name) {
				damaged := []byte(whole)
				damaged[i] ^= 1 << (i % 8)

				if isSealed(name, i) {
					mustNotice(t, s, server, claim, string(damaged), fmt.Sprintf("byte %d", i), nil)
				} else {
					mustRefuse(t, s, server, claim, string(damaged), fmt.Sprintf("byte %d", i), nil)
				}
			}
		})
	}
}

func TestF36ARecordThatIsCutShortIsNoticedByEveryOperationAndLeftAsItIs(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	for name, claim := range specimens(t, s) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			whole := server.Client().Get(t.Context(), stored(claim.Key)).Val()

			for n := range len(whole) - outcomeOf(name) {
				mustRefuse(t, s, server, claim, whole[:n], fmt.Sprintf("%d bytes", n), store.ErrUnreadable)
			}
		})
	}
}

func TestF36ARecordInThePlaceOfAnotherIsNoticed(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	for name, claim := range specimens(t, s) {
		whole := server.Client().Get(t.Context(), stored(claim.Key)).Val()

		elsewhere := claim
		elsewhere.Key = newKey() // the owner's token is right, and the place wrong
		mustRefuse(t, s, server, elsewhere, whole, name, store.ErrUnreadable)
	}
}

func TestF39ARecordOfANewerBuildIsNeitherReadNorTouched(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	for name, claim := range specimens(t, s) {
		whole := server.Client().Get(t.Context(), stored(claim.Key)).Val()
		mustRefuse(t, s, server, claim, "\x02"+whole[1:], name, store.ErrNewer)
		mustRefuse(t, s, server, claim, "\x02", name, store.ErrNewer)
		mustRefuse(t, s, server, claim, "\x00"+whole[1:], name, store.ErrUnreadable)
	}
}

func TestF36SomethingElseUnderTheNameOfARecordIsNoticed(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	claim := newClaim()
	name := stored(claim.Key)

	if err := server.Client().RPush(t.Context(), name, "a", "b").Err(); err != nil {
		t.Fatal(err)
	}

	everyOperation(t, s, claim, func(op string, err error) {
		if !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%s returned %v", op, err)
		}
	})

	if n := server.Client().LLen(t.Context(), name).Val(); n != 2 {
		t.Errorf("%d elements are left", n)
	}
}

func TestF36ListUnknownNamesWhatItCannotReadAndGoesOn(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	good, bad := overdue(t, s), overdue(t, s)

	if err := server.Client().SetRange(t.Context(), stored(bad.Key), 10, "damage").Err(); err != nil {
		t.Fatal(err)
	}

	for range 2 { // it stays in the index
		found := make(map[store.Key]error)
		for listed, err := range s.ListUnknown(t.Context()) {
			found[listed.Key] = err
		}

		if err, ok := found[good.Key]; !ok || err != nil {
			t.Errorf("the one that can be read: %t, %v", ok, err)
		}

		if !errors.Is(found[bad.Key], store.ErrUnreadable) || len(found) != 2 {
			t.Errorf("found %v", found)
		}
	}
}

func TestAFirstClaimWhoseExpiryWasTakenAwayIsUnreadableUntilItsOwnerCompletesIt(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	claim := newClaim()
	start(t, s, claim)

	if err := server.Client().Persist(t.Context(), stored(claim.Key)).Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.Claim(t.Context(), claimOn(claim.Key)); !errors.Is(err, store.ErrUnreadable) {
		t.Errorf("a claim returned %v", err)
	}

	if _, err := s.Renew(t.Context(), renewal(claim)); !errors.Is(err, store.ErrUnreadable) {
		t.Errorf("a renewal returned %v", err)
	}

	res, err := s.Complete(t.Context(), completion(claim, "paid"))
	must(t, res, err)

	again, err := s.Claim(t.Context(), claimOn(claim.Key))
	if err != nil || again.Record.State != store.Completed || string(again.Record.Outcome) != "paid" || again.Record.ExpiresAt.IsZero() {
		t.Errorf("a duplicate gets %+v, %v", again, err)
	}
}
