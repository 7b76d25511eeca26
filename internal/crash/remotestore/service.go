package remotestore

import (
	"context"

	"github.com/onlyonce-go/onlyonce/store"
)

// service serves the operations of clients. net/rpc has no contexts, so every received operation is carried out.
type service struct{ backend Backend }

// Claim answers Client.Claim.
func (s *service) Claim(op store.Claim, reply *Reply) error {
	*reply = replyTo(s.backend.Claim(context.Background(), op))

	return nil
}

// Renew answers Client.Renew.
func (s *service) Renew(op store.Renewal, reply *Reply) error {
	*reply = replyTo(s.backend.Renew(context.Background(), op))

	return nil
}

// Complete answers Client.Complete.
func (s *service) Complete(op store.Completion, reply *Reply) error {
	*reply = replyTo(s.backend.Complete(context.Background(), op))

	return nil
}

// Release answers Client.Release.
func (s *service) Release(op store.Release, reply *Reply) error {
	*reply = replyTo(s.backend.Release(context.Background(), op))

	return nil
}

// Hold answers Client.Hold.
func (s *service) Hold(op store.Hold, reply *Reply) error {
	*reply = replyTo(s.backend.Hold(context.Background(), op))

	return nil
}

// Lookup answers Client.Lookup.
func (s *service) Lookup(key store.Key, reply *Reply) error {
	*reply = replyTo(s.backend.Lookup(context.Background(), key))

	return nil
}

// Resolve answers Client.Resolve.
func (s *service) Resolve(op store.Resolution, reply *Reply) error {
	*reply = replyTo(s.backend.Resolve(context.Background(), op))

	return nil
}

// Forget answers Client.Forget.
func (s *service) Forget(op store.Forgetting, reply *Reply) error {
	*reply = replyTo(s.backend.Forget(context.Background(), op))

	return nil
}
