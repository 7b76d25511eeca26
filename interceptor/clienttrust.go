package interceptor

import (
	"fmt"

	"google.golang.org/grpc"
)

// trust decides for one call whether another attempt is safe, by what the servers have confirmed.
type trust struct {
	confirmation *confirmation // nil: the method is not declared protected
	guard        replicaGuard
	option       grpc.PerRPCCredsCallOption // has the guard; a field, so that a call does not allocate it
	answers      uint64                     // how many answers the confirmation knew when the last attempt began
	sent         bool                       // an attempt may have reached a server
	ruled        ruling                     // for the last attempt
	exposed      bool                       // another attempt may go to any replica, because the guard is lost
	stopped      bool                       // the call is not retried, because a replica that does not protect the method might run it
}

// begin records how many answers came before an attempt is sent.
func (t *trust) begin() {
	if t.confirmation != nil {
		t.answers = t.confirmation.now()
	}

	t.guard.armed.Store(t.sent)
	t.guard.called.Store(false)
	t.guard.refused.Store(false)
}

// learn records the end of the last attempt.
func (t *trust) learn(a *clientAnswer, r reply) {
	t.sent = t.sent || r != replyUnsent
	t.exposed = t.sent && t.unguarded(a.replica() != "")

	if t.confirmation != nil {
		t.ruled = t.confirmation.learn(a.replica(), t.answers, r)
	}
}

// guarded adds the guard to the options of a call that may be retried. It wraps the credentials of the caller.
func (t *trust) guarded(method string, opts []grpc.CallOption) []grpc.CallOption {
	t.guard.PerRPCCredentials, t.guard.method, t.guard.confirmation = credentialsOf(opts), method, t.confirmation
	t.option.Creds = &t.guard

	return append(opts, &t.option)
}

// unguarded reports that gRPC has not called the guard for the last attempt although it had a connection. An interceptor behind this one
// has replaced the credentials.
func (t *trust) unguarded(connected bool) bool {
	return connected && t.option.Creds != nil && !t.guard.called.Load()
}

// refused reports that the last attempt was not sent, because its replica may not protect the method.
func (t *trust) refused() bool { return t.guard.refused.Load() }

// allows reports whether another attempt is safe. Call it only if the call would be retried otherwise: it sets stopped.
func (t *trust) allows() bool {
	t.stopped = t.confirmation != nil && (t.exposed || !t.ruled.retry)

	return !t.stopped
}

// note returns the reason why the call was not retried, if a replica without the kit might have run it again. It is a part of the error's
// text.
func (t *trust) note(method string) string {
	switch {
	case !t.stopped:
		return ""
	case t.ruled.retry:
		return fmt.Sprintf("; onlyonce: %s is not retried, because an interceptor behind the kit's replaces grpc.PerRPCCredentials, which "+
			"keep retries from servers without the kit: put that interceptor in front", method)
	default:
		return fmt.Sprintf("; onlyonce: not retried, because the server has not confirmed that it protects %s: deploy the kit on the "+
			"servers first, then on the clients", method)
	}
}
