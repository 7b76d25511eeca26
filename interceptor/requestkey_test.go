package interceptor_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
)

func TestKeyComesFromTheRequestOrTheMetadata(t *testing.T) {
	tests := map[string]struct {
		field    string
		metadata []string
		want     rejection // none: it is executed
	}{
		"the field":                 {field: "key"},
		"the metadata":              {metadata: []string{"key"}},
		"both":                      {field: "key", metadata: []string{"key"}},
		"neither":                   {want: keyMissing},
		"they differ":               {field: "key", metadata: []string{"another"}, want: keyInvalid},
		"they differ in case":       {field: "key", metadata: []string{"Key"}, want: keyInvalid},
		"an empty metadata":         {field: "key", metadata: []string{""}, want: keyInvalid},
		"several in the metadata":   {field: "key", metadata: []string{"key", "key"}, want: keyInvalid},
		"a malformed field":         {field: "two words", want: keyInvalid},
		"a field that is not ASCII": {field: "schlüssel", want: keyInvalid},
		"an oversized field":        {field: strings.Repeat("k", 256), want: keyInvalid},
		"the longest field":         {field: strings.Repeat("k", 255)},
		"a malformed field that the metadata repeats": {field: "two words", metadata: []string{"two words"}, want: keyInvalid},
	}

	for name, test := range tests {
		t.Run("F35/"+name, func(t *testing.T) {
			faults := newFaultStore()
			b := &branchBank{}
			w := startBank(t, setup{store: faults}, b)

			_, a := transfer(withKey(t.Context(), test.metadata...), w.conn, transferOf(test.field, "acme"))

			if test.want.reason == "" {
				a.mustHaveStatus(t, onlyonce.StatusExecuted)
				b.mustHaveRun(t, 1)

				return
			}

			a.mustBe(t, test.want)
			b.mustHaveRun(t, 0)

			if n := faults.claims.Load(); n != 0 {
				t.Errorf("the store was asked %d times", n)
			}
		})
	}
}

func TestBadKeyIsReportedWhereItIs(t *testing.T) {
	w := startBank(t, setup{}, &branchBank{})

	for name, call := range map[string]struct {
		field    string
		metadata []string
		want     string
	}{
		"the field":    {field: "two words", want: "request_id"},
		"the metadata": {metadata: []string{"two words"}, want: "idempotency-key"},
		"both":         {field: "key", metadata: []string{"another"}, want: "request_id"},
		"neither":      {want: "request_id"},
	} {
		_, a := transfer(withKey(t.Context(), call.metadata...), w.conn, transferOf(call.field, "acme"))

		bad := detail[*errdetails.BadRequest](a)
		if len(bad) != 1 || len(bad[0].GetFieldViolations()) != 1 || bad[0].GetFieldViolations()[0].GetField() != call.want {
			t.Errorf("%s: BadRequest is %v, want one of %s", name, bad, call.want)
		}
	}
}

func TestItIsTheSameCallWhereverItsKeyIs(t *testing.T) {
	b := &branchBank{}
	w := startBank(t, setup{}, b)

	first, _ := transfer(t.Context(), w.conn, transferOf("key", "acme"))
	second, a := transfer(withKey(t.Context(), "key"), w.conn, transferOf("", "acme"))
	a.mustHaveStatus(t, onlyonce.StatusReplayed)

	third, a := transfer(withKey(t.Context(), "key"), w.conn, transferOf("key", "acme"))
	a.mustHaveStatus(t, onlyonce.StatusReplayed)

	if first != second || first != third {
		t.Errorf("the receipts are %q, %q and %q", first, second, third)
	}

	b.mustHaveRun(t, 1)
}

func TestF24_OnlyWhatIsNotMarkedMakesAnotherRequest(t *testing.T) {
	b := &branchBank{}
	w := startBank(t, setup{}, b)

	req := transferOf("key", "acme")
	req.SentAt, req.Origin = sentNow(), &bankv1.Origin{Clerk: "Ann", TraceId: "1"}
	_, a := transfer(t.Context(), w.conn, req)
	a.mustHaveStatus(t, onlyonce.StatusExecuted)

	req.SentAt, req.Origin.TraceId = nil, "2"
	_, a = transfer(t.Context(), w.conn, req)
	a.mustHaveStatus(t, onlyonce.StatusReplayed)

	for _, change := range []func(*bankv1.TransferRequest){
		func(r *bankv1.TransferRequest) { r.Amount = 99 },
		func(r *bankv1.TransferRequest) { r.Origin.Clerk = "Bob" },
		func(r *bankv1.TransferRequest) { r.Origin = nil },
	} {
		other := proto.CloneOf(req)
		change(other)

		_, a = transfer(t.Context(), w.conn, other)
		a.mustBe(t, keyReused)
	}

	b.mustHaveRun(t, 1)
}

func TestScopeFieldsSeparateCallers(t *testing.T) {
	b := &branchBank{}
	w := startBank(t, setup{}, b)

	// The last two would run into each other if the parts were only put together.
	for _, req := range []*bankv1.TransferRequest{
		{RequestId: "key", Tenant: "acme", Branch: []byte("main")},
		{RequestId: "key", Tenant: "initech", Branch: []byte("main")},
		{RequestId: "key", Tenant: "acme", Branch: []byte("north")},
		{RequestId: "key", Tenant: "main", Branch: []byte("acme")},
		{RequestId: "key", Tenant: "b", Branch: []byte("a1:b1:")},
		{RequestId: "key", Tenant: "b1:b", Branch: []byte("a1:")},
	} {
		_, a := transfer(t.Context(), w.conn, req)
		a.mustHaveStatus(t, onlyonce.StatusExecuted)

		_, a = transfer(t.Context(), w.conn, req)
		a.mustHaveStatus(t, onlyonce.StatusReplayed)
	}

	b.mustHaveRun(t, 6)
}

