package interceptor

import (
	"errors"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// F75: every decision about an attempt, by the state of its replica and by the reply.
func TestF75_WhatFollowsFromAReply(t *testing.T) {
	const (
		unknown, presumed, confirmed, denied = standingUnknown, standingPresumed, standingConfirmed, standingDenied
		unsent, lost, said, inFront, bare    = replyUnsent, replyLost, replyStatus, replyInFront, replyBare
	)

	again, stop, alarm := ruling{retry: true}, ruling{}, ruling{report: true}

	table := map[standing]map[reply]ruling{
		unknown:   {unsent: again, lost: stop, said: again, inFront: stop, bare: alarm},
		presumed:  {unsent: again, lost: again, said: again, inFront: stop, bare: alarm},
		confirmed: {unsent: again, lost: again, said: again, inFront: again, bare: alarm},
		denied:    {unsent: again, lost: stop, said: again, inFront: stop, bare: alarm},
	}

	for s, row := range table {
		row[replyUnseen] = stop

		for r, want := range row {
			if got := s.after(r); got != want {
				t.Errorf("standing %d, reply %d: %+v, want %+v", s, r, got, want)
			}
		}

		if got := s.after(reply(99)); got != stop {
			t.Errorf("standing %d, a reply that nobody knows: %+v", s, got)
		}
	}
}

// F75: which replies are answers, and which are failures of the connection.
func TestF75_KindsOfReplies(t *testing.T) {
	sent := delivery{calls: 1, addr: &net.TCPAddr{}}
	header := metadata.Pairs("content-type", "application/grpc")
	with := func(name, value string) metadata.MD {
		return metadata.Pairs("content-type", "application/grpc", name, value)
	}

	for name, tt := range map[string]struct {
		answer clientAnswer
		code   codes.Code
		want   reply
	}{
		"the status, with OK":                   {clientAnswer{header, with(StatusTrailer, "executed"), sent}, codes.OK, replyStatus},
		"the status, with an error":             {clientAnswer{nil, with(StatusTrailer, "unknown"), sent}, codes.Unavailable, replyStatus},
		"OK":                                    {clientAnswer{header, nil, sent}, codes.OK, replyBare},
		"OK with trailers":                      {clientAnswer{header, with("x", "y"), sent}, codes.OK, replyBare},
		"OK from an interceptor on the way":     {clientAnswer{}, codes.OK, replyBare},
		"an error of the application":           {clientAnswer{nil, header, sent}, codes.NotFound, replyBare},
		"INTERNAL":                              {clientAnswer{nil, header, sent}, codes.Internal, replyBare},
		"UNKNOWN":                               {clientAnswer{nil, header, sent}, codes.Unknown, replyBare},
		"an error behind headers":               {clientAnswer{header, nil, sent}, codes.FailedPrecondition, replyBare},
		"UNAVAILABLE":                           {clientAnswer{nil, header, sent}, codes.Unavailable, replyInFront},
		"RESOURCE_EXHAUSTED":                    {clientAnswer{nil, header, sent}, codes.ResourceExhausted, replyInFront},
		"UNAUTHENTICATED":                       {clientAnswer{nil, header, sent}, codes.Unauthenticated, replyInFront},
		"UNIMPLEMENTED":                         {clientAnswer{nil, header, sent}, codes.Unimplemented, replyInFront},
		"headers, and then the connection ends": {clientAnswer{header, nil, sent}, codes.Unavailable, replyLost},
		"headers, and then a reset":             {clientAnswer{header, nil, sent}, codes.Internal, replyLost},
		"headers, and then the deadline":        {clientAnswer{header, nil, sent}, codes.DeadlineExceeded, replyLost},
		"a response that is too large":          {clientAnswer{header, nil, sent}, codes.ResourceExhausted, replyLost},
		"the connection ends":                   {clientAnswer{nil, nil, sent}, codes.Unavailable, replyLost},
		"an HTTP error":                         {clientAnswer{nil, nil, sent}, codes.Unimplemented, replyLost},
		"no connection":                         {clientAnswer{delivery: delivery{calls: 1, addr: unsent{}}}, codes.Unavailable, replyUnsent},
		"a connection without an address ends":  {clientAnswer{delivery: delivery{calls: 1}}, codes.Unavailable, replyLost},
		"an interceptor on the way":             {clientAnswer{}, codes.Unavailable, replyUnseen},
	} {
		if got := tt.answer.kind(status.Error(tt.code, name)); got != tt.want {
			t.Errorf("%s is of kind %d, want %d", name, got, tt.want)
		}
	}

	twice := clientAnswer{delivery: delivery{calls: 2, addr: sent.addr}}
	if got := twice.kind(status.Error(codes.Unavailable, "the connection is draining")); got != replyLost {
		t.Errorf("the second call of an attempt makes it one of kind %d", got)
	}

	for text, want := range map[string]reply{
		"stream terminated by RST_STREAM with error code: REFUSED_STREAM":              replyUnsent,
		"the connection is draining":                                                   replyUnsent,
		"the stream is rejected because server is draining the connection":             replyUnsent,
		"stream terminated by RST_STREAM with error code: INTERNAL_ERROR":              replyLost,
		"error reading from server: the connection is draining":                        replyLost,
		"closing transport due to: the stream is rejected because server is draining ": replyLost,
	} {
		if got := (&clientAnswer{delivery: sent}).kind(status.Error(codes.Unavailable, text)); got != want {
			t.Errorf("%q is of kind %d, want %d", text, got, want)
		}
	}
}

func TestF75_ReplicasAreDistinguished(t *testing.T) {
	for _, annotated := range []bool{false, true} {
		c := &confirmation{presumed: annotated}
		stranger := map[bool]standing{false: standingUnknown, true: standingPresumed}[annotated]

		mustStand := func(replica string, want standing) {
			t.Helper()

			if got := c.of(replica); got != want {
				t.Errorf("annotated %t: %s has standing %d, want %d", annotated, replica, got, want)
			}
		}

		mustStand("new", stranger)
		c.learn("new", 0, replyStatus)
		mustStand("new", standingConfirmed)
		mustStand("third", stranger)

		c.learn("old", 0, replyBare)
		mustStand("old", standingDenied)
		mustStand("new", standingConfirmed)
		mustStand("third", standingUnknown) // the answer ends the presumption for all replicas

		for _, r := range []reply{replyUnsent, replyLost, replyInFront} {
			c.learn("old", 0, r)
			c.learn("new", 0, r)
			c.learn("third", 0, r)
		}

		mustStand("old", standingDenied)
		mustStand("new", standingConfirmed)
		mustStand("third", standingUnknown)

		for range confirmingRun {
			mustStand("old", standingDenied)
			c.learn("old", 0, replyStatus)
		}

		mustStand("old", standingConfirmed)
		mustStand("third", stranger)
	}
}

// F75: an address that has given an answer without the status may hide several servers.
func TestF75_AnswersInARowConfirmAReplicaThatHasAnsweredWithoutTheStatus(t *testing.T) {
	var stranger replicaRecord

	bare := stranger.after(replyBare, 7)
	confirmed := replicaRecord{since: 7}

	for name, tt := range map[string]struct {
		record replicaRecord
		answer reply
		want   replicaRecord
	}{
		"the first answer has the status":     {stranger, replyStatus, confirmed},
		"the first answer has none":           {stranger, replyBare, replicaRecord{missing: confirmingRun}},
		"a confirmed replica stays confirmed": {replicaRecord{since: 3}, replyStatus, replicaRecord{since: 3}},
		"a confirmed replica is denied":       {replicaRecord{since: 3}, replyBare, replicaRecord{missing: confirmingRun}},
		"one answer is not enough":            {bare, replyStatus, replicaRecord{missing: confirmingRun - 1}},
		"the run is interrupted":              {replicaRecord{missing: 1}, replyBare, replicaRecord{missing: confirmingRun}},
		"the run is complete":                 {replicaRecord{missing: 1}, replyStatus, confirmed},
	} {
		if got := tt.record.after(tt.answer, 7); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}

	if stranger.confirmed() || bare.confirmed() || !confirmed.confirmed() {
		t.Error("only an answer with the status confirms")
	}
}

func TestF75_ReplicaIsConfirmedFromAnAnswerOn(t *testing.T) {
	for annotated, before := range map[bool]ruling{false: {}, true: {retry: true}} {
		c := &confirmation{presumed: annotated}
		early := c.now()
		c.learn("replica", early, replyStatus)
		late := c.now()

		for _, tt := range []struct {
			sent uint64
			lost ruling
		}{{early, before}, {late, ruling{retry: true}}} {
			if got := c.learn("replica", tt.sent, replyLost); got != tt.lost {
				t.Errorf("annotated %t, sent after %d answers, lost: %+v, want %+v", annotated, tt.sent, got, tt.lost)
			}

			if got := c.learn("replica", tt.sent, replyInFront); got.retry != (tt.sent == late) {
				t.Errorf("annotated %t, sent after %d answers, answered in front: %+v", annotated, tt.sent, got)
			}
		}

		c.learn("replica", late, replyStatus) // changes nothing

		if got := c.learn("replica", late, replyLost); !got.retry {
			t.Errorf("annotated %t: a further answer takes the confirmation back", annotated)
		}
	}
}

// The number of remembered replicas is bounded. To forget a replica can only cost retries.
func TestReplicasAreBounded(t *testing.T) {
	for name, first := range map[string]reply{"confirmed": replyStatus, "denied": replyBare} {
		c := &confirmation{presumed: true}
		c.learn("the first to be denied", 0, replyBare)

		for i := range 3 * mostReplicas {
			c.learn(strconv.Itoa(i), 0, first)
		}

		if len(c.replicas) != mostReplicas {
			t.Errorf("%s: %d replicas are kept, want %d", name, len(c.replicas), mostReplicas)
		}

		if got := c.of("a stranger"); got != standingUnknown {
			t.Errorf("%s: a stranger has standing %d although replicas are denied", name, got)
		}
	}
}

func TestConnectionsThatAreGoneAreForgotten(t *testing.T) {
	c := &confirmations{presumed: func(string) bool { return false }}
	kept := new(grpc.ClientConn)

	c.of(kept, "", "/s/m").learn("replica", 0, replyStatus)
	c.of(kept, "", "/s/m").declare(time.Hour)
	c.of(nil, "", "/s/m")

	for range 10 {
		c.of(new(grpc.ClientConn), "", "/s/m").learn("replica", 0, replyStatus)
	}

	count := func() int {
		c.mu.RLock()
		defer c.mu.RUnlock()

		return len(c.conns)
	}

	for range 1000 {
		if count() == 2 {
			break
		}

		runtime.GC()
		runtime.Gosched() // cleanups run on their own goroutine
	}

	if n := count(); n != 2 {
		t.Errorf("%d connections are known, want the one that is held, and none", n)
	}

	if got := c.of(kept, "", "/s/m"); got.of("replica") != standingConfirmed || got.declaredRetention() != time.Hour {
		t.Error("what is known of the connection that is held is lost")
	}

	if c.of(kept, "", "/s/other").of("replica") != standingUnknown || c.of(new(grpc.ClientConn), "", "/s/m").of("replica") != standingUnknown {
		t.Error("another method, or another connection, is confirmed")
	}

	runtime.KeepAlive(kept)
}

func TestDeclaredRetentionIsReadStrictly(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"3600": time.Hour, "1": time.Second, "007": 7 * time.Second, "0": 1, "": 0, "-5": 0, "+5": 0, "1.5": 0, "1h": 0, "1_000": 0,
		"99999999999999999999": 0, "9223372037": 0, "9223372036": 9223372036 * time.Second,
	} {
		a := clientAnswer{trailer: metadata.Pairs(StatusTrailer, "executed", RetentionTrailer, value)}
		if got := a.retention(); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}

	several := clientAnswer{trailer: metadata.Pairs(StatusTrailer, "executed", RetentionTrailer, "5", RetentionTrailer, "5")}
	if got := several.retention(); got != 0 {
		t.Errorf("two values are %v", got)
	}

	foreign := clientAnswer{trailer: metadata.Pairs(RetentionTrailer, "5")}
	if got := foreign.retention(); got != 0 {
		t.Errorf("in an answer without a status it is %v", got)
	}
}

type resetter struct{ text string }

func (r *resetter) Reset() { r.text = "reset" }

func TestRepliesBecomeWhatTheCallerGave(t *testing.T) {
	type frame struct{ target, text string }

	old, raw, plain := &resetter{"given"}, []byte(nil), frame{target: "given"}

	empty := func(reply any, fill func()) {
		r := replyTo(reply)

		fill()
		r.empty()
	}

	for _, reply := range []any{nil, (*resetterless)(nil), errors.New("no pointer to a reply")} {
		empty(reply, func() {})
	}

	empty(old, func() { old.text = "answer" })
	empty(&raw, func() { raw = []byte("answer") })
	empty(&plain, func() { plain = frame{"answer", "answer"} })

	if old.text != "reset" || raw != nil || plain != (frame{target: "given"}) {
		t.Errorf("the replies are %+v, %q, %+v", old, raw, plain)
	}
}

type resetterless struct{}
