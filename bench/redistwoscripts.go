package main

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// twoScripts is the smallest method that is right while no lock ends early. One script reads the answer or takes the
// lock. The other replaces the lock with the answer, if the caller still has the lock. Both go through go-redis'
// auto-pipeliner. It has no fingerprints, no fencing and no unknown outcomes.
type twoScripts struct {
	client redis.Scripter
}

func openTwoScripts(redisAddr string) (grpc.UnaryServerInterceptor, func() error, error) {
	client := redis.NewClient(&redis.Options{Addr: redisAddr})

	pipeliner, err := client.AutoPipeline()
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}

	return twoScripts{pipeliner}.intercept, func() error { return errors.Join(pipeliner.Close(), client.Close()) }, nil
}

var (
	readOrLock = redis.NewScript( //nolint:gochecknoglobals // a constant
		"local v = redis.call('GET', KEYS[1]) if not v then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end return v")
	answerIfLocked = redis.NewScript( //nolint:gochecknoglobals // a constant
		"if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1 end return 0")
)

// The first byte of a value is its kind.
const (
	isLock   = 'l'
	isAnswer = 'a'
)

func (t twoScripts) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	keys := metadata.ValueFromIncomingContext(ctx, interceptor.KeyHeader)
	if len(keys) == 0 {
		return handler(ctx, req)
	}

	name, lock := []string{"call:" + keys[0]}, string(isLock)+rand.Text()

	for {
		kept, err := readOrLock.Run(ctx, t.client, name, lock, textbookLock.Milliseconds()).Text()
		if errors.Is(err, redis.Nil) {
			break
		} else if err != nil {
			return nil, status.FromContextError(err).Err()
		}

		if kept[0] == isAnswer {
			return decodeAnswer([]byte(kept[1:]))
		}

		select {
		case <-time.After(textbookPoll):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}

	resp, err := handler(ctx, req)
	if err != nil {
		return nil, err // the lock expires
	}

	answer, err := encodeAnswer([]byte{isAnswer}, resp)
	if err != nil {
		return nil, err
	}

	kept, err := answerIfLocked.Run(ctx, t.client, name, lock, answer, textbookRetention.Milliseconds()).Int()
	if err == nil && kept == 0 {
		err = status.Error(codes.Aborted, "the lock has ended")
	}

	return resp, err
}

// encodeAnswer appends an answer.
func encodeAnswer(to []byte, resp any) ([]byte, error) {
	msg, ok := resp.(proto.Message)
	if !ok {
		return nil, status.Error(codes.Internal, "not a message")
	}

	packed, err := anypb.New(msg)
	if err != nil {
		return nil, err
	}

	return proto.MarshalOptions{}.MarshalAppend(to, packed)
}
