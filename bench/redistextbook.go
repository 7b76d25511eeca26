package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// textbook is the method of most tutorials: read the answer, lock, run, store the answer, unlock. It has no
// fingerprints and no fencing. The handler runs twice if a lock ends early, if another run deletes the lock, or if the
// answer is stored between the read and the lock.
type textbook struct {
	client *redis.Client
}

func openTextbook(redisAddr string) (grpc.UnaryServerInterceptor, func() error, error) {
	client := redis.NewClient(&redis.Options{Addr: redisAddr})

	return textbook{client}.intercept, client.Close, nil
}

const (
	textbookLock      = 30 * time.Second
	textbookPoll      = 10 * time.Millisecond
	textbookRetention = 24 * time.Hour
)

func (t textbook) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	keys := metadata.ValueFromIncomingContext(ctx, interceptor.KeyHeader)
	if len(keys) == 0 {
		return handler(ctx, req)
	}

	answer, lock := "answer:"+keys[0], "lock:"+keys[0]

	for {
		kept, err := t.client.Get(ctx, answer).Bytes()
		if err == nil {
			return decodeAnswer(kept)
		} else if !errors.Is(err, redis.Nil) {
			return nil, status.FromContextError(err).Err()
		}

		locked, err := t.client.SetNX(ctx, lock, 1, textbookLock).Result()
		if err != nil {
			return nil, status.FromContextError(err).Err()
		}

		if locked {
			break
		}

		select {
		case <-time.After(textbookPoll):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}

	resp, err := handler(ctx, req)
	if err == nil {
		err = t.keep(ctx, answer, resp)
	}

	return resp, errors.Join(err, t.client.Del(ctx, lock).Err())
}

func (t textbook) keep(ctx context.Context, answer string, resp any) error {
	data, err := encodeAnswer(nil, resp)
	if err != nil {
		return err
	}

	return t.client.Set(ctx, answer, data, textbookRetention).Err()
}

func decodeAnswer(data []byte) (proto.Message, error) {
	packed := new(anypb.Any)
	if err := proto.Unmarshal(data, packed); err != nil {
		return nil, err
	}

	return packed.UnmarshalNew()
}
