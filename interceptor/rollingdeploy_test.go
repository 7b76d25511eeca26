package interceptor_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The fields of the request.
const (
	rolledKey    protowire.Number = 1 // the key
	rolledPayee  protowire.Number = 2 // a string
	rolledCents  protowire.Number = 3 // int64
	rolledLabels protowire.Number = 4 // map<string, string>
	rolledTrace  protowire.Number = 5 // a string, ignored
	rolledParts  protowire.Number = 6 // repeated int32

	// Only the newer build knows these fields.
	rolledCurrency protowire.Number = 10 // a string
	rolledTip      protowire.Number = 11 // int64
	rolledTags     protowire.Number = 12 // map<string, string>
	rolledSentAt   protowire.Number = 13 // a string, ignored
	rolledCodes    protowire.Number = 14 // repeated int32
)

const firstNew = int32(rolledCurrency)

// rolledDeclaration is the .proto of the newer build.
func rolledDeclaration() declaration {
	texts := func(name, entry string, number protowire.Number) string {
		return field(name, int(number), fmt.Sprintf("type: TYPE_MESSAGE type_name: %q label: LABEL_REPEATED", ".PKG.Request."+entry), "") +
			fmt.Sprintf("nested_type { name: %q %s %s options { map_entry: true } }\n", entry, str("key", 1, ""), str("value", 2, ""))
	}
	number, numbers := "type: TYPE_INT64 label: LABEL_OPTIONAL", "type: TYPE_INT32 label: LABEL_REPEATED"

	return declaration{
		service: "[onlyonce.v1.service] { key: KEY_USE_REQUIRED }",
		request: str("request_id", int(rolledKey), "key: true") +
			str("payee", int(rolledPayee), "") +
			field("cents", int(rolledCents), number, "") +
			texts("labels", "LabelsEntry", rolledLabels) +
			str("trace", int(rolledTrace), "ignored: true") +
			field("parts", int(rolledParts), numbers, "") +
			str("currency", int(rolledCurrency), "") +
			field("tip", int(rolledTip), number, "") +
			texts("tags", "TagsEntry", rolledTags) +
			str("sent_at", int(rolledSentAt), "ignored: true") +
			field("codes", int(rolledCodes), numbers, ""),
	}
}

// olderService is the service as the older build knows it. Its messages have the same names.
func olderService(t *testing.T, service protoreflect.ServiceDescriptor) protoreflect.ServiceDescriptor {
	t.Helper()

	file := protodesc.ToFileDescriptorProto(service.ParentFile())
	request := file.GetMessageType()[0]
	request.Field = slices.DeleteFunc(request.GetField(), func(fd *descriptorpb.FieldDescriptorProto) bool {
		return fd.GetNumber() >= firstNew
	})
	request.NestedType = slices.DeleteFunc(request.GetNestedType(), func(inner *descriptorpb.DescriptorProto) bool {
		return inner.GetName() == "TagsEntry"
	})

	made, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}

	return made.Services().ByName(service.Name())
}

// rollout is a rolling deploy: servers of two builds that share a store and have different versions of the request.
type rollout struct {
	older, newer *world
	service      protoreflect.ServiceDescriptor // of the newer build
	keys         int                            // that were given
	runs         atomic.Int64                   // of the handlers of both
	running      func()                         // called by each run, unless it is nil
}

func rollOut(t *testing.T, made setup) *rollout {
	t.Helper()

	_, service := rolledDeclaration().register(t)
	r := &rollout{service: service}
	made.store = memstore.New()

	build := func(service protoreflect.ServiceDescriptor) *world {
		made.register = func(server *grpc.Server) {
			serveDeclared(server, service, func(ctx context.Context, req, resp *dynamicpb.Message) error {
				if r.running != nil {
					r.running()
				}

				return counting(&r.runs)(ctx, req, resp)
			})
		}

		return start(t, made, nil)
	}

	r.older, r.newer = build(olderService(t, service)), build(service)

	return r
}

// orders lists which build gets the request first, and which its retry.
func (r *rollout) orders() map[string][2]*world {
	return map[string][2]*world{"the older build first": {r.older, r.newer}, "the newer build first": {r.newer, r.older}}
}

// key makes a fresh key.
func (r *rollout) key() string {
	r.keys++

	return fmt.Sprintf("key-%d", r.keys)
}

func (r *rollout) mustHaveRun(t *testing.T, times int64) {
	t.Helper()

	if n := r.runs.Load(); n != times {
		t.Errorf("the handlers ran %d times, want %d", n, times)
	}
}

// send sends a request of the given bytes. The answer is bytes, too.
func (r *rollout) send(t *testing.T, to *world, key string, parts ...[]byte) ([]byte, answer) {
	t.Helper()

	var (
		frame atomic.Bool
		a     answer
		resp  []byte
	)

	ctx := context.WithValue(withKey(t.Context(), key), headerFramesKey{}, &frame)

	a.err = to.conn.Invoke(ctx, "/"+string(r.service.FullName())+"/Pay", bytes.Join(parts, nil), &resp,
		grpc.ForceCodec(rawBytes{}), grpc.Header(&a.header), grpc.Trailer(&a.trailer))
	a.headerFrame = frame.Load()

	return resp, a
}

