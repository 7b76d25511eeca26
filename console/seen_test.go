package console

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF49SealIsBrokenByEachFieldThatIdentifiesWhatWasShown(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	secret := sealer{[]byte("the secret of the forms")}

	shown := func(change func(*sighting, *onlyonce.Record)) sighting {
		rec := &onlyonce.Record{
			ID: store.Key{1}, Record: store.Record{
				Token: store.Token{2}, Fence: 3, State: store.Unknown, Attempts: 4, LastStart: start, EndedAt: start.Add(time.Second),
			}, LookedUpAt: start.Add(time.Minute),
		}
		what := sighting{purposeSettle, "payments", "Ada", rec}
		change(&what, rec)

		return what
	}

	same := shown(func(*sighting, *onlyonce.Record) {})
	seal := secret.seal(same)

	if got, ok := secret.open(seal, shown(func(_ *sighting, rec *onlyonce.Record) { rec.LookedUpAt = start.Add(time.Hour) })); !ok ||
		!got.LookedUpAt.Equal(same.rec.LookedUpAt) {
		t.Errorf("the same record, read again, is %v, %t: want the time of the page", got.LookedUpAt, ok)
	}

	if _, ok := (sealer{[]byte("another secret")}).open(seal, same); ok {
		t.Error("a form of another secret is accepted")
	}

	for name, change := range map[string]func(*sighting, *onlyonce.Record){
		"purpose":    func(what *sighting, _ *onlyonce.Record) { what.purpose = purposeForget },
		"store":      func(what *sighting, _ *onlyonce.Record) { what.store = "orders" },
		"person":     func(what *sighting, _ *onlyonce.Record) { what.by = "Mallory" },
		"record":     func(_ *sighting, rec *onlyonce.Record) { rec.ID = store.Key{9} },
		"token":      func(_ *sighting, rec *onlyonce.Record) { rec.Token = store.Token{9} },
		"fence":      func(_ *sighting, rec *onlyonce.Record) { rec.Fence++ },
		"state":      func(_ *sighting, rec *onlyonce.Record) { rec.State = store.Running },
		"attempts":   func(_ *sighting, rec *onlyonce.Record) { rec.Attempts++ },
		"last start": func(_ *sighting, rec *onlyonce.Record) { rec.LastStart = start.Add(1) },
		"no start":   func(_ *sighting, rec *onlyonce.Record) { rec.LastStart = time.Time{} },
		"end":        func(_ *sighting, rec *onlyonce.Record) { rec.EndedAt = start },
	} {
		if _, ok := secret.open(seal, shown(change)); ok {
			t.Errorf("a form is accepted after another %s", name)
		}
	}
}
