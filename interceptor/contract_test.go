package interceptor_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// row is a row of the contract.
type row struct {
	says  string
	setup func() setup // of the server, on the bubble's clock; nil: one with the defaults
	check func(s stage)
}

// TestContract checks the contract on the wire, row by row, with a client that does not use this package. The last
// table covers the client of this package. The rows are in the files named contract*_test.go.
func TestContract(t *testing.T) {
	for _, table := range []struct {
		title string
		rows  []row
	}{
		{"Request", requestRows()},
		{"Answer", statusRows()},
		{"Rejections", rejectionRows()},
		{"Which outcomes are kept", classRows()},
		{"Retention", retentionRows()},
		{"What a client does with an answer", clientRows()},
	} {
		t.Run(table.title, func(t *testing.T) {
			for _, r := range table.rows {
				t.Run(r.says, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						made := setup{}
						if r.setup != nil {
							made = r.setup()
						}

						r.check(stage{T: t, world: start(t, made, nil)})
					})
				})
			}
		})
	}
}

func requestRows() []row {
	return []row{
		{says: "metadata: 1 to 255 printable ASCII characters", check: func(s stage) {
			for _, key := range []string{"!", "~", strings.Repeat("k", 255)} {
				s.pay(s.T, key).mustHaveStatus(s.T, onlyonce.StatusExecuted)
			}

			for _, key := range []string{"", "two words", strings.Repeat("k", 256)} {
				s.pay(s.T, key).mustBe(s.T, keyInvalid)
			}

			s.mustHaveRun(s.T, 3)
		}},
		{says: "metadata: exactly one value", check: func(s stage) {
			s.call(withKey(s.Context(), "key", "key"), payment()).mustBe(s.T, keyInvalid)
		}},
		{says: "metadata: case-sensitive", check: func(s stage) {
			s.pay(s.T, "key").mustAnswer(s.T, "run 1")
			s.pay(s.T, "KEY").mustAnswer(s.T, "run 2")
		}},
		{
			says: "metadata: a stricter policy, 10 to 64 of A-Z a-z 0-9 - _",
			setup: func() setup {
				strict := onlyonce.StrictKeys()

				return setup{server: keyPolicy(interceptor.Policy{KeyRules: &strict})}
			},
			check: func(s stage) {
				for _, key := range []string{"0123456789", strings.Repeat("Z", 64), "Order_4711-a"} {
					s.pay(s.T, key).mustHaveStatus(s.T, onlyonce.StatusExecuted)
				}

				for _, key := range []string{"012345678", strings.Repeat("Z", 65), "with.a.full.stop"} {
					s.pay(s.T, key).mustBe(s.T, keyInvalid)
				}
			},
		},
		{says: "request field: the same rules, and equal to the metadata where both are present", check: func(s stage) {
			conn := startBank(s.T, setup{}, &branchBank{}).conn

			for _, call := range []struct {
				field    string
				metadata []string
				invalid  bool
			}{
				{field: "key"},
				{field: "key", metadata: []string{"key"}},
				{metadata: []string{"key"}},
				{field: "key", metadata: []string{"Key"}, invalid: true},
				{field: "two words", invalid: true},
				{field: strings.Repeat("k", 256), invalid: true},
			} {
				_, a := transfer(withKey(s.Context(), call.metadata...), conn, transferOf(call.field, "acme"))
				if call.invalid {
					a.mustBe(s.T, keyInvalid)
				} else if a.err != nil {
					s.Errorf("%q and %q: %v", call.field, call.metadata, a.err)
				}
			}
		}},
		{says: "request field of format UUID4: keys are lower-cased before anything else", check: func(s stage) {
			b := startDeclared(s.T, declaration{request: str("request_id", 1, "key: true"), uuid: true})

			_, a := b.call(s.Context(), b.conn, "request_id", uuidUpper)
			a.mustHaveStatus(s.T, onlyonce.StatusExecuted)

			_, a = b.call(withKey(s.Context(), uuidUpper), b.conn, "request_id", uuidLower)
			a.mustHaveStatus(s.T, onlyonce.StatusReplayed)

			_, a = b.call(withKey(s.Context(), "no-uuid"), b.conn)
			a.mustBe(s.T, keyInvalid)
		}},
		{says: "x-retry-attempt and grpc-previous-rpc-attempts are no part of the identity", check: func(s stage) {
			s.pay(s.T, "key").mustHaveStatus(s.T, onlyonce.StatusExecuted)
			s.call(appendMetadata(withKey(s.Context(), "key"), "x-retry-attempt", "3"), payment()).mustHaveStatus(s.T, onlyonce.StatusReplayed)
			native := appendMetadata(withKey(s.Context(), "key"), "grpc-previous-rpc-attempts", "2")
			s.call(native, payment()).mustHaveStatus(s.T, onlyonce.StatusReplayed)
		}},
		{says: "identity: the same key on another method is another call", check: func(s stage) {
			s.pay(s.T, "key").mustHaveStatus(s.T, onlyonce.StatusExecuted)
			callOn(withKey(s.Context(), "key"), s.conn, cacheableCall, otherPayment()).mustHaveStatus(s.T, onlyonce.StatusExecuted)
		}},
		{
			says: "identity: the same key in another scope is another call",
			setup: func() setup {
				return setup{scope: func() interceptor.Scope { return interceptor.ScopeFromMetadata("caller") }}
			},
			check: func(s stage) {
				for _, caller := range []string{"Ann", "Bob"} {
					s.call(appendMetadata(withKey(s.Context(), "key"), "caller", caller), payment()).mustHaveStatus(s.T, onlyonce.StatusExecuted)
				}
			},
		},
		{says: "the same request: without the key field and the ignored fields", check: func(s stage) {
			conn := startBank(s.T, setup{}, &branchBank{}).conn
			req := transferOf("key", "acme")
			_, a := transfer(s.Context(), conn, req)
			a.mustHaveStatus(s.T, onlyonce.StatusExecuted)

			req.RequestId, req.SentAt = "", sentNow()
			_, a = transfer(withKey(s.Context(), "key"), conn, req)
			a.mustHaveStatus(s.T, onlyonce.StatusReplayed)

			req.Amount++
			_, a = transfer(withKey(s.Context(), "key"), conn, req)
			a.mustBe(s.T, keyReused)
		}},
		{says: "a key stays bound to its first request until the record expires", check: func(s stage) {
			s.pay(s.T, "key").mustHaveStatus(s.T, onlyonce.StatusExecuted)
			time.Sleep(24*time.Hour - time.Second)
			s.call(withKey(s.Context(), "key"), otherPayment()).mustBe(s.T, keyReused)
			time.Sleep(2 * time.Second)
			s.call(withKey(s.Context(), "key"), otherPayment()).mustHaveStatus(s.T, onlyonce.StatusExecuted)
		}},
		{says: "order of checks: scope, key form, lookup, fingerprint, permission, state", check: inOrder},
	}
}

