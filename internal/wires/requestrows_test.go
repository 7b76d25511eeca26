package wires_test

import (
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
)

// Why wires do not have rows.
const (
	noFields = "net/http has no messages, so no field of a request is marked: the key is in the header, and the whole body belongs to " +
		"the request."
	noQuotes = "Metadata of gRPC is no Structured Header: quotes are a part of the key."
	noCodes  = "Handlers of net/http answer with statuses, and not with codes of gRPC."
	statuses = "Handlers answer with codes of gRPC, and not with statuses of HTTP."
)

func needsFields(w *wire) string {
	if w.form == formHTTP {
		return noFields
	}

	return ""
}

func needsCodes(w *wire) string {
	if !w.form.hasCodes() {
		return noCodes
	}

	return ""
}

func needsStatuses(w *wire) string {
	if w.form.hasCodes() {
		return statuses
	}

	return ""
}

// framedOnly is for wires on which an error needs no header.
func framedOnly(w *wire) string {
	switch w.form {
	case formHTTP, formGateway:
		return "HTTP has no native retries: an answer is a header and a body. Clients obey `Retry-After`."
	case formConnect:
		return "Clients of connect-go have no native retries."
	case formGRPC:
	}

	return ""
}

// needsQuotes is for wires whose keys are HTTP headers.
func needsQuotes(w *wire) string {
	if w.form == formGRPC {
		return noQuotes
	}

	return ""
}

var keyInvalid = rejection{reason: onlyonce.ReasonKeyInvalid, code: codes.InvalidArgument, field: "idempotency-key"}

