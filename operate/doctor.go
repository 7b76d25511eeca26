package operate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The bounds of Doctor.
const (
	// clockWarns is how far a store's clock may be from the clock here. No decision needs the clocks to agree, but people compare times.
	clockWarns = 2 * time.Second
	// slowWarns is how long a lookup may take.
	slowWarns = 100 * time.Millisecond
	// shortRetention is a retention of unsettled records that people may miss.
	shortRetention = 7 * 24 * time.Hour
	// mostParts bounds how many parts of a store are looked at.
	mostParts = 256
	// probeRetention is how long the record of a probe stays if it cannot be removed.
	probeRetention = time.Minute
	// probeMethod is the method of such a record.
	probeMethod = "onlyonce.doctor"
)

// Health is the report of a Doctor.
type Health struct {
	// Diagnoses are the results of all checks: those of the store first.
	Diagnoses []store.Diagnosis
}

// Severity is the worst severity of the report.
func (h *Health) Severity() store.Severity {
	worst := store.SeverityOK
	for i := range h.Diagnoses {
		worst = max(worst, h.Diagnoses[i].Severity)
	}

	return worst
}

// DoctorOptions change what Doctor does.
type DoctorOptions struct {
	// ReadOnly leaves out the check that writes: it claims, completes and removes a record of its own.
	ReadOnly bool
}

// Doctor examines a store: what the store's own diagnoses say, whether records can be read, listed, written and removed from here, how
// long that takes, and how far the store's clock is from the clock here.
func Doctor(ctx context.Context, s store.Store, opts DoctorOptions) Health {
	d := doctor{store: s, can: s.Capabilities()}

	if d.can.Diagnoser != nil {
		d.found = append(d.found, d.can.Diagnoser.Diagnose(ctx)...)
	}

	d.abilities()

	if d.lookups(ctx) {
		d.list(ctx)

		if !opts.ReadOnly {
			d.write(ctx)
		}
	}

	return Health{Diagnoses: d.found}
}

type doctor struct {
	store store.Store
	can   store.Capabilities
	found []store.Diagnosis
}

func (d *doctor) note(check, where string, severity store.Severity, found, remedy string) {
	d.found = append(d.found, store.Diagnosis{Check: check, Where: where, Severity: severity, Found: found, Remedy: remedy})
}

// abilities reports what operators cannot do.
func (d *doctor) abilities() {
	const remedy = "use a store, or a wrapper, that has the ability"

	for _, ability := range []struct {
		missing bool
		found   string
	}{
		{d.can.Inspector == nil, "records cannot be read or settled by hand"},
		{d.can.Lister == nil, "records cannot be listed"},
		{d.can.Forgetter == nil, "records cannot be removed by hand"},
	} {
		if ability.missing {
			d.note("abilities", "", store.SeverityWarn, ability.found, remedy)
		}
	}

	d.found = append(d.found, unknownRetention(d.can.UnknownRetention)...)
}

// unknownRetention judges how long records stay that nobody settles. Zero is for ever.
func unknownRetention(retention time.Duration) []store.Diagnosis {
	if retention == 0 {
		return nil
	}

	d := store.Diagnosis{
		Check: "unknown retention",
		Found: fmt.Sprintf("records that nobody settles are removed after %v, and the next call with such a key runs", retention),
	}

	if retention < shortRetention {
		d.Severity, d.Remedy = store.SeverityWarn, "give more time than clients retry and people need to settle a record"
	}

	return []store.Diagnosis{d}
}

// lookups reads a record that is not there, in each part of the store, and reports whether that works everywhere.
func (d *doctor) lookups(ctx context.Context) bool {
	if d.can.Inspector == nil {
		return true
	}

	works := true

	parts := d.parts()

	for _, part := range slices.Sorted(maps.Keys(parts)) {
		key := parts[part]

		_, _ = d.can.Inspector.Lookup(ctx, key) // the first one connects

		before := time.Now()
		res, err := d.can.Inspector.Lookup(ctx, key)
		after := time.Now()

		if err != nil {
			d.note("reads", part, store.SeverityFail, "a record cannot be read: "+err.Error(), "look at the other checks")

			works = false

			continue
		}

		d.found = append(d.found, latency(part, after.Sub(before)), clock(part, before, after, res.Now))
	}

	return works
}

// parts has a random key for each part of the store.
func (d *doctor) parts() map[string]store.Key {
	found := make(map[string]store.Key)

	for range mostParts {
		key := randomKey()

		if d.can.Part == nil {
			return map[string]store.Key{"": key}
		}

		found[d.can.Part(key)] = key
	}

	return found
}