// inOrder makes calls that fail several checks at once. The first failed check decides the answer.
func inOrder(s stage) {
	down := newFaultStore().down()
	s.world = start(s.T, setup{store: down, scope: noScope}, nil)
	s.pay(s.T, "two words").mustBe(s.T, scopeMissing)

	s.world = start(s.T, setup{store: down}, nil)
	s.pay(s.T, "two words").mustBe(s.T, keyInvalid)
	s.pay(s.T, "key").mustBe(s.T, storeUnavailable)

	s.world = start(s.T, setup{server: []interceptor.ServerOption{forbidden()}}, failing(status.Error(codes.Internal, "no")))
	s.pay(s.T, "key").mustHaveStatus(s.T, onlyonce.StatusUnknown)
	s.call(withKey(s.Context(), "key"), otherPayment()).mustBe(s.T, keyReused)
	s.pay(s.T, "key").mustFail(s.T, codes.PermissionDenied, "not yours any more")
}

func retentionRows() []row {
	kept := func(says string, handle handlerFunc, said onlyonce.Status) row {
		return row{says: says, check: func(s stage) {
			s.handle = after(10*time.Second, handle)
			s.pay(s.T, "key").mustHaveStatus(s.T, said)

			s.handle = nil

			time.Sleep(24*time.Hour - time.Second)
			s.call(withKey(s.Context(), "key"), otherPayment()).mustBe(s.T, keyReused)
			time.Sleep(2 * time.Second)
			s.call(withKey(s.Context(), "key"), otherPayment()).mustHaveStatus(s.T, onlyonce.StatusExecuted)
		}}
	}

	return []row{
		kept("24 hours, counted from completion", answering("paid"), onlyonce.StatusExecuted),
		kept("24 hours, counted from release", failing(onlyonce.NotExecuted(errors.New("no"))), onlyonce.StatusReleased),
		{says: "an unsettled record outlives the retention", check: func(s stage) {
			s.handle = failing(status.Error(codes.Internal, "no"))
			s.pay(s.T, "key").mustHaveStatus(s.T, onlyonce.StatusUnknown)
			time.Sleep(25 * time.Hour)
			s.pay(s.T, "key").mustBe(s.T, outcomeUnknown)
		}},
	}
}
