package wires_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// shares reports whether two wires share their records: where the method and the request are the same.
func (w *wire) shares(other *wire) bool {
	return w.name == other.name || w.form.hasCodes() && other.form.hasCodes()
}

// A call may go over one wire and its retry over another, to a server with another engine on the same store.
func TestRecordsCrossWiresWhereMethodAndRequestAreTheSame(t *testing.T) {
	for _, first := range wires() {
		for _, second := range wires() {
			t.Run(first.name+" to "+second.name, func(t *testing.T) {
				if first.shares(&second) {
					mustShare(t, &first, &second)
				} else {
					mustBeApart(t, &first, &second)
				}
			})
		}
	}
}

// pair is two servers on one store.
func pair(t *testing.T, first, second *wire, s setup) (from, to *stage) {
	t.Helper()

	s.store = memstore.New()

	return first.stage(t, s), second.stage(t, s)
}

func mustShare(t *testing.T, first, second *wire) {
	t.Helper()

	c := call{text: "4711 \u00e9", keys: []string{"key"}}

	for _, res := range []result{
		decorated(result{text: "paid \u00e9"}), {}, decorated(result{code: codes.NotFound, message: "no \u00e9", details: 2}),
	} {
		from, to := pair(t, first, second, setup{work: giving(res)})
		was, is := from.call(c), to.call(c)

		from.mustBe(was, onlyonce.StatusExecuted)
		to.mustBe(is, onlyonce.StatusReplayed)
		to.mustHaveRun(0)

		if is.ok != was.ok || is.text != was.text || is.message != was.message {
			t.Errorf("the replay is\n%+v, the first answer was\n%+v", is, was)
		}

		if first.form.showsCodes() && second.form.showsCodes() && (is.code != was.code || is.details != was.details) {
			t.Errorf("the replayed error is\n%+v, the first answer was\n%+v", is, was)
		}

		for _, name := range []string{strings.ToLower(handlerHeader), strings.ToLower(handlerTrailer)} {
			if was, is := was.metadata(name), is.metadata(name); !slices.Equal(was, is) {
				t.Errorf("%s is %q, and was %q", name, is, was)
			}
		}

		to.mustBeRejected(to.call(call{text: "another", keys: []string{"key"}}), keyReused)
	}

	from, to := pair(t, first, second, setup{work: failing(codes.Internal)})
	from.mustBe(from.pay("key"), onlyonce.StatusUnknown)
	to.mustBeRejected(to.pay("key"), outcomeUnknown)
	to.mustHaveRun(0)

	if !first.form.hasCodes() {
		return
	}

	// A key in the request equals the same key in the metadata.
	from, to = pair(t, first, second, setup{})
	from.mustBe(from.call(call{op: opTransfer, text: "4711", field: "key"}), onlyonce.StatusExecuted)
	to.mustBe(to.call(call{op: opTransfer, text: "4711", keys: []string{"key"}, sentAt: "later"}), onlyonce.StatusReplayed)
}

func mustBeApart(t *testing.T, first, second *wire) {
	t.Helper()

	from, to := pair(t, first, second, setup{})
	from.mustBe(from.pay("key"), onlyonce.StatusExecuted)
	to.mustBe(to.pay("key"), onlyonce.StatusExecuted)
	to.mustHaveRun(1)
}

// crossTable is the section of the docs about records that cross wires.
func crossTable() string {
	var text strings.Builder

	text.WriteString(crossHead)

	for _, w := range wires() {
		fmt.Fprintf(&text, " %s |", w.name)
	}

	text.WriteString("\n| --- |" + strings.Repeat(" --- |", len(wires())) + "\n")

	for _, first := range wires() {
		fmt.Fprintf(&text, "| %s |", first.name)

		for _, second := range wires() {
			if first.shares(&second) {
				text.WriteString(" replay |")
			} else {
				text.WriteString(" apart |")
			}
		}

		text.WriteString("\n")
	}

	return text.String()
}

const crossHead = `
## Records across wires

A record belongs to a scope, a method and a key. On all wires of gRPC and Connect, and behind a gateway, the method is the full name of the
RPC and the request is its message. So a call may go over one of them and its retry over another, also to another server on the same store:
the retry gets the replay. net/http has a method and a route in place of the RPC's name, and a body in place of a message. So its records
are kept apart, and the same key on both runs two handlers: choose one of them for each operation.

The row has the wire of the first call, the column that of its retry.

| |`
