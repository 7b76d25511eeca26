package sqlstoretest_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// specimens are records in all their forms, each with the claim that it belongs to. No two have a column in common that could
// be told apart.
func specimens(t *testing.T, s *sqlstore.Store) map[string]store.Claim {
	t.Helper()

	all := make(map[string]store.Claim)
	add := func(name string, ops ...func(store.Claim) (store.Result, error)) {
		claim := newClaim()
		claim.ReadableKey = "key of " + name
		claim.Method += "/" + strconv.Itoa(len(all))
		claim.Fingerprint.Sum[0] = byte(len(all))
		claim.Fingerprint.Scheme += uint16(len(all))
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

	add("RUNNING, fresh")
	add("RUNNING, renewed", renew)
	add("UNKNOWN", held)
	add("RELEASED", released)
	add("COMPLETED", completed)
	add("COMPLETED late", held, completed)

	return all
}

// everyOperation tries all operations on a key, of an owner and of others.
func everyOperation(t *testing.T, s *sqlstore.Store, claim store.Claim, look func(name string, err error)) {
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
	} {
		_, err := op()
		look(name, err)
	}
}

// mustRefuse looks whether every operation refuses a record that was changed.
func mustRefuse(t *testing.T, s *sqlstore.Store, claim store.Claim, what string, want error) {
	t.Helper()

	everyOperation(t, s, claim, func(op string, err error) {
		if !errors.Is(err, want) {
			t.Errorf("%s: %s returned %v", what, op, err)
		}
	})
}

// mustRefuseShortly is mustRefuse for the operations that have ways of their own.
func mustRefuseShortly(t *testing.T, s *sqlstore.Store, claim store.Claim, what string, want error) {
	t.Helper()

	for name, op := range map[string]func() (store.Result, error){
		"claim":    func() (store.Result, error) { return s.Claim(t.Context(), claimOn(claim.Key)) },
		"renew":    func() (store.Result, error) { return s.Renew(t.Context(), renewal(claim)) },
		"complete": func() (store.Result, error) { return s.Complete(t.Context(), completion(claim, "other")) },
	} {
		if _, err := op(); !errors.Is(err, want) {
			t.Errorf("%s: %s returned %v", what, name, err)
		}
	}
}

// poisons are what a value may have become.
func poisons(column string, value any) []any {
	switch value := value.(type) {
	case int64:
		small := []any{value + 1, int64(0), int64(4), value ^ 64}

		switch column {
		case "format", "state", "guarantee", "flags", "scheme":
			return small
		default:
			return append(small, int64(math.MaxInt64), int64(math.MinInt64))
		}
	case []byte:
		return bytesPoisons(value)
	case string:
		var all []any
		for _, b := range bytesPoisons([]byte(value)) {
			all = append(all, text(b))
		}

		return append(all, "%", "%4", "%zz"+value, value+"%20")
	default:
		panic(fmt.Sprintf("%s is a %T", column, value))
	}
}

func bytesPoisons(value []byte) []any {
	all := []any{append(slices.Clone(value), 'x'), append([]byte{'y'}, value...)}

	for n := range value {
		if n%11 == 0 {
			changed := slices.Clone(value)
			changed[n] ^= 1
			all = append(all, changed, slices.Clone(value[:n]))
		}
	}

	return all
}

func TestF36APoisonedOrTruncatedColumnIsNoticedByEveryOperation(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)

		for name, claim := range specimens(t, s) {
			whole := table.get(t, claim.Key)

			for column, value := range whole {
				if column == "id" {
					continue
				}

				for i, poison := range poisons(column, value) {
					if text(poison) == text(value) {
						continue
					}

					want := store.ErrUnreadable
					if n, ok := poison.(int64); ok && column == "format" && n > 1 {
						want = store.ErrNewer
					}

					what := fmt.Sprintf("%s: %s is %v instead of %v", name, column, poison, value)

					table.set(t, claim.Key, map[string]any{column: poison})

					if i == 0 {
						mustRefuse(t, s, claim, what, want)
					} else {
						mustRefuseShortly(t, s, claim, what, want)
					}

					table.set(t, claim.Key, whole)
				}
			}

			if got := lookup(t, s, claim.Key); got.Record.State == store.Absent {
				t.Errorf("%s: restored, it is absent", name)
			}
		}
	})
}

func TestF36AColumnOfAnotherRecordIsNoticed(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)
		all := specimens(t, s)

		for name, claim := range all {
			whole := table.get(t, claim.Key)

			for otherName, other := range all {
				foreign := table.get(t, other.Key)
				delete(foreign, "id")

				for column, value := range foreign {
					if text(value) == text(whole[column]) {
						continue
					}

					table.set(t, claim.Key, map[string]any{column: value})

					if _, err := s.Claim(t.Context(), claimOn(claim.Key)); !errors.Is(err, store.ErrUnreadable) {
						t.Errorf("%s with the %s of %s: a claim returned %v", name, column, otherName, err)
					}
				}

				if name != otherName { // now it is the other record as a whole, under another key
					mustRefuse(t, s, claim, name+" in the place of "+otherName, store.ErrUnreadable)
				}

				table.set(t, claim.Key, whole)
			}
		}
	})
}

func TestF36TheNumbersOfAnotherRecordAreNoticed(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)
		claim, other := newClaim(), newClaim()
		start(t, s, claim)
		start(t, s, other)

		// All that the checksum covers, with the checksum, and without what binds it to the key.
		numbers := table.get(t, other.Key)
		maps.DeleteFunc(numbers, func(column string, value any) bool {
			_, isNumber := value.(int64)

			return !isNumber || column == "seal" || column == "outcome_seal"
		})
		table.set(t, claim.Key, numbers)
		mustRefuse(t, s, claim, "other numbers", store.ErrUnreadable)
	})
}

func TestF39ARecordOfANewerBuildIsNeitherReadNorTouched(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)

		for name, claim := range specimens(t, s) {
			// Everything else may mean something else by then.
			table.set(t, claim.Key, map[string]any{"format": 2, "checksum": 7, "token": []byte("longer than tokens are today")})
			before := table.get(t, claim.Key)
			mustRefuse(t, s, claim, name, store.ErrNewer)

			for column, value := range table.get(t, claim.Key) {
				if text(value) != text(before[column]) {
					t.Errorf("%s: %s was %v and is %v", name, column, before[column], value)
				}
			}
		}
	})
}

func TestF36ListUnknownNamesWhatItCannotReadAndGoesOn(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)
		good, bad, newer, odd := overdue(t, s), overdue(t, s), overdue(t, s), overdue(t, s)
		table.set(t, bad.Key, map[string]any{"fence": 77})
		table.set(t, newer.Key, map[string]any{"format": 2})
		table.set(t, odd.Key, map[string]any{"state": 9})

		found := make(map[store.Key]error)
		for listed, err := range s.ListUnknown(t.Context()) {
			found[listed.Key] = err
		}

		if err, ok := found[good.Key]; !ok || err != nil {
			t.Errorf("the one that can be read: %t, %v", ok, err)
		}

		for key, want := range map[store.Key]error{
			bad.Key: store.ErrUnreadable, newer.Key: store.ErrNewer, odd.Key: store.ErrUnreadable,
		} {
			if !errors.Is(found[key], want) {
				t.Errorf("found %v, want %v", found[key], want)
			}
		}

		if len(found) != 4 {
			t.Errorf("%d are found", len(found))
		}
	})
}
