package fingerprint_test

import (
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	"github.com/onlyonce-go/onlyonce/store"
)

func of(t *testing.T, msg proto.Message) store.Fingerprint {
	t.Helper()

	digest, err := fingerprint.Of(msg)
	if err != nil {
		t.Fatalf("Of(%v): %v", msg, err)
	}

	if digest.Scheme != fingerprint.SchemeCanonical || digest.Scheme == 0 {
		t.Fatalf("the scheme is %d", digest.Scheme)
	}

	return digest
}

func request() *pb.SimpleRequest {
	return &pb.SimpleRequest{
		ResponseType: pb.PayloadType_COMPRESSABLE, ResponseSize: 10, FillUsername: true, FillOauthScope: true,
		Payload:            &pb.Payload{Type: pb.PayloadType_COMPRESSABLE, Body: []byte("10 EUR to Ann")},
		ResponseCompressed: &pb.BoolValue{Value: true}, ExpectCompressed: &pb.BoolValue{Value: true},
		ResponseStatus: &pb.EchoStatus{Code: 3, Message: "no"}, FillServerId: true, FillGrpclbRouteType: true,
		OrcaPerQueryReport: &pb.TestOrcaReport{
			CpuUtilization: 0.5, MemoryUtilization: 0.25,
			RequestCost: map[string]float64{"a": 1, "b": 2}, Utilization: map[string]float64{"c": 3},
		},
	}
}

func TestEqualMessagesHaveEqualDigests(t *testing.T) {
	want := of(t, request())

	for range 100 {
		if got := of(t, request()); got != want {
			t.Fatalf("%x and %x", got.Sum, want.Sum)
		}
	}

	decoded := new(pb.SimpleRequest)

	data, err := proto.Marshal(request())
	if err != nil {
		t.Fatal(err)
	}

	if err := proto.Unmarshal(data, decoded); err != nil {
		t.Fatal(err)
	}

	if got := of(t, decoded); got != want {
		t.Error("the message has another digest when it has come over the wire")
	}
}

// edits changes each field of a message in turn, nested ones included, and gives every change a name.
func edits(msg protoreflect.Message, path string, visit func(path string)) {
	fields := msg.Descriptor().Fields()

	for i := range fields.Len() {
		field := fields.Get(i)
		name := path + "." + string(field.Name())

		if msg.Has(field) {
			before := kept(msg, field)

			if field.Message() != nil && !field.IsMap() && !field.IsList() {
				edits(before.Message(), name, visit)
			}

			msg.Clear(field)
			visit("without " + name)
			msg.Set(field, before)

			continue
		}

		msg.Set(field, some(msg, field))
		visit("with " + name)
		msg.Clear(field)
	}
}

// kept is the value of a field, to be set again when it was cleared.
func kept(msg protoreflect.Message, field protoreflect.FieldDescriptor) protoreflect.Value {
	if !field.IsMap() {
		return msg.Get(field)
	}

	value := msg.NewField(field)
	msg.Get(field).Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		value.Map().Set(k, v)

		return true
	})

	return value
}

// some is a value of a field that is not its default.
func some(msg protoreflect.Message, field protoreflect.FieldDescriptor) protoreflect.Value {
	value := msg.NewField(field)

	switch {
	case field.IsMap():
		value.Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfFloat64(1))

		return value
	case field.Message() != nil: // there, and empty
		return value
	}

	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("x")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{1})
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1)
	default:
		panic(fmt.Sprintf("no value for a %v", field.Kind()))
	}
}

func TestEveryFieldCounts(t *testing.T) {
	for name, msg := range map[string]*pb.SimpleRequest{"full": request(), "empty": {}} {
		seen := map[store.Fingerprint]string{of(t, msg): "unchanged"}

		edits(msg.ProtoReflect(), name, func(path string) {
			digest := of(t, msg)
			if other, ok := seen[digest]; ok {
				t.Errorf("%s has the digest of %s", path, other)
			}

			seen[digest] = path
		})

		if len(seen) < 10 {
			t.Errorf("only %d changes were made", len(seen))
		}
	}
}

func TestValuesCount(t *testing.T) {
	digests := make(map[store.Fingerprint]*pb.SimpleRequest)

	for _, edit := range []func(*pb.SimpleRequest){
		func(*pb.SimpleRequest) {},
		func(m *pb.SimpleRequest) { m.ResponseSize++ },
		func(m *pb.SimpleRequest) { m.ResponseSize = -10 },
		func(m *pb.SimpleRequest) { m.Payload.Body[0] ^= 1 },
		func(m *pb.SimpleRequest) { m.Payload.Body = append(m.Payload.Body, 0) },
		func(m *pb.SimpleRequest) { m.ResponseStatus.Message = "No" },
		func(m *pb.SimpleRequest) { m.ResponseCompressed.Value = false },
		func(m *pb.SimpleRequest) { m.OrcaPerQueryReport.RequestCost["a"] = 2 },
		func(m *pb.SimpleRequest) { delete(m.GetOrcaPerQueryReport().GetRequestCost(), "a") },
		func(m *pb.SimpleRequest) {
			report := m.GetOrcaPerQueryReport()
			report.RequestCost, report.Utilization = report.GetUtilization(), report.GetRequestCost()
		},
	} {
		msg := request()
		edit(msg)

		digest := of(t, msg)
		if other, ok := digests[digest]; ok {
			t.Errorf("two requests have one digest:\n%s", cmp.Diff(other, msg, protocmp.Transform()))
		}

		digests[digest] = msg
	}
}