func requestRows() []row {
	return []row{
		{says: "a key of 1 to 255 printable ASCII characters", check: func(s *stage) string {
			for _, key := range []string{"!", "~", strings.Repeat("k", 255)} {
				s.mustBe(s.pay(key), onlyonce.StatusExecuted)
			}

			for _, key := range []string{"", "two words", strings.Repeat("k", 256)} {
				s.mustBeRejected(s.pay(key), keyInvalid)
			}

			s.mustHaveRun(3)

			return ""
		}},
		{says: "exactly one key", check: func(s *stage) string {
			s.mustBeRejected(s.pay("key", "key"), keyInvalid)
			s.mustHaveRun(0)

			return ""
		}},
		{says: "keys are case-sensitive", check: func(s *stage) string {
			s.mustSay(s.pay("key"), "run 1")
			s.mustSay(s.pay("KEY"), "run 2")

			return ""
		}},
		{says: "`\"abc\"` and `abc` are the same key", without: needsQuotes, check: func(s *stage) string {
			first := s.pay("abc")
			s.mustBeReplayOf(s.pay(`"abc"`), first)
			s.mustBeRejected(s.pay(`"abc`), keyInvalid)

			return ""
		}},
		{says: "quotes are a part of the key", without: func(w *wire) string {
			if needsQuotes(w) == "" {
				return "Keys in HTTP headers may be strings of RFC 8941: `\"abc\"` and `abc` are the same key."
			}

			return ""
		}, check: func(s *stage) string {
			s.mustSay(s.pay("abc"), "run 1")
			s.mustSay(s.pay(`"abc"`), "run 2")

			return ""
		}},
		{
			says: "a stricter policy, `StrictKeys`",
			setup: func() setup {
				strict := onlyonce.StrictKeys()

				return setup{rules: &strict}
			},
			check: func(s *stage) string {
				s.mustBe(s.pay("Order_4711-a"), onlyonce.StatusExecuted)
				s.mustBeRejected(s.pay("012345678"), keyInvalid)
				s.mustBeRejected(s.pay("with.a.full.stop"), keyInvalid)

				return ""
			},
		},
		{says: "a key in the request, equal to that of the metadata where both are present", without: needsFields, check: func(s *stage) string {
			first := s.call(call{op: opTransfer, field: "key"})
			s.mustBe(first, onlyonce.StatusExecuted)
			s.mustBeReplayOf(s.call(call{op: opTransfer, field: "key", keys: []string{"key"}}), first)
			s.mustBeReplayOf(s.call(call{op: opTransfer, keys: []string{"key"}}), first)

			inField := keyInvalid
			inField.field = "request_id"

			s.mustBeRejected(s.call(call{op: opTransfer, field: "key", keys: []string{"Key"}}), inField)
			s.mustBeRejected(s.call(call{op: opTransfer, field: "two words"}), inField)
			s.mustHaveRun(1)

			return ""
		}},
		{says: "a key in the request of format UUID4 is lower-cased", without: needsFields, check: func(s *stage) string {
			const lowered = "9b2f0c3e-4d5a-4b6c-8d7e-0f1a2b3c4d5e"

			first := s.call(call{op: opOrder, field: strings.ToUpper(lowered)})
			s.mustBe(first, onlyonce.StatusExecuted)
			s.mustBeReplayOf(s.call(call{op: opOrder, keys: []string{lowered}}), first)

			return ""
		}},
		{says: "`x-retry-attempt` and `grpc-previous-rpc-attempts` are no part of the identity", check: func(s *stage) string {
			first := s.pay("key")

			for _, name := range []string{"x-retry-attempt", "grpc-previous-rpc-attempts"} {
				s.mustBeReplayOf(s.call(call{text: "4711", keys: []string{"key"}, md: map[string]string{name: "2"}}), first)
			}

			return ""
		}},
		{says: "the same key on another method is another call", check: func(s *stage) string {
			s.mustSay(s.pay("key"), "run 1")
			s.mustSay(s.call(call{op: opRefund, text: "4711", keys: []string{"key"}}), "run 2")

			return ""
		}},
		{
			says: "the same key in another scope is another call", setup: func() setup { return setup{scoped: true} },
			check: func(s *stage) string {
				for _, caller := range []string{"Ann", "Bob"} {
					s.mustBe(s.call(call{text: "4711", keys: []string{"key"}, caller: caller}), onlyonce.StatusExecuted)
				}

				s.mustBe(s.call(call{text: "4711", keys: []string{"key"}, caller: "Ann"}), onlyonce.StatusReplayed)

				return ""
			},
		},
		{says: "the same request: without the key and the ignored fields", without: needsFields, check: func(s *stage) string {
			first := s.call(call{op: opTransfer, field: "key", text: "4711", sentAt: "now"})
			s.mustBeReplayOf(s.call(call{op: opTransfer, keys: []string{"key"}, text: "4711", sentAt: "later"}), first)
			s.mustBeRejected(s.call(call{op: opTransfer, field: "key", text: "4712", sentAt: "now"}), keyReused)

			return ""
		}},
		{says: "a method without side effects passes, with a key or without one", check: func(s *stage) string {
			for range 2 {
				a := s.call(call{op: opBalance, text: "4711", keys: []string{"key"}})
				s.mustHaveNoStatus(a)
			}

			s.mustHaveRun(2)

			return ""
		}},
		{says: "order of checks: scope, key, lookup, fingerprint, permission, state", check: inOrder},
	}
}

// inOrder makes calls that fail several checks at once. The first failed check decides the answer.
func inOrder(s *stage) string {
	in := s.wire.stage(s.T, setup{store: down(), noScope: true})
	in.mustBeRejected(in.pay("two words"), scopeMissing)

	in = s.wire.stage(s.T, setup{store: down()})
	in.mustBeRejected(in.pay("two words"), keyInvalid)
	in.mustBeRejected(in.pay("key"), storeUnavailable)

	in = s.wire.stage(s.T, setup{forbids: true, work: failing(codes.Internal)})
	in.mustBe(in.pay("key"), onlyonce.StatusUnknown)

	unlike := keyReused
	unlike.first = "unknown"
	in.mustBeRejected(in.call(call{text: "another", keys: []string{"key"}}), unlike)

	if a := in.pay("key"); a.ok || a.message != "not yours any more" || in.status(&a) != onlyonce.StatusRejected {
		s.Errorf("the answer is not that of the replay check: %+v", a)
	}

	return ""
}
