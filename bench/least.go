package main

import (
	"context"
	"crypto/sha256"
	"hash/maphash"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// least is the smallest interceptor that deduplicates calls, as one might write it by hand. While its process lives, a handler that has
// answered a key does not run again for it, and duplicates get its response. It refuses duplicates of a running call, and another request
// under the key.
//
// It does not promise:
//   - bounded memory: it keeps every response for ever
//   - an answer to a failed handler: its key is free again, even if the handler charged the card before it failed
//   - an answer to a handler that panics or hangs: its key is refused for ever
//   - callers that do not see each other's answers: it has no scopes
//   - the same answer: it does not keep headers, trailers and errors
//   - handlers that outlive the connection: a handler is cancelled with its caller, and its work may be half done
//   - the same encoding of a request in every build: that of unknown fields and maps may change
type least struct {
	seed   maphash.Seed
	shards [64]leastShard
}

type leastShard struct {
	sync.Mutex

	answers map[leastCall]leastAnswer
}

type leastCall struct{ method, key string }

type leastAnswer struct {
	request  [sha256.Size]byte
	kind     protoreflect.MessageType // nil while the handler runs
	response []byte
}

func newLeast() *least {
	l := &least{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].answers = make(map[leastCall]leastAnswer)
	}

	return l
}

func (l *least) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	keys := metadata.ValueFromIncomingContext(ctx, interceptor.KeyHeader)
	msg, ok := req.(proto.Message)

	if len(keys) == 0 || !ok {
		return handler(ctx, req)
	}

	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return nil, err
	}

	call, request := leastCall{info.FullMethod, keys[0]}, sha256.Sum256(encoded)

	kept, first := l.begin(call, request)
	switch {
	case first:
		resp, err := handler(ctx, req)

		return resp, l.end(call, request, resp, err)
	case kept.request != request:
		return nil, status.Error(codes.FailedPrecondition, "the key belongs to another request: use a new key")
	case kept.kind == nil:
		return nil, status.Error(codes.Aborted, "the first call with this key still runs: try again later")
	}

	resp := kept.kind.New().Interface()

	return resp, proto.Unmarshal(kept.response, resp)
}

func (l *least) shard(call leastCall) *leastShard {
	return &l.shards[maphash.String(l.seed, call.key)%uint64(len(l.shards))]
}

// begin claims a call, if it is the first.
func (l *least) begin(call leastCall, request [sha256.Size]byte) (kept leastAnswer, first bool) {
	shard := l.shard(call)

	shard.Lock()
	defer shard.Unlock()

	kept, known := shard.answers[call]
	if !known {
		shard.answers[call] = leastAnswer{request: request}
	}

	return kept, !known
}

// end keeps the response, or nothing after an error, which it returns.
func (l *least) end(call leastCall, request [sha256.Size]byte, resp any, err error) error {
	answer := leastAnswer{request: request}

	if msg, ok := resp.(proto.Message); ok && err == nil {
		answer.kind = msg.ProtoReflect().Type()
		answer.response, err = proto.Marshal(msg)
	}

	l.keep(call, answer)

	return err
}

// keep replaces the kept state of a call. An answer without a response is removed.
func (l *least) keep(call leastCall, answer leastAnswer) {
	shard := l.shard(call)

	shard.Lock()
	defer shard.Unlock()

	if answer.kind == nil {
		delete(shard.answers, call)
	} else {
		shard.answers[call] = answer
	}
}