func TestUnknownFieldsCount(t *testing.T) {
	seen := map[store.Fingerprint]bool{of(t, request()): true}

	for _, unknown := range [][]byte{
		{0xfa, 0x3f, 1, 'a'}, {0xfa, 0x3f, 1, 'b'}, {0xfa, 0x3f, 2, 'a', 'b'}, {0xf8, 0x3f, 1},
	} {
		msg := request()
		msg.ProtoReflect().SetUnknown(unknown)
		seen[of(t, msg)] = true

		nested := request()
		nested.GetPayload().ProtoReflect().SetUnknown(unknown)
		seen[of(t, nested)] = true
	}

	if len(seen) != 9 {
		t.Errorf("%d digests of 9 requests", len(seen))
	}
}

func TestOrderOfAMapDoesNotCount(t *testing.T) {
	ordered := make(map[string]float64)
	for i := range 100 {
		ordered[strconv.Itoa(i)] = float64(i)
	}

	want := of(t, &pb.TestOrcaReport{RequestCost: ordered})

	for range 20 {
		shuffled := make(map[string]float64)
		maps.Copy(shuffled, ordered) // in another order every time

		if got := of(t, &pb.TestOrcaReport{RequestCost: shuffled}); got != want {
			t.Fatal("the order in which a map was filled changes the digest")
		}
	}
}

func TestNilMessageIsAnEmptyOne(t *testing.T) {
	if of(t, (*pb.SimpleRequest)(nil)) != of(t, &pb.SimpleRequest{}) {
		t.Error("a typed nil has another digest than an empty message")
	}
}

func TestMessageIsNotChanged(t *testing.T) {
	msg := request()
	msg.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 1, 'a'})
	before := proto.Clone(msg)
	body := &msg.Payload.Body[0]
	of(t, msg)

	if diff := cmp.Diff(before, proto.Message(msg), protocmp.Transform()); diff != "" || body != &msg.Payload.Body[0] {
		t.Errorf("the message was changed (-before +after):\n%s", diff)
	}
}

func TestTextThatIsNotUTF8HasNoDigest(t *testing.T) {
	if digest, err := fingerprint.Of(&pb.EchoStatus{Message: "\xff"}); err == nil || digest != (store.Fingerprint{}) {
		t.Errorf("Of = %x, %v", digest.Sum, err)
	}
}

func TestDigestsAreMadeConcurrently(t *testing.T) {
	var all sync.WaitGroup

	for i := range 16 {
		all.Go(func() {
			msg := &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 1<<(i+2))}} // buffers of all sizes
			want := of(t, msg)

			for range 200 {
				if of(t, msg) != want {
					t.Errorf("another digest for %d bytes", len(msg.GetPayload().GetBody()))

					return
				}
			}
		})
	}

	all.Wait()
}

func TestLargeMessage(t *testing.T) {
	small, large := request(), request()
	large.Payload.Body = make([]byte, 4<<20)

	want := of(t, small)
	first := of(t, large)

	if of(t, small) != want || of(t, large) != first || first == want {
		t.Error("a large message disturbs the digests of others")
	}
}

func FuzzOf(f *testing.F) {
	data, err := proto.Marshal(request())
	if err != nil {
		f.Fatal(err)
	}

	f.Add(data)
	f.Add([]byte{})
	f.Add(protowire.AppendTag(nil, 1000, protowire.StartGroupType))

	f.Fuzz(func(t *testing.T, data []byte) {
		msg := new(pb.SimpleRequest)
		if proto.Unmarshal(data, msg) != nil {
			return
		}

		digest := of(t, msg)

		if again := of(t, proto.Clone(msg)); again != digest {
			t.Fatal("a copy has another digest")
		}

		wire, err := proto.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}

		resent := new(pb.SimpleRequest)
		if err := proto.Unmarshal(wire, resent); err != nil {
			t.Fatal(err)
		}

		if of(t, resent) != digest {
			t.Fatal("the message has another digest when it is sent again")
		}

		msg.ResponseSize++
		if of(t, msg) == digest {
			t.Fatal("another message has the same digest")
		}
	})
}