func randomKey() (key store.Key) {
	_, _ = rand.Read(key[:]) // it never fails

	return key
}

// latency judges how long a lookup has taken.
func latency(part string, took time.Duration) store.Diagnosis {
	d := store.Diagnosis{Check: "reads", Where: part, Found: fmt.Sprintf("a record is read in %v", round(took))}

	if took > slowWarns {
		d.Severity, d.Remedy = store.SeverityWarn, "run the servers nearer to the store: a call waits for it twice"
	}

	return d
}

// clock judges a store's clock, which was read between two times of the clock here.
func clock(part string, before, after, at time.Time) store.Diagnosis {
	const check = "clock"

	if at.IsZero() {
		return store.Diagnosis{Check: check, Where: part, Found: "the store does not say what time it is"}
	}

	var offset time.Duration

	switch {
	case at.Before(before):
		offset = at.Sub(before)
	case at.After(after):
		offset = at.Sub(after)
	}

	// Some clocks of stores have milliseconds.
	if offset.Abs() < time.Millisecond {
		offset = 0
	}

	d := store.Diagnosis{
		Check: check, Where: part,
		Found: fmt.Sprintf("the store's clock is %v from the clock here, give or take %v", round(offset), round(after.Sub(before))),
	}

	if offset.Abs() > clockWarns {
		d.Severity = store.SeverityWarn
		d.Remedy = "set both clocks by NTP: leases are safe, since the store's clock decides, but keys with a time and people compare clocks"
	}

	return d
}

// round leaves out what nobody reads.
func round(d time.Duration) time.Duration {
	switch {
	case d.Abs() < time.Millisecond:
		return d.Round(time.Microsecond)
	case d.Abs() < time.Second:
		return d.Round(10 * time.Microsecond)
	default:
		return d.Round(time.Millisecond)
	}
}

// list reads the index.
func (d *doctor) list(ctx context.Context) {
	if d.can.Lister == nil {
		return
	}

	unknown, unreadable := 0, 0

	for _, err := range d.can.Lister.ListUnknown(ctx) {
		switch {
		case errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer):
			unreadable++
		case err != nil:
			d.note("index", "", store.SeverityFail, "records cannot be listed: "+err.Error(), "look at the other checks")

			return
		default:
			unknown++
		}
	}

	d.note("index", "", store.SeverityOK, "records can be listed", "")

	if unknown > 0 {
		d.note("unknown records", "", store.SeverityWarn, fmt.Sprintf("%d records wait for somebody to settle them", unknown),
			"see onlyonce list, or run a reconciler")
	} else {
		d.note("unknown records", "", store.SeverityOK, "no record waits for somebody to settle it", "")
	}

	if unreadable > 0 {
		d.note("unreadable records", "", store.SeverityWarn, fmt.Sprintf("%d records cannot be read: calls with their keys are refused",
			unreadable), "deploy the newest build everywhere, or forget them by force")
	}
}

// write claims, completes and removes a record in each part of the store.
func (d *doctor) write(ctx context.Context) {
	parts := d.parts()

	for _, part := range slices.Sorted(maps.Keys(parts)) {
		before := time.Now()

		if err := d.probe(ctx, parts[part]); err != nil {
			d.note("records", part, store.SeverityFail, "a record cannot be written: "+err.Error(), "look at the other checks, and at the "+
				"rights of the user")

			continue
		}

		d.note("records", part, store.SeverityOK, fmt.Sprintf("a record is claimed, completed and removed in %v",
			round(time.Since(before))), "")
	}
}

var errNotApplied = errors.New("the store has refused the operation")

func (d *doctor) probe(ctx context.Context, key store.Key) error {
	op := store.Claim{Key: key, Lease: probeRetention, MaxRun: probeRetention, Retention: probeRetention, Method: probeMethod}
	_, _ = rand.Read(op.Token[:]) // it never fails

	res, err := d.store.Claim(ctx, op)
	if err == nil && !res.Applied {
		err = errNotApplied
	}

	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}

	res, err = d.store.Complete(ctx, store.Completion{Key: key, Token: op.Token, Outcome: []byte(probeMethod), Receipt: res.Receipt})
	if err == nil && !res.Applied {
		err = errNotApplied
	}

	if err != nil {
		return fmt.Errorf("completion: %w", err)
	}

	if d.can.Forgetter == nil {
		return nil // it expires
	}

	res, err = d.can.Forgetter.Forget(ctx, store.Forgetting{Key: key, Token: op.Token, Fence: res.Record.Fence})
	if err == nil && !res.Applied {
		err = errNotApplied
	}

	if err != nil {
		return fmt.Errorf("removal: %w", err)
	}

	return nil
}
