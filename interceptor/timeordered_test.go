package interceptor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

const timeOrderedForm = "[onlyonce.v1.method] { key: KEY_USE_REQUIRED key_form: KEY_FORM_TIME_ORDERED }"

func TestF29_OldTimeOrderedKeyIsNeverExecuted(t *testing.T) {
	for name, d := range map[string]declaration{
		"in the metadata":                {method: timeOrderedForm},
		"in the request":                 {method: timeOrderedForm, request: str("request_id", 1, "key: true")},
		"of a field that declares UUIDs": {method: timeOrderedForm, request: str("request_id", 1, "key: true"), uuid: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := startDeclared(t, d)
				call := func(key string) answer {
					if d.request != "" {
						return second(b.call(t.Context(), b.conn, "request_id", key))
					}

					return second(b.call(withKey(t.Context(), key), b.conn))
				}

				old := onlyonce.NewKey()
				kept := onlyonce.NewKey()

				time.Sleep(20 * time.Hour)
				call(kept).mustHaveStatus(t, onlyonce.StatusExecuted)
				time.Sleep(10 * time.Hour)
				call(kept).mustHaveStatus(t, onlyonce.StatusReplayed)
				call(old).mustBe(t, keyExpired)
				call(uuidLower).mustBe(t, keyInvalid)
				b.mustHaveRun(t, 1)
			})
		})
	}
}

func TestClientOfAMethodWithTimeOrderedKeysMakesThem(t *testing.T) {
	for name, d := range map[string]declaration{
		"by metadata":                    {method: timeOrderedForm},
		"of a field that declares UUIDs": {method: timeOrderedForm, request: str("request_id", 1, "key: true"), uuid: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := startDeclared(t, d)

			dial, err := interceptor.DialOptions()
			if err != nil {
				t.Fatal(err)
			}

			conn := b.dial(t, dial...)
			second(b.call(t.Context(), conn)).mustHaveStatus(t, onlyonce.StatusExecuted)

			_, a := b.call(onlyonce.ContextWithKey(t.Context(), "order-1"), conn)
			if status.Code(a.err) != codes.InvalidArgument || onlyonce.VerdictOf(a.err) != onlyonce.VerdictFinal {
				t.Errorf("the answer is %v", a.err)
			}

			b.mustHaveRun(t, 1)
		})
	}
}
