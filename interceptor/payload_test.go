package interceptor

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

func keepAll(string) bool { return true }

// generated is the message as generated code decodes it.
func generated(t *testing.T, data []byte) payload {
	t.Helper()

	var out onlyoncev1.Outcome
	if err := proto.Unmarshal(data, &out); err != nil {
		t.Fatalf("the generated code cannot read it: %v", err)
	}

	return payload{
		status: out.GetStatus(), response: out.GetResponse(),
		header: collected(out.GetHeader()), trailer: collected(out.GetTrailer()),
	}
}

func collected(all []*onlyoncev1.Metadata) metadata.MD {
	md := metadata.MD{}
	for _, one := range all {
		md[one.GetName()] = append(md[one.GetName()], string(one.GetValue()))
	}

	return md
}

func difference(want, got payload) string {
	return cmp.Diff(want, got, cmp.AllowUnexported(payload{}), cmpopts.EquateEmpty())
}

// outcomes are messages and metadata to be recorded.
func outcomes() map[string]struct {
	st              *spb.Status
	resp            proto.Message
	header, trailer metadata.MD
} {
	large := metadata.MD{}
	for i := range 200 {
		large[fmt.Sprintf("x-%d", i)] = []string{string(make([]byte, i)), "second"}
	}

	return map[string]struct {
		st              *spb.Status
		resp            proto.Message
		header, trailer metadata.MD
	}{
		"nothing at all":     {resp: &pb.SimpleResponse{}},
		"a typed nil":        {resp: (*pb.SimpleResponse)(nil)},
		"a response":         {resp: &pb.SimpleResponse{Username: "Ann"}},
		"a large response":   {resp: &pb.SimpleResponse{Payload: &pb.Payload{Body: make([]byte, 100_000)}}},
		"an error":           {st: &spb.Status{Code: 5, Message: "nobody"}},
		"an error and more":  {st: &spb.Status{Code: 5}, header: metadata.Pairs("x", "1"), trailer: metadata.Pairs("x", "2", "x", "1")},
		"response and more":  {resp: &pb.Empty{}, header: metadata.Pairs("x-bin", "\x00\xff", "x-bin", ""), trailer: metadata.Pairs("y", "")},
		"much metadata":      {resp: &pb.Empty{}, header: large, trailer: large},
		"a value of a block": {resp: &pb.Empty{}, header: metadata.Pairs("x", string(make([]byte, 1<<16)))},
	}
}

