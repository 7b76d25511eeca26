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

// The limits of Doctor.
const (
	// clockWarns is the clock difference from which Doctor warns. The store's clock decides about leases, but keys with a time use both
	// clocks.
	clockWarns = 2 * time.Second
	// slowWarns is the duration of a lookup from which Doctor warns.
	slowWarns = 100 * time.Millisecond
	// shortRetention is the retention of unsettled records below which Doctor warns.
	shortRetention = 7 * 24 * time.Hour
	// mostParts bounds the number of random keys that look for the parts of a store.
	mostParts = 256
	// probeRetention is how long the probe's record stays if it cannot be removed.
	probeRetention = time.Minute
	// probeMethod is the method name in the probe's record.
	probeMethod = "onlyonce.doctor"
)

// Health is the report of Doctor.
type Health struct {
	// Diagnoses are the results of all checks. The store's own checks come first.
	Diagnoses []store.Diagnosis
}

// Severity returns the worst severity in the report.
func (h *Health) Severity() store.Severity {
	worst := store.SeverityOK
	for i := range h.Diagnoses {
		worst = max(worst, h.Diagnoses[i].Severity)
	}

	return worst
}

// DoctorOptions configures Doctor. The zero value runs all checks.
type DoctorOptions struct {
	// ReadOnly skips the check that claims, completes and removes a test record.
	ReadOnly bool
}

// Doctor checks a store and reports:
//   - the diagnoses of the store itself, if it is a store.Diagnoser
//   - whether records can be read, listed, written and removed
//   - how long reading and writing takes
//   - the difference between the store's clock and the local clock
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

// abilities reports missing optional interfaces of the store.
func (d *doctor) abilities() {
	const remedy = "use a store, or a wrapper, with this ability"

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

// unknownRetention judges the retention of unsettled records. Zero means that they never expire.
func unknownRetention(retention time.Duration) []store.Diagnosis {
	if retention == 0 {
		return nil
	}

	d := store.Diagnosis{
		Check: "unknown retention",
		Found: fmt.Sprintf("unsettled records are removed after %v; then the next call with the key runs", retention),
	}

	if retention < shortRetention {
		d.Severity, d.Remedy = store.SeverityWarn, "set it longer than clients retry, and longer than people need to settle a record"
	}

	return []store.Diagnosis{d}
}

// lookups reads an absent record in each part of the store. It reports whether all parts answered.
func (d *doctor) lookups(ctx context.Context) bool {
	if d.can.Inspector == nil {
		return true
	}

	works := true

	parts := d.parts()

	for _, part := range slices.Sorted(maps.Keys(parts)) {
		key := parts[part]

		_, _ = d.can.Inspector.Lookup(ctx, key) // the first lookup may open a connection

		before := time.Now()
		res, err := d.can.Inspector.Lookup(ctx, key)
		after := time.Now()

		if err != nil {
			d.note("reads", part, store.SeverityFail, "a record cannot be read: "+err.Error(), "see the other checks")

			works = false

			continue
		}

		d.found = append(d.found, latency(part, after.Sub(before)), clock(part, before, after, res.Now))
	}

	return works
}

// parts returns a random key for each part of the store.
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

// latency judges the duration of a lookup.
func latency(part string, took time.Duration) store.Diagnosis {
	d := store.Diagnosis{Check: "reads", Where: part, Found: fmt.Sprintf("reading a record takes %v", round(took))}

	if took > slowWarns {
		d.Severity, d.Remedy = store.SeverityWarn, "run the servers closer to the store: each call waits for the store twice"
	}

	return d
}

// clock judges the store's clock, which was read between before and after on the local clock.
func clock(part string, before, after, at time.Time) store.Diagnosis {
	const check = "clock"

	if at.IsZero() {
		return store.Diagnosis{Check: check, Where: part, Found: "the store does not report its time"}
	}

	var offset time.Duration

	switch {
	case at.Before(before):
		offset = at.Sub(before)
	case at.After(after):
		offset = at.Sub(after)
	}

	// Some stores have clocks with millisecond precision.
	if offset.Abs() < time.Millisecond {
		offset = 0
	}

	d := store.Diagnosis{
		Check: check, Where: part,
		Found: fmt.Sprintf("the store's clock differs from the local clock by %v, ±%v", round(offset), round(after.Sub(before))),
	}

	if offset.Abs() > clockWarns {
		d.Severity = store.SeverityWarn
		d.Remedy = "set both clocks by NTP; leases use only the store's clock, but keys with a time compare clocks"
	}

	return d
}

// round drops meaningless digits.
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

// list lists the unsettled records.
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
			d.note("index", "", store.SeverityFail, "records cannot be listed: "+err.Error(), "see the other checks")

			return
		default:
			unknown++
		}
	}

	d.note("index", "", store.SeverityOK, "records can be listed", "")

	if unknown > 0 {
		d.note("unknown records", "", store.SeverityWarn, fmt.Sprintf("records with an unknown outcome that must be settled: %d", unknown),
			"list them with onlyonce list, or run a reconciler")
	} else {
		d.note("unknown records", "", store.SeverityOK, "no record has an unknown outcome", "")
	}

	if unreadable > 0 {
		d.note("unreadable records", "", store.SeverityWarn, fmt.Sprintf("records that cannot be read, whose calls are refused: %d",
			unreadable), "deploy the newest build everywhere, or remove them with onlyonce forget --force")
	}
}

// write claims, completes and removes a record in each part of the store.
func (d *doctor) write(ctx context.Context) {
	parts := d.parts()

	for _, part := range slices.Sorted(maps.Keys(parts)) {
		before := time.Now()

		if err := d.probe(ctx, parts[part]); err != nil {
			d.note("records", part, store.SeverityFail, "a record cannot be written: "+err.Error(), "see the other checks, and check the "+
				"rights of the user")

			continue
		}

		d.note("records", part, store.SeverityOK, fmt.Sprintf("claiming, completing and removing a record takes %v",
			round(time.Since(before))), "")
	}
}

var errNotApplied = errors.New("the store refused the operation")

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
		return nil // the record expires
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
