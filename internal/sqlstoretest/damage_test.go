package sqlstoretest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// specimens are records in all their forms, each with its claim. Wherever columns can differ, no two records have the
// same value.
func specimens(t *testing.T, s *sqlstore.Store) map[string]store.Claim {
	t.Helper()

	all := make(map[string]store.Claim)
	add := func(name string, ops ...func(store.Claim) (store.Result, error)) {
		claim := newClaim()
		claim.ReadableKey = "key of " + name
		claim.Method += "/" + strconv.Itoa(len(all))
		claim.Fingerprint.Sum[0] = byte(len(all))
		claim.Fingerprint.Scheme += uint16(len(all))

		if strings.Contains(name, "a note") {
			claim.Note = []byte("note of " + name)
		}

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
	add("RUNNING, with a note")
	add("UNKNOWN", held)
	add("RELEASED", released)
	add("COMPLETED", completed)
	add("COMPLETED late", held, completed)

	return all
}

// attempt is an operation on a key, of its owner or of others.
type attempt struct {
	name string
	run  func(ctx context.Context, s *sqlstore.Store, claim store.Claim) (store.Result, error)
}

// attempts are all operations that there are.
func attempts() []attempt {
	of := func(op func(ctx context.Context, s *sqlstore.Store, mine, other store.Claim) (store.Result, error)) func(
		context.Context, *sqlstore.Store, store.Claim,
	) (store.Result, error) {
		return func(ctx context.Context, s *sqlstore.Store, claim store.Claim) (store.Result, error) {
			other := claimOn(claim.Key)
			other.Fence = 1

			return op(ctx, s, claim, other)
		}
	}

	return []attempt{
		{"claim", of(func(ctx context.Context, s *sqlstore.Store, _, other store.Claim) (store.Result, error) {
			other.Fence = 0

			return s.Claim(ctx, other)
		})},
		{"copy", of(func(ctx context.Context, s *sqlstore.Store, mine, _ store.Claim) (store.Result, error) {
			return s.Claim(ctx, mine)
		})},
		{"takeover", of(func(ctx context.Context, s *sqlstore.Store, _, other store.Claim) (store.Result, error) {
			return s.Claim(ctx, other)
		})},
		{"begin", of(func(ctx context.Context, s *sqlstore.Store, _, other store.Claim) (store.Result, error) {
			res, tx, err := s.Begin(ctx, other, time.Second)
			if tx != nil {
				_, ended := tx.Rollback()
				err = errors.Join(err, ended)
			}

			return res, err
		})},
		{"renew", of(func(ctx context.Context, s *sqlstore.Store, mine, _ store.Claim) (store.Result, error) {
			return s.Renew(ctx, renewal(mine))
		})},
		{"complete", of(func(ctx context.Context, s *sqlstore.Store, mine, _ store.Claim) (store.Result, error) {
			return s.Complete(ctx, completion(mine, "other"))
		})},
		{"release", of(func(ctx context.Context, s *sqlstore.Store, mine, _ store.Claim) (store.Result, error) {
			return s.Release(ctx, release(mine))
		})},
		{"withdraw", of(func(ctx context.Context, s *sqlstore.Store, _, other store.Claim) (store.Result, error) {
			return s.Release(ctx, release(other))
		})},
		{"hold", of(func(ctx context.Context, s *sqlstore.Store, mine, _ store.Claim) (store.Result, error) {
			return s.Hold(ctx, hold(mine))
		})},
		{"lookup", of(func(ctx context.Context, s *sqlstore.Store, mine, _ store.Claim) (store.Result, error) {
			return s.Lookup(ctx, mine.Key)
		})},
		{"forget", of(func(ctx context.Context, s *sqlstore.Store, mine, _ store.Claim) (store.Result, error) {
			return s.Forget(ctx, store.Forgetting{Key: mine.Key, Token: mine.Token, Fence: 1})
		})},
		{"resolve", of(func(ctx context.Context, s *sqlstore.Store, mine, _ store.Claim) (store.Result, error) {
			return resolveCompleted(ctx, s, mine)
		})},
	}
}

// mustRefuse checks that every operation refuses a changed record.
func mustRefuse(t *testing.T, s *sqlstore.Store, claim store.Claim, what string, want error) {
	t.Helper()

	for _, a := range attempts() {
		a.mustRefuse(t, s, claim, what, want)
	}
}

func (a *attempt) mustRefuse(t *testing.T, s *sqlstore.Store, claim store.Claim, what string, want error) {
	t.Helper()

	if _, err := a.run(t.Context(), s, claim); !errors.Is(err, want) {
		t.Errorf("%s: %s returned %v", what, a.name, err)
	}
}

// poisons lists the values that a damaged value may have.
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

// wholeOf is the row of a record without its key, and without the sweep time, which has no meaning of its own.
func wholeOf(t *testing.T, table rows, key store.Key) map[string]any {
	t.Helper()

	whole := table.get(t, key)
	delete(whole, "id")
	delete(whole, "sweep_at")

	return whole
}

// Every poison is found by one operation, and every column's poisons by all operations in turn.
func TestF36APoisonedOrTruncatedColumnIsNoticedByEveryOperation(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)
		all := attempts()
		turns := make(map[string]int) // of the operations, by column

		for name, claim := range specimens(t, s) {
			whole := wholeOf(t, table, claim.Key)

			for column, value := range whole {
				for _, poison := range poisons(column, value) {
					if text(poison) == text(value) {
						continue
					}

					want := store.ErrUnreadable
					if n, ok := poison.(int64); ok && column == "format" && n > 1 {
						want = store.ErrNewer
					}

					// An operation that finds the damage may have changed other columns before.
					damaged := maps.Clone(whole)
					damaged[column] = poison
					table.set(t, claim.Key, damaged)
					all[turns[column]%len(all)].mustRefuse(t, s, claim,
						fmt.Sprintf("%s: %s is %v instead of %v", name, column, poison, value), want)

					turns[column]++
				}
			}

			table.set(t, claim.Key, whole)

			if got := lookup(t, s, claim.Key); got.Record.State == store.Absent {
				t.Errorf("%s: restored, it is absent", name)
			}
		}

		for column, n := range turns {
			if n < len(all) {
				t.Errorf("%s: only %d of %d operations had their turn", column, n, len(all))
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

		ops, turn := attempts(), 0

		wholes := make(map[string]map[string]any)
		for name, claim := range all {
			wholes[name] = wholeOf(t, table, claim.Key)
		}

		for name, claim := range all {
			for otherName, foreign := range wholes {
				if name == otherName {
					continue
				}

				mixed := maps.Clone(wholes[name])

				for column, value := range foreign {
					if text(value) == text(mixed[column]) {
						continue
					}

					// The other record replaces this one, column by column, under this one's key.
					mixed[column] = value
					table.set(t, claim.Key, mixed)
					ops[turn%len(ops)].mustRefuse(t, s, claim,
						fmt.Sprintf("%s with the %s of %s", name, column, otherName), store.ErrUnreadable)

					turn++
				}

				table.set(t, claim.Key, foreign)
				ops[turn%len(ops)].mustRefuse(t, s, claim, name+" in the place of "+otherName, store.ErrUnreadable)
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

		// All columns that the checksum covers, and the checksum, without those that bind it to the key.
		numbers := wholeOf(t, table, other.Key)
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