func TestEmptyScopeFieldIsAMissingScope(t *testing.T) {
	b := &branchBank{}
	faults := newFaultStore()
	w := startBank(t, setup{store: faults}, b)

	for _, req := range []*bankv1.TransferRequest{
		{RequestId: "key", Branch: []byte("main")}, {RequestId: "key", Tenant: "acme"}, {RequestId: "not a key"},
	} {
		_, a := transfer(t.Context(), w.conn, req)
		a.mustBe(t, scopeMissing)
	}

	b.mustHaveRun(t, 0)

	if n := faults.claims.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestOperatorFindsTheRecordOfACallWithScopeFields(t *testing.T) {
	w := startBank(t, setup{}, &branchBank{})

	_, a := transfer(t.Context(), w.conn, transferOf("key", "acme"))
	a.mustHaveStatus(t, onlyonce.StatusExecuted)

	// In the order of the field numbers: branch is 2, tenant is 3.
	scope := interceptor.JoinScope("shared", "main", "acme")
	if want := "6:shared4:main4:acme"; scope != want {
		t.Errorf("the scope is %q, want %q", scope, want)
	}

	if _, err := w.engine.Lookup(t.Context(), onlyonce.Identity{Scope: scope, Method: transferCall, Key: "key"}); err != nil {
		t.Errorf("Lookup: %v", err)
	}

	if got := interceptor.JoinScope("shared"); got != "shared" {
		t.Errorf("without fields the scope is %q", got)
	}
}

// As documented: a new scope field of a method hides the older records.
func TestF60_RecordsOfAnotherScopeAreInvisible(t *testing.T) {
	shared := newFaultStore()
	b := &branchBank{}
	before := startBank(t, setup{store: shared}, b)
	after := startBank(t, setup{store: shared, scope: func() interceptor.Scope {
		return interceptor.ScopeFunc(func(context.Context) (string, error) { return "changed", nil })
	}}, b)

	for _, w := range []*world{before, after} {
		_, a := transfer(t.Context(), w.conn, transferOf("key", "acme"))
		a.mustHaveStatus(t, onlyonce.StatusExecuted)
	}

	b.mustHaveRun(t, 2)
}

func TestF50_HandlerMayChangeKeyAndScopeOfItsRequest(t *testing.T) {
	b := &branchBank{transfer: func(_ context.Context, req *bankv1.TransferRequest) (*bankv1.TransferResponse, error) {
		req.RequestId, req.Tenant, req.Amount = "changed", "changed", 0
		copy(req.GetBranch(), "XXXX")

		return &bankv1.TransferResponse{Receipt: "once"}, nil
	}}
	w := startBank(t, setup{}, b)

	for _, said := range []onlyonce.Status{"executed", "replayed"} {
		receipt, a := transfer(t.Context(), w.conn, transferOf("key", "acme"))
		a.mustHaveStatus(t, said)

		if receipt != "once" {
			t.Errorf("the receipt is %q", receipt)
		}
	}

	b.mustHaveRun(t, 1)
}

func TestF51_EmptyAnswerOfAnAnnotatedMethodIsReplayed(t *testing.T) {
	b := &branchBank{transfer: transferring(nil)}
	w := startBank(t, setup{}, b)

	for _, said := range []onlyonce.Status{"executed", "replayed"} {
		receipt, a := transfer(t.Context(), w.conn, transferOf("key", "acme"))
		a.mustHaveStatus(t, said)

		if a.err != nil || receipt != "" {
			t.Errorf("the answer is %q, %v", receipt, a.err)
		}
	}

	b.mustHaveRun(t, 1)
}

func TestF38_DetailsOfAnUnknownTypeAreKeptByteForByte(t *testing.T) {
	st := status.New(codes.FailedPrecondition, "no").Proto()
	st.Details = []*anypb.Any{
		{TypeUrl: "type.googleapis.com/nobody.knows.This", Value: []byte{0xff, 0x00, 0x01}}, {TypeUrl: "not even a url"},
	}

	b := &branchBank{transfer: transferring(status.FromProto(st).Err())}
	w := startBank(t, setup{}, b)

	for _, said := range []onlyonce.Status{"executed", "replayed"} {
		_, a := transfer(t.Context(), w.conn, transferOf("key", "acme"))
		a.mustHaveStatus(t, said)

		if diff := cmp.Diff(st, status.Convert(a.err).Proto(), protocmp.Transform()); diff != "" {
			t.Errorf("%s: another status:\n%s", said, diff)
		}
	}

	b.mustHaveRun(t, 1)
}

func TestHandlerSeesTheRequestAsItWasSent(t *testing.T) {
	b := &branchBank{}
	w := startBank(t, setup{}, b)

	_, a := transfer(t.Context(), w.conn, transferOf("key", "acme"))
	a.mustHaveStatus(t, onlyonce.StatusExecuted)

	if !slices.Equal(b.keys, nil) {
		t.Errorf("the metadata has keys %q that nobody has sent", b.keys)
	}
}

// sentNow is when a client sends an attempt.
func sentNow() *timestamppb.Timestamp { return timestamppb.Now() }
