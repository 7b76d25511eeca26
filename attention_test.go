package onlyonce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// attentive is the default observer, writing into a buffer.
func attentive() (Observer, *bytes.Buffer) {
	var lines bytes.Buffer

	return attention(func() *slog.Logger { return slog.New(slog.NewTextHandler(&lines, nil)) }), &lines
}

func TestDefaultObserverWritesWhatAnOperatorMustKnow(t *testing.T) {
	t.Parallel()

	failed := errors.New("the line is dead")

	for want, event := range map[string]Event{
		"unknown outcome":      {Kind: EventCall, Status: StatusUnknown},
		"unrecorded outcome":   {Kind: EventCall, Status: StatusUnrecorded},
		"unprotected call":     {Kind: EventCall, Status: StatusUnprotected},
		"damaged record":       {Kind: EventCall, Status: StatusRejected, Reason: ReasonRecordUnreadable},
		"misconfigured method": {Kind: EventCall, Status: StatusRejected, Err: fmt.Errorf("calling: %w", ErrOwnKey)},
		"store failure":        {Kind: EventCall, Status: StatusRejected, Reason: ReasonStoreUnavailable, Err: rejectStoreError(failed)},
		"lease lost":           {Kind: EventLeaseLost},
		"settlement failed":    {Kind: EventSettleFailed, Err: failed},
		"recovery failed":      {Kind: EventRecoverFailed, Err: failed},
		"transaction unused":   {Kind: EventTransactionUnused},
	} {
		observer, lines := attentive()
		event.Method, event.Key = "/bank.Payments/Pay", "order-1"
		observer.Observe(t.Context(), event)

		for _, part := range []string{"level=WARN", want, "/bank.Payments/Pay", "key_hash=0bafe22156d2698c", "remedy="} {
			if !strings.Contains(lines.String(), part) {
				t.Errorf("%s: the line %q does not say %q", want, lines, part)
			}
		}
	}
}

// A run that ended without a known outcome is not always a record to settle: only AtMostOnce holds the key.
func TestRemedyOfAnUnknownOutcomeFitsTheRecord(t *testing.T) {
	t.Parallel()

	observer, lines := attentive()
	observer.Observe(t.Context(), Event{Kind: EventCall, Status: StatusUnknown, Err: errors.New("the line is dead")})

	if !strings.Contains(lines.String(), "under AT_MOST_ONCE") || !strings.Contains(lines.String(), "the next call with the key runs") {
		t.Errorf("the end of a run: %s", lines)
	}

	observer, lines = attentive()
	observer.Observe(t.Context(), Event{Kind: EventCall, Status: StatusUnknown, Reason: ReasonOutcomeUnknown})

	if strings.Contains(lines.String(), "next call") || !strings.Contains(lines.String(), "settle the record") {
		t.Errorf("a duplicate of such a run: %s", lines)
	}
}

func TestAttentionObserverIsTheDefaultOne(t *testing.T) {
	t.Parallel()

	var lines bytes.Buffer

	AttentionObserver(slog.New(slog.NewTextHandler(&lines, nil))).Observe(t.Context(), Event{Kind: EventLeaseLost, Key: "order-1"})

	if !strings.Contains(lines.String(), "lease lost") || strings.Contains(lines.String(), "order-1") {
		t.Errorf("the line is %q", lines.String())
	}
}

func TestDefaultObserverLogsNoUsualEvents(t *testing.T) {
	t.Parallel()

	observer, lines := attentive()

	for _, event := range []Event{
		{Kind: EventCall, Status: StatusExecuted}, {Kind: EventCall, Status: StatusReplayed}, {Kind: EventCall, Status: StatusReleased},
		{Kind: EventCall, Status: StatusRejected, Reason: ReasonInProgress}, {Kind: EventCall, Status: StatusRejected, Reason: ReasonKeyReused},
		{Kind: EventCall, Status: StatusRejected, Err: context.Canceled},
		{Kind: EventCall, Status: StatusRejected, Reason: ReasonStoreUnavailable, Err: rejectDraining()},
		{Kind: EventCall, Status: StatusRejected, Err: &forbiddenError{err: &misconfiguredError{err: ErrOwnKey}}},
		{Kind: EventTakeover}, {Kind: EventPendingSettled}, {Kind: EventResolved}, {Kind: EventForgotten}, {Kind: EventSchemeDiffers},
	} {
		observer.Observe(t.Context(), event)
	}

	if lines.Len() > 0 {
		t.Errorf("it wrote %s", lines)
	}
}

func TestDefaultObserverWritesFewLinesAMinuteOfEachKind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		observer, lines := attentive()

		flood := func() (n int) {
			lines.Reset()

			for range 100 {
				observer.Observe(t.Context(), Event{Kind: EventLeaseLost})
			}

			return strings.Count(lines.String(), "\n")
		}

		if n := flood(); n != attentionLines {
			t.Errorf("%d lines about 100 events, want %d", n, attentionLines)
		}

		observer.Observe(t.Context(), Event{Kind: EventTransactionUnused})

		if !strings.Contains(lines.String(), "transaction unused") {
			t.Error("a flood of one kind has silenced another")
		}

		time.Sleep(attentionPeriod)

		if n := flood(); n != attentionLines || !strings.Contains(lines.String(), "suppressed=95") {
			t.Errorf("after a minute: %d lines, %s", n, lines)
		}
	})
}

func TestEngineWithoutAnObserverOptionWritesToTheDefaultLogger(t *testing.T) {
	t.Parallel()

	e := &Engine{observer: attention(slog.Default), quiet: true}

	for _, usual := range []Status{StatusExecuted, StatusReplayed, StatusReleased} {
		if e.watched(usual, nil) {
			t.Errorf("the end of a call that is %s costs an event", usual)
		}
	}

	for _, status := range []Status{StatusUnknown, StatusUnrecorded, StatusUnprotected} {
		if !e.watched(status, nil) {
			t.Errorf("nobody learns of a call that is %s", status)
		}
	}

	WithObserver(nil)(e)

	if e.watched(StatusUnknown, ErrOwnKey) {
		t.Error("nil does not switch the observer off")
	}
}
