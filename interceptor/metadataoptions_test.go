package interceptor_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/fingerprint"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF86_MetadataThatBelongsToTheRequestMakesItAnother(t *testing.T) {
	option := []interceptor.ServerOption{
		interceptor.WithRequestMetadata("X-Account", "x-branch"), interceptor.WithRequestMetadata("x-proof-bin"),
	}

	for name, test := range map[string]struct {
		first, second []string
		same          bool
	}{
		"nothing":                     {nil, nil, true},
		"the same value":              {[]string{"x-account", "alice"}, []string{"x-account", "alice"}, true},
		"other metadata":              {[]string{"x-trace", "1"}, []string{"x-trace", "2"}, true},
		"another value":               {[]string{"x-account", "alice"}, []string{"x-account", "bob"}, false},
		"a value that was not there":  {nil, []string{"x-account", "alice"}, false},
		"a value that is gone":        {[]string{"x-account", "alice"}, nil, false},
		"an empty value":              {nil, []string{"x-account", ""}, false},
		"another name":                {[]string{"x-account", "alice"}, []string{"x-branch", "alice"}, false},
		"the names in another order":  {[]string{"x-account", "a", "x-branch", "b"}, []string{"x-branch", "b", "x-account", "a"}, true},
		"the values in another order": {[]string{"x-account", "a", "x-account", "b"}, []string{"x-account", "b", "x-account", "a"}, false},
		"values that are joined":      {[]string{"x-account", "a", "x-account", "b"}, []string{"x-account", "ab"}, false},
		"values moved between names": {
			[]string{"x-account", "a", "x-account", "b"}, []string{"x-account", "a", "x-branch", "b"}, false,
		},
		"the same bytes":  {[]string{"x-proof-bin", "\x00\xff"}, []string{"x-proof-bin", "\x00\xff"}, true},
		"different bytes": {[]string{"x-proof-bin", "\x00\xff"}, []string{"x-proof-bin", "\x00\xfe"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{server: option}, nil)
			call := func(pairs []string) answer {
				return w.call(appendMetadata(withKey(t.Context(), "key"), pairs...), payment())
			}

			call(test.first).mustHaveStatus(t, onlyonce.StatusExecuted)

			if second := call(test.second); test.same {
				second.mustHaveStatus(t, onlyonce.StatusReplayed)
			} else {
				second.mustBe(t, keyReused)
			}

			w.mustHaveRun(t, 1)
		})
	}
}

func TestF86_TheOptionCanBeAddedToARunningService(t *testing.T) {
	db := memstore.New()
	before := start(t, setup{store: db}, nil)
	after := start(t, setup{store: db, server: []interceptor.ServerOption{interceptor.WithRequestMetadata("x-account")}}, nil)

	before.pay(t, "key").mustHaveStatus(t, onlyonce.StatusExecuted)
	after.pay(t, "key").mustHaveStatus(t, onlyonce.StatusReplayed)
}

// The definition is in docs/fingerprint.md.
func TestF86_FingerprintWithMetadataIsAsDefined(t *testing.T) {
	message, err := fingerprint.Of(payment())
	if err != nil {
		t.Fatal(err)
	}

	form := message.Sum[:]
	for _, part := range []struct {
		name   string
		values []string
	}{{"x-account", []string{"alice", "bob"}}, {"x-proof-bin", []string{"\x00\xff"}}} {
		form = protowire.AppendVarint(append(protowire.AppendVarint(form, uint64(len(part.name))), part.name...), uint64(len(part.values)))
		for _, value := range part.values {
			form = append(protowire.AppendVarint(form, uint64(len(value))), value...)
		}
	}

	want := sha256.Sum256(form)

	w := start(t, setup{server: []interceptor.ServerOption{interceptor.WithRequestMetadata("x-proof-bin", "x-account", "x-branch")}}, nil)
	w.call(appendMetadata(withKey(t.Context(), "key"), "x-proof-bin", "\x00\xff", "x-account", "alice", "x-account", "bob"), payment()).
		mustHaveStatus(t, onlyonce.StatusExecuted)

	rec, err := w.engine.Lookup(t.Context(), onlyonce.Identity{Scope: "shared", Method: unaryCall, Key: "key"})
	if err != nil {
		t.Fatal(err)
	}

	if rec.Fingerprint.Scheme != fingerprint.SchemeCanonical || rec.Fingerprint.Sum != want {
		t.Errorf("the fingerprint is %d %s, want %x", rec.Fingerprint.Scheme, hex.EncodeToString(rec.Fingerprint.Sum[:]), want)
	}
}