// mustReplay sends a request, whose answer must be the one that its key got before.
func (r *rollout) mustReplay(t *testing.T, to *world, key string, want []byte, parts ...[]byte) {
	t.Helper()

	got, a := r.send(t, to, key, parts...)
	a.mustHaveStatus(t, onlyonce.StatusReplayed)

	if !bytes.Equal(got, want) {
		t.Errorf("the answer is %q, want %q", got, want)
	}
}

// rawBytes is the codec of a client that encodes its messages itself.
type rawBytes struct{}

func (rawBytes) Name() string { return "proto" }

func (rawBytes) Marshal(v any) ([]byte, error) {
	data, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("a %T is not encoded", v)
	}

	return data, nil
}

func (rawBytes) Unmarshal(data []byte, v any) error {
	into, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("a %T takes no bytes", v)
	}

	*into = bytes.Clone(data)

	return nil
}

func wireNumber(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

func wireText(number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

func wireEntry(number protowire.Number, key, value string) []byte {
	return wireText(number, string(wireText(1, key))+string(wireText(2, value)))
}

// orderOf is one of the 2n orders in which n fields are sent: from any of them on, forwards and backwards.
func orderOf(fields [][]byte, i int) [][]byte {
	from := i / 2

	order := slices.Concat(fields[from:], fields[:from])
	if i%2 == 1 {
		slices.Reverse(order)
	}

	return order
}

// rolledRequest has the fields that both builds know. The entries of its map can be sent in any order.
func rolledRequest() [][]byte {
	return [][]byte{
		wireText(rolledPayee, "Ann"), wireNumber(rolledCents, 1250), wireText(rolledParts, "\x01\x02\x03"),
		wireEntry(rolledLabels, "a", "1"), wireEntry(rolledLabels, "b", "2"), wireEntry(rolledLabels, "", ""),
	}
}

func TestF40_RetryThatMeetsAnotherBuildIsAnsweredFromTheRecord(t *testing.T) {
	r := rollOut(t, setup{tcp: true})

	// The older build does not know this map. Its entries keep their order, and are sent with keys and values.
	tags := bytes.Join([][]byte{wireEntry(rolledTags, "", "x"), wireEntry(rolledTags, "B", ""), wireEntry(rolledTags, "a", "y")}, nil)
	codes := wireText(rolledCodes, "\x07\x00\xac\x02")

	for name, sent := range map[string][][]byte{
		"nothing":                          nil,
		"a text":                           {wireText(rolledCurrency, "EUR")},
		"a number":                         {wireNumber(rolledTip, 50)},
		"a negative number":                {wireNumber(rolledTip, 1<<64-50)},
		"a map of one entry":               {wireEntry(rolledTags, "a", "y")},
		"a map in the order of its keys":   {tags},
		"a packed list":                    {codes},
		"all of them":                      {wireText(rolledCurrency, "EUR"), wireNumber(rolledTip, 50), tags, codes},
		"a field that neither build knows": {wireText(100, "later"), wireNumber(99, 1)},
	} {
		t.Run("new is "+name, func(t *testing.T) {
			for order, builds := range r.orders() {
				t.Run(order, func(t *testing.T) {
					first, second := builds[0], builds[1]
					before := r.runs.Load()
					orders := 2 * (len(rolledRequest()) + len(sent) + 1)

					for i := range orders {
						key := r.key()
						fields := slices.Concat(rolledRequest(), sent, [][]byte{wireText(rolledKey, key)})
						retry := bytes.Join(orderOf(fields, i), nil)

						// The trace is another one on each attempt, and both builds ignore it.
						receipt, a := r.send(t, first, key, append(fields, wireText(rolledTrace, "1"))...)
						a.mustHaveStatus(t, onlyonce.StatusExecuted)

						r.mustReplay(t, second, key, receipt, wireText(rolledTrace, "2"), retry)
						r.mustReplay(t, first, key, receipt, retry)
					}

					r.mustHaveRun(t, before+int64(orders))
				})
			}
		})
	}
}

func TestF40_AnotherRequestIsAReusedKeyOnBothBuilds(t *testing.T) {
	r := rollOut(t, setup{tcp: true})

	request := append(rolledRequest(), wireText(rolledCurrency, "EUR"), wireEntry(rolledTags, "a", "x"))

	// with replaces a field.
	with := func(i int, field []byte) [][]byte {
		changed := slices.Clone(request)
		changed[i] = field

		return changed
	}

	for name, other := range map[string][][]byte{
		"another text":                with(0, wireText(rolledPayee, "Bob")),
		"another number":              with(1, wireNumber(rolledCents, 1251)),
		"a list in another order":     with(2, wireText(rolledParts, "\x02\x01\x03")),
		"another value in a map":      with(3, wireEntry(rolledLabels, "a", "2")),
		"another key in a map":        with(4, wireEntry(rolledLabels, "c", "2")),
		"another new text":            with(6, wireText(rolledCurrency, "USD")),
		"another value in a new map":  with(7, wireEntry(rolledTags, "a", "y")),
		"without a text":              request[1:],
		"without a new map":           request[:7],
		"with another entry":          append(slices.Clone(request), wireEntry(rolledLabels, "c", "3")),
		"with another new entry":      append(slices.Clone(request), wireEntry(rolledTags, "b", "z")),
		"with another new field":      append(slices.Clone(request), wireNumber(rolledTip, 1)),
		"with what nobody knows":      append(slices.Clone(request), wireNumber(99, 1)),
		"with nothing":                nil,
		"in the field of another one": with(6, wireText(rolledCodes, "EUR")),
	} {
		t.Run(name, func(t *testing.T) {
			for order, builds := range r.orders() {
				t.Run(order, func(t *testing.T) {
					first, second := builds[0], builds[1]
					before, key := r.runs.Load(), r.key()

					receipt, a := r.send(t, first, key, request...)
					a.mustHaveStatus(t, onlyonce.StatusExecuted)

					for _, build := range []*world{second, first} {
						_, a = r.send(t, build, key, other...)
						a.mustBe(t, keyReused)

						r.mustReplay(t, build, key, receipt, request...)
					}

					r.mustHaveRun(t, before+1)
				})
			}
		})
	}
}

// The two builds disagree about these forms, because the wire does not show the type: see docs/fingerprint.md. Each
// build agrees with itself.
func TestF40_RetryThatTheBuildsCannotAgreeOnIsRefusedAndNotRunAgain(t *testing.T) {
	r := rollOut(t, setup{tcp: true})

	for name, sent := range map[string][]byte{
		"a new map in another order":        slices.Concat(wireEntry(rolledTags, "b", "x"), wireEntry(rolledTags, "a", "y")),
		"a new map without a default value": wireText(rolledTags, string(wireText(1, "a"))),
		"a new map with the value first":    wireText(rolledTags, string(wireText(2, "x"))+string(wireText(1, "a"))),
		"a new list that is not packed":     slices.Concat(wireNumber(rolledCodes, 1), wireNumber(rolledCodes, 2)),
		"a new field that is sent twice":    slices.Concat(wireText(rolledCurrency, "USD"), wireText(rolledCurrency, "EUR")),
		"a new field with its default":      wireNumber(rolledTip, 0),
		"a new field that is ignored":       wireText(rolledSentAt, "now"),
	} {
		t.Run(name, func(t *testing.T) {
			for order, builds := range r.orders() {
				t.Run(order, func(t *testing.T) {
					first, second := builds[0], builds[1]
					before, key := r.runs.Load(), r.key()
					request := append(rolledRequest(), sent)

					receipt, a := r.send(t, first, key, request...)
					a.mustHaveStatus(t, onlyonce.StatusExecuted)

					_, a = r.send(t, second, key, request...)
					a.mustBe(t, keyReused)

					r.mustReplay(t, first, key, receipt, request...)
					r.mustHaveRun(t, before+1)
				})
			}
		})
	}
}

func TestF40_ClientWhoseReplyIsLostIsAnsweredByAnotherBuild(t *testing.T) {
	for name, newerFirst := range map[string]bool{"the older build first": false, "the newer build first": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rollOut(t, setup{})

				first, second := r.older, r.newer
				if newerFirst {
					first, second = second, first
				}

				// The connection breaks before the reply, and the client's next connection reaches the other build.
				r.running = first.listener.cut

				var dialled, attempts atomic.Int64

				dial, err := interceptor.DialOptions(interceptor.WithAttemptObserver(func(context.Context, interceptor.Attempt) {
					attempts.Add(1)
				}))
				if err != nil {
					t.Fatal(err)
				}

				conn := first.dial(t, append(dial, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
					if dialled.Add(1) == 1 {
						return first.listener.dial(ctx, addr)
					}

					return second.listener.dial(ctx, addr)
				}))...)

				method := r.service.Methods().ByName("Pay")
				req, resp := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())

				set(req, "payee", "Ann")
				set(req, "currency", "EUR")

				if err := conn.Invoke(t.Context(), "/"+string(r.service.FullName())+"/Pay", req, resp); err != nil || get(resp, "receipt") != "run 1" {
					t.Errorf("the answer is %v, %v; want that of the first run", resp, err)
				}

				if n := attempts.Load(); n != 2 {
					t.Errorf("there were %d attempts, want 2", n)
				}

				r.mustHaveRun(t, 1)
			})
		})
	}
}
