package console

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
)

// snapshot is the content of a store at one time.
type snapshot struct {
	At               time.Time
	Running, Unknown list
}

// list is a list of records, oldest first.
type list struct {
	Records []onlyonce.Record
	// Broken are records that cannot be read.
	Broken []broken
	// More reports that the store has more records.
	More bool
	// Err is why the list is incomplete, or nil.
	Err error
}

type broken struct {
	ID  store.Key
	Err error
}

// Count returns the number of records, including those that cannot be read.
func (l *list) Count() int { return len(l.Records) + len(l.Broken) }

// Total formats the count. It marks the count of an incomplete list as a minimum.
func (l *list) Total() string {
	switch n := l.Count(); {
	case l.Err != nil && n == 0:
		return "?"
	case l.Err != nil || l.More:
		return strconv.Itoa(n) + "+"
	default:
		return strconv.Itoa(n)
	}
}

// read lists at most a number of records of each kind.
func read(ctx context.Context, engine *onlyonce.Engine, most int) snapshot {
	return snapshot{
		At:      time.Now(),
		Unknown: collect(engine.ListUnknown(ctx), most),
		Running: collect(engine.ListRunning(ctx), most),
	}
}

func collect(records iter.Seq2[onlyonce.Record, error], most int) (l list) {
	for rec, err := range records {
		if l.Count() >= most {
			l.More = true

			break
		}

		switch {
		case err == nil:
			rec.Body, rec.Request, rec.Outcome = nil, nil, nil // lists do not show these
			l.Records = append(l.Records, rec)
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			l.Broken = append(l.Broken, broken{rec.ID, err})
		default:
			l.Err = err
		}
	}

	slices.SortStableFunc(l.Records, func(a, b onlyonce.Record) int {
		return cmp.Or(operate.Since(&a).Compare(operate.Since(&b)), slices.Compare(a.ID[:], b.ID[:]))
	})

	return l
}

// methodRow is a row of the table of methods.
type methodRow struct {
	Method           string
	Running, Unknown int
	// Oldest is since when the oldest record has been unknown.
	Oldest moment
	Calls  tally
}

// byMethod counts the records and calls by method. Methods with unknown records come first, oldest first; the others are sorted by name.
func byMethod(snap *snapshot, calls map[string]tally) []methodRow {
	rows := map[string]*methodRow{}

	row := func(method string) *methodRow {
		if rows[method] == nil {
			rows[method] = &methodRow{Method: method}
		}

		return rows[method]
	}

	for i := range snap.Running.Records {
		row(snap.Running.Records[i].Method).Running++
	}

	for i := range snap.Unknown.Records {
		rec := &snap.Unknown.Records[i]
		r := row(rec.Method)
		r.Unknown++

		if !r.Oldest.Known() || operate.Since(rec).Before(r.Oldest.at) {
			r.Oldest = moment{at: operate.Since(rec), now: rec.LookedUpAt}
		}
	}

	for method, sum := range calls {
		row(method).Calls = sum
	}

	sorted := make([]methodRow, 0, len(rows))
	for _, r := range rows {
		sorted = append(sorted, *r)
	}

	slices.SortFunc(sorted, func(a, b methodRow) int {
		switch {
		case a.Oldest.Known() && b.Oldest.Known():
			return cmp.Or(a.Oldest.at.Compare(b.Oldest.at), cmp.Compare(a.Method, b.Method))
		case a.Oldest.Known():
			return -1
		case b.Oldest.Known():
			return 1
		default:
			return cmp.Compare(a.Method, b.Method)
		}
	})

	return sorted
}

// recordRow is a row of a list of records.
type recordRow struct {
	ID, Short, Method, State, Code string
	Since                          moment
	Attempts                       uint32
	// Problem is the reason why the record cannot be read.
	Problem string
}

const shortID = 12 // ID digits in a list

func recordRows(l *list, method string, most int) (rows []recordRow, left int) {
	add := func(row recordRow) {
		if len(rows) < most {
			rows = append(rows, row)
		} else {
			left++
		}
	}

	for i := range l.Records {
		rec := &l.Records[i]
		if method != "" && rec.Method != method {
			continue
		}

		id := rec.ID.String()
		add(recordRow{
			ID: id, Short: id[:shortID], Method: rec.Method, State: stateOf(rec), Code: rec.Code, Attempts: rec.Attempts,
			Since: moment{at: operate.Since(rec), now: rec.LookedUpAt},
		})
	}

	for _, b := range l.Broken {
		if method == "" {
			id := b.ID.String()
			add(recordRow{ID: id, Short: id[:shortID], State: "cannot be read", Problem: b.Err.Error()})
		}
	}

	return rows, left
}

// stateOf describes the state of a record.
func stateOf(rec *onlyonce.Record) string {
	switch state := operate.StateOf(rec); state {
	case operate.StateAbandoned:
		return "unknown: lease ended"
	case operate.StateHeld:
		return "unknown: held"
	case operate.StateAbsent:
		return "no record"
	case operate.StateUnknown, operate.StateRunning, operate.StateReleased, operate.StateCompleted:
		return string(state)
	default:
		return string(state)
	}
}
