package interceptor

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/calloption"
	"github.com/onlyonce-go/onlyonce/journal"
)

// WithJournal writes every call of a protected method to a journal before its first attempt, so that Resume can finish it after a crash.
// The call is removed when its end is known. If its outcome is unknown, it stays. The default, and nil, is no journal.
//   - A call that cannot be written is not sent. Its verdict is VerdictNotExecuted, and its error matches the journal's, such as
//     journal.ErrFull. If the error matches journal.ErrUncertain or journal.ErrLeft, the verdict is VerdictUnknown.
//   - The journal has the method, the key, the encoded request, the deadline and the target. It has no metadata, and so no credentials.
//     Calls of Resume get theirs from the context and the connection.
//   - Requests must be protobuf messages.
//
// Use it with UnaryClientInterceptor or UnaryClientRetryInterceptor. UnaryClientKeyInterceptor ignores it.
func WithJournal(j *journal.Journal) ClientOption { return func(c *clientConfig) { c.journal = j } }

// Resume sends the calls that a journal has for the target of a connection: see [journal.Journal.Resume], which also describes the summary
// and the error. The connection must have the client interceptor, and the target that the calls were written for, or else give
// [journal.WithTarget]. The options of the connection decide how calls are retried. No attempt begins later than WithRetention allows,
// counted from the first attempt of the earlier process.
//
// Answers are of type proto.Message: the generated type of the method's response if the program has it, or else an emptypb.Empty with
// unknown fields.
//
// A call in the journal may have run. So it is sent only if the server protects its method: the .proto declares it, or the server has
// confirmed it on this connection. Otherwise the call stays in the journal: see ResumeUnconfirmed.
//
// Answers depend on the caller, so use the credentials of the first attempts. For a server, another caller with the same key is another
// call.
func Resume(ctx context.Context, j *journal.Journal, conn *grpc.ClientConn, opts ...journal.ResumeOption) (journal.Summary, error) {
	return j.Resume(ctx, conn.Target(), resumer{conn: conn}, opts...)
}

// ResumeUnconfirmed is like Resume, and also sends calls of methods that only an option of the client protects, before a server has
// confirmed them. Use it only if all servers of the target protect all methods in the journal: a server without the kit runs a call again.
func ResumeUnconfirmed(
	ctx context.Context, j *journal.Journal, conn *grpc.ClientConn, opts ...journal.ResumeOption,
) (journal.Summary, error) {
	return j.Resume(ctx, conn.Target(), resumer{conn: conn, unconfirmed: true}, opts...)
}

// resumer sends calls of a journal on a connection.
type resumer struct {
	conn        *grpc.ClientConn
	unconfirmed bool
}

func (r resumer) Send(ctx context.Context, entry journal.Entry) (any, error) {
	req, reply := messagesOf(entry.Method)
	if err := proto.Unmarshal(entry.Request, req); err != nil {
		return nil, fmt.Errorf("interceptor: decoding the request of %s in the journal: %w", entry.Method, err)
	}

	mark := calloption.Resumed{
		PerRPCCredsCallOption: grpc.PerRPCCredsCallOption{Creds: unprotectedResume{}}, Written: entry.Written, Unconfirmed: r.unconfirmed,
	}

	return reply, r.conn.Invoke(ctx, entry.Method, req, reply, WithKey(entry.Key), mark)
}

// unprotectedResume are credentials that fail a call. The client interceptor removes them from calls of protected methods.
type unprotectedResume struct{}

func (unprotectedResume) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, errors.New("interceptor: Resume: the connection has no client interceptor that protects the method: use the options of the " +
		"connection that the journal was written with")
}

func (unprotectedResume) RequireTransportSecurity() bool { return false }

// messagesOf returns an empty request and an empty response of a method. If the program does not have their types, the messages keep all
// fields as unknown fields.
func messagesOf(fullMethod string) (req, reply proto.Message) {
	if method := findMethod(splitMethod(fullMethod)); method != nil {
		return messageType(method.Input()).New().Interface(), messageType(method.Output()).New().Interface()
	}

	return new(emptypb.Empty), new(emptypb.Empty)
}

// resume takes the options of Resume, if any: an earlier process may have sent the call. It returns the other options.
func (c *clientCall) resume(opts []grpc.CallOption) []grpc.CallOption {
	if c.confirmation == nil {
		return opts
	}

	rest, found := split[calloption.Resumed](opts)
	for _, option := range found {
		c.resumed, c.ambiguous, c.sent = true, true, !option.Unconfirmed
		c.age = max(c.began.Sub(option.Written), 0)
	}

	return rest
}

// limit sets the times of the call. They count from its first attempt, also if an earlier process made that attempt.
func (c *clientCall) limit() {
	c.times = c.config.attemptTimes(c.config.known.get(c.method), c.key, c.began.Add(-c.age), c.declared)
	c.times.begin = max(c.times.begin-c.age, 1) // 0 is no bound
	c.times.send = max(c.times.send-c.age, 1)
}

// tooOld reports that the servers may no longer have records of the attempts of an earlier process.
func (c *clientCall) tooOld() bool { return c.resumed && c.times.begin <= 1 }

// journaled makes a call that is in the journal until its end is known.
func (c *clientCall) journaled(do func() error) error {
	if c.config.journal == nil || c.confirmation == nil || c.resumed {
		return do()
	}

	entry, err := c.entry()
	if err != nil {
		return err
	}

	call, err := c.config.journal.Begin(c.ctx, entry)
	if err != nil {
		return c.unwritten(err)
	}

	failure := errUnfinished // of a call that panics
	removed := error(nil)

	func() {
		defer func() { removed = call.End(c.ctx, failure) }()

		failure = do()
	}()

	if removed != nil && onlyonce.VerdictOf(failure) == onlyonce.VerdictNotExecuted {
		return &callError{
			err: errors.Join(failure, removed), status: statusOf(failure), outcome: onlyonce.VerdictUnknown, key: c.key,
			note: "; onlyonce: the call is still in the journal, so do not use a new key: " + removed.Error(),
		}
	}

	return failure // if the removal failed, Resume gets the same answer again
}

// entry returns the call as the journal stores it.
func (c *clientCall) entry() (journal.Entry, error) {
	msg, ok := asMessage(c.req)
	if !ok {
		return journal.Entry{}, c.unwritten(fmt.Errorf("interceptor: WithJournal: a request of type %T is no protobuf message", c.req))
	}

	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return journal.Entry{}, c.unwritten(fmt.Errorf("interceptor: WithJournal: encoding the request: %w", err))
	}

	entry := journal.Entry{Method: c.method, Key: c.key, Target: c.info().Target, Request: body, Written: c.began}
	entry.Deadline, _ = c.ctx.Deadline()

	return entry, nil
}

// unwritten returns the error of a call that is not sent because it is not in the journal.
func (c *clientCall) unwritten(err error) error {
	outcome := onlyonce.VerdictNotExecuted
	if errors.Is(err, journal.ErrUncertain) || errors.Is(err, journal.ErrLeft) { // Resume may send the call
		outcome = onlyonce.VerdictUnknown
	}

	return &callError{err: err, status: unwrittenStatus(c.ctx, err), outcome: outcome, key: c.key}
}