func TestMetadataIsRecordedByAnAllowList(t *testing.T) {
	all := metadata.Pairs("x-a", "1", "x-b", "1", "x-c-bin", "\x01", "x-d", "1")

	for name, test := range map[string]struct {
		options []interceptor.ServerOption
		want    string
	}{
		"without the option": {nil, "x-a x-b x-c-bin x-d"},
		"with names": {
			[]interceptor.ServerOption{interceptor.WithRecordedMetadata("X-A"), interceptor.WithRecordedMetadata("x-c-bin")}, "x-a x-c-bin",
		},
		"with none": {[]interceptor.ServerOption{interceptor.WithRecordedMetadata()}, ""},
		"beside another list": {
			[]interceptor.ServerOption{interceptor.WithUnrecordedMetadata("x-d"), interceptor.WithRecordedMetadata("x-a")}, "x-a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{server: test.options}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				return &pb.SimpleResponse{}, errors.Join(grpc.SetHeader(ctx, all), grpc.SetTrailer(ctx, all))
			})

			first, replay := w.pay(t, "key"), w.pay(t, "key")
			replay.mustHaveStatus(t, onlyonce.StatusReplayed)

			for _, md := range []metadata.MD{first.header, first.trailer} {
				if own := ownMetadata(md); len(own) != len(all) {
					t.Errorf("the first caller got %v", own)
				}
			}

			for _, md := range []metadata.MD{replay.header, replay.trailer} {
				if got := strings.Join(slices.Sorted(maps.Keys(ownMetadata(md))), " "); got != test.want {
					t.Errorf("%q is replayed, want %q", got, test.want)
				}
			}
		})
	}
}

func TestNamesOfMetadataThatCannotHoldAreRefusedAtConstruction(t *testing.T) {
	for name, test := range map[string]struct {
		options []interceptor.ServerOption
		want    []string
	}{
		"request metadata of the contract": {
			[]interceptor.ServerOption{interceptor.WithRequestMetadata("Idempotency-Key", "x-retry-attempt", "grpc-timeout", "traceparent")},
			[]string{"idempotency-key", "x-retry-attempt", "grpc-timeout", "traceparent", "remove it"},
		},
		"request metadata that cannot be sent": {
			[]interceptor.ServerOption{interceptor.WithRequestMetadata("x account", "")}, []string{`"x account"`, `""`, "use a-z"},
		},
		"unrecorded metadata that cannot be sent": {
			[]interceptor.ServerOption{interceptor.WithUnrecordedMetadata("X Request Id")}, []string{`"x request id"`, "WithUnrecordedMetadata"},
		},
		"no request metadata": {[]interceptor.ServerOption{interceptor.WithRequestMetadata()}, []string{"has no names"}},
		"recorded metadata of one call alone": {
			[]interceptor.ServerOption{interceptor.WithRecordedMetadata("Set-Cookie", "grpc-status", "x y")},
			[]string{"set-cookie", "grpc-status", `"x y"`, "never recorded"},
		},
		"recorded metadata that is not to be recorded": {
			[]interceptor.ServerOption{interceptor.WithRecordedMetadata("x-id"), interceptor.WithUnrecordedMetadata("x-id")},
			[]string{"x-id", "WithUnrecordedMetadata"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), test.options...)
			mustName(t, err, test.want...)
		})
	}
}
