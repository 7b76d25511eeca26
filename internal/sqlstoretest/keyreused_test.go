package sqlstoretest_test

import (
	"context"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

// callOther is a call with another request under the key.
func callOther(ctx context.Context, e *onlyonce.Engine, key string, fn func(context.Context) ([]byte, error)) answer {
	res, err := e.Do(ctx, onlyonce.Call{Method: "/shop.v1.Orders/Create", Key: key, Request: []byte("two books")}, fn)

	return answer{res, err}
}

func TestF24OtherRequestUnderTheKeyOfASingleTransactionIsRefused(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		db := pool(base.DB(t, k.params...))
		s := k.orders(t, db)
		here := engine(t, k.on(t, db), onlyonce.SingleTransaction)
		there := engine(t, k.on(t, pool(base.DB(t, k.params...))), onlyonce.SingleTransaction)

		handler, inside, letGo := s.held()
		first := inBackground(t.Context(), here, handler)

		<-inside

		// While the run goes on, this process rejects at once. Another process cannot see the request in the database
		// yet, so it waits.
		callOther(t.Context(), here, "one", s.sell("other")).mustBeRejected(t, onlyonce.ReasonKeyReused)

		waiting := make(chan answer, 1)

		go func() { waiting <- callOther(t.Context(), there, "one", s.sell("other")) }()

		letGo()
		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-waiting).mustBeRejected(t, onlyonce.ReasonKeyReused)

		// Completed.
		callOther(t.Context(), here, "one", s.sell("other")).mustBeRejected(t, onlyonce.ReasonKeyReused)
		callOther(t.Context(), there, "one", s.sell("other")).mustBeRejected(t, onlyonce.ReasonKeyReused)
		s.mustHave(t, 1, 1)

		// A rollback leaves no record, so the key is free.
		_ = call(t.Context(), here, "two", s.sellFor("two", errNo))
		callOther(t.Context(), there, "two", s.sell("other")).mustBe(t, onlyonce.StatusExecuted, "#3")
	})
}