func TestRecordedFormIsThatOfTheDefinition(t *testing.T) {
	for name, o := range outcomes() {
		t.Run(name, func(t *testing.T) {
			data, err := encodePayload(0, o.st, o.resp, o.header, o.trailer, keepAll)
			if err != nil {
				t.Fatal(err)
			}

			want := payload{header: o.header, trailer: o.trailer}
			if o.st != nil {
				want.status, _ = proto.Marshal(o.st)
			} else {
				want.response, _ = proto.Marshal(o.resp)
			}

			if diff := difference(want, generated(t, data)); diff != "" {
				t.Errorf("as the generated code reads it (-want +got):\n%s", diff)
			}

			got, err := decodePayload(data)
			if err != nil {
				t.Fatal(err)
			}

			if diff := difference(want, got); diff != "" {
				t.Errorf("as it is read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatTheGeneratedCodeWritesIsRead(t *testing.T) {
	for name, o := range outcomes() {
		t.Run(name, func(t *testing.T) {
			out := &onlyoncev1.Outcome{Header: entries(o.header), Trailer: entries(o.trailer)}
			if o.st != nil {
				out.Status, _ = proto.Marshal(o.st)
			} else {
				out.Response, _ = proto.Marshal(o.resp)
			}

			out.ProtoReflect().SetUnknown([]byte{0xa2, 1, 2, 'h', 'i', 0xa8, 1, 7}) // fields of a later version

			data, err := proto.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}

			got, err := decodePayload(data)
			if err != nil {
				t.Fatal(err)
			}

			if diff := difference(generated(t, data), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func entries(md metadata.MD) []*onlyoncev1.Metadata {
	var all []*onlyoncev1.Metadata

	for name, values := range md {
		for _, value := range values {
			all = append(all, &onlyoncev1.Metadata{Name: name, Value: []byte(value)})
		}
	}

	return all
}

func TestMetadataThatIsNotKeptIsNotWritten(t *testing.T) {
	rules := newMetadataRules()
	rules.denied["x-mine"] = true

	all := metadata.Pairs(
		"x-kept", "1", "x-mine", "1", "set-cookie", "1", "grpc-status", "1", "grpc-retry-pushback-ms", "1", "idempotency-status", "1",
		"idempotent-replayed", "1", "content-type", "1", ":status", "1", "", "1", "x y", "1",
	)
	all["X-Upper"] = []string{"1"}

	data, err := encodePayload(0, nil, &pb.Empty{}, all, all, rules.storable)
	if err != nil {
		t.Fatal(err)
	}

	want := payload{header: metadata.Pairs("x-kept", "1"), trailer: metadata.Pairs("x-kept", "1")}
	if diff := difference(want, generated(t, data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A store keeps the encoding as it is, and counts its bytes. Metadata that is not kept must not take memory behind them.
func TestEncodingHasNoCapacityToSpare(t *testing.T) {
	t.Parallel()

	rules := newMetadataRules()
	large := metadata.Pairs("set-cookie", strings.Repeat("x", 1<<20), "x-request-id", "1", "x-request-id", "")

	for name, o := range outcomes() {
		for _, room := range []int{0, 7} {
			for _, keep := range []func(string) bool{keepAll, rules.storable} {
				data, err := encodePayload(room, o.st, o.resp, metadata.Join(o.header, large), metadata.Join(o.trailer, large), keep)
				if err != nil {
					t.Fatal(err)
				}

				if len(data) != cap(data) {
					t.Errorf("%s: %d bytes, and room for %d", name, len(data), cap(data))
				}
			}
		}
	}
}

func TestEncodingTakesOneAllocation(t *testing.T) {
	resp := &pb.SimpleResponse{Username: "Ann", Payload: &pb.Payload{Body: make([]byte, 100)}}
	header, trailer := metadata.Pairs("x-first", "1"), metadata.Pairs("x-cost", "3")

	if n := testing.AllocsPerRun(100, func() { _, _ = encodePayload(0, nil, resp, header, trailer, keepAll) }); n > 1 {
		t.Errorf("%v allocations: the size was estimated too small", n)
	}
}

func FuzzDecodePayload(f *testing.F) {
	for _, o := range outcomes() {
		data, err := encodePayload(0, o.st, o.resp, o.header, o.trailer, keepAll)
		if err != nil {
			f.Fatal(err)
		}

		if len(data) < 1000 {
			f.Add(data)
			f.Add(data[:len(data)/2])
		}
	}

	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{0x0b, 0x0b, 0x0c, 0x0c})
	f.Add([]byte{0x08, 0x01})

	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		got, err := decodePayload(data)

		if !bytes.Equal(before, data) {
			t.Fatal("decoding has changed the record")
		}

		var out onlyoncev1.Outcome
		if problem := proto.Unmarshal(data, &out); problem != nil {
			return // text that is not UTF-8 is all that only the generated code refuses; it can be in no name
		}

		if err != nil {
			for _, one := range append(out.GetHeader(), out.GetTrailer()...) {
				if !sendable(one.GetName()) || reserved(one.GetName()) {
					return
				}
			}

			t.Fatalf("a record that the generated code reads is refused: %v", err)
		}

		if diff := difference(generated(t, data), got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}

		size := len(got.status) + len(got.response)

		for _, md := range []metadata.MD{got.header, got.trailer} {
			for name, values := range md {
				if !utf8.ValidString(name) {
					t.Fatalf("name %q", name)
				}

				for _, value := range values {
					size += len(value)
				}
			}
		}

		if size > len(data) {
			t.Fatalf("%d bytes became %d", len(data), size)
		}

		_, _ = got.replayedStatus()
	})
}
