package interceptor

import (
	"context"
	"maps"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/fingerprint"
)

// serverCall is one keyed call on a server.
type serverCall struct {
	server  *Server
	method  *method
	req     any
	handler grpc.UnaryHandler
	caller  context.Context            //nolint:containedctx // the context of the call
	stream  grpc.ServerTransportStream // nil: the interceptor is called without a server

	call      onlyonce.Call
	badField  string        // the request field whose key is invalid; empty: the metadata
	msg       proto.Message // the request for package proto; the handler may change it
	original  proto.Message // a copy of msg, if it may be needed after a run has begun
	runs      int
	shadow    bool      // the call is observed and not protected
	recorder  *recorder // of the latest run: goroutines of an earlier run cannot reach it
	first     recorder
	forbidden error // the error of the replay check
	resp      any
	err       error
}

func (c *serverCall) serve(ctx context.Context, keys []string) (any, error) {
	if err := c.prepare(ctx, keys); err != nil {
		return nil, c.refuseUnseen(err)
	}

	reply, err := c.server.engine.Execute(ctx, &c.call, c.run)
	if err != nil {
		return nil, c.refuse(err)
	}

	switch {
	case reply.Status == onlyonce.StatusReplayed:
		return c.replay(&reply)
	case reply.Recorded:
		return c.recorded(&reply)
	case reply.Refused:
		c.recorder.deliver()
		c.setStatus(reply.Status, reply.Retention)

		return nil, reply.Err
	case reply.Shared:
		c.setStatus(reply.Status, reply.Retention)

		return nil, reply.Err
	default:
		c.recorder.deliver()
		c.setStatus(reply.Status, reply.Retention)

		return c.resp, c.err
	}
}

// prepare reads the call, and sets the functions that the engine calls.
func (c *serverCall) prepare(ctx context.Context, keys []string) error {
	c.call.Method = c.method.name
	c.call.Key, _ = singleValue(keys)

	if c.method.broken != nil {
		return &misconfigured{c.method.broken}
	}

	if err := c.takeIdentity(ctx, keys); err != nil {
		return err
	}

	if c.method.policy.Guarantee == onlyonce.ExactlyOnce {
		c.call.Outcome = c.classify
	}

	if find := c.method.recover; find != nil {
		original := proto.Clone(c.msg) // find runs on another goroutine, and a run may change the request
		c.original = original
		c.call.Recover = func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
			return find(ctx, proto.Clone(original), rec)
		}
	}

	if check := c.server.replayCheck; check != nil {
		c.call.ReplayCheck = func(ctx context.Context) error {
			c.forbidden = check(ctx, c.received())

			return c.forbidden
		}
	}

	return nil
}

// takeIdentity reads the identity of the call, in the order of the contract: scope, key, request.
func (c *serverCall) takeIdentity(ctx context.Context, keys []string) error {
	if err := c.takeScope(ctx); err != nil {
		return err
	}

	if err := c.takeKey(keys); err != nil {
		return err
	}

	if err := c.takeRequest(); err != nil {
		return err
	}

	c.call.Prepared = c.method.prepared
	c.call.TimeOrdered = c.method.keyForm.rules.TimeOrdered

	return nil
}

// takeRequest computes the fingerprint of the request, and keeps the request if the policy demands it.
func (c *serverCall) takeRequest() error {
	msg, ok := asMessage(c.req)
	if !ok || c.method.output == nil {
		return errUnrecordable(c.method, c.req)
	}

	panicked := true

	err := withoutPanic(func() (err error) {
		c.call.Fingerprint, err = fingerprint.Of(msg)
		panicked = false

		return err
	})
	if panicked {
		return errUnrecordable(c.method, c.req)
	}

	if err != nil {
		return err // names the message
	}

	if err := c.keepRequest(msg); err != nil {
		return errUnrecordable(c.method, c.req)
	}

	c.msg = msg
	c.call.Fingerprint = c.server.metadata.addTo(c.caller, c.call.Fingerprint)

	return nil
}

// received returns the request as it was received.
func (c *serverCall) received() any {
	if c.runs == 0 {
		return c.req
	}

	return asGo(proto.Clone(c.original))
}

// begin returns the request of a run that begins, and prepares a recorder for the run.
func (c *serverCall) begin() any {
	req := c.received()

	if c.runs == 0 {
		again := c.method.policy.Guarantee == onlyonce.ExactlyOnce && c.method.policy.TransactionMode != onlyonce.JoinedTransaction
		if c.original == nil && (again || c.server.replayCheck != nil) {
			c.original = proto.Clone(c.msg)
		}

		c.recorder = &c.first
	} else {
		c.recorder = c.recorder.next()
	}

	c.recorder.ServerTransportStream = c.stream
	c.recorder.caller = c.caller

	c.runs++

	return req
}

// run calls the handler, and converts its answer to the outcome that the engine records.
func (c *serverCall) run(ctx context.Context) onlyonce.Outcome {
	req, returned := c.begin(), false

	defer func() {
		if !returned {
			// The handler panics. Its metadata is delivered as without the kit. A recovery interceptor in front answers the call.
			c.recorder.deliver()
			c.setStatus(onlyonce.StatusUnknown, 0)
		}
	}()

	c.resp, c.err = c.handler(grpc.NewContextWithServerTransportStream(ctx, c.recorder), req)
	returned = true

	c.recorder.close()

	if c.err != nil {
		return c.failure()
	}

	return c.success()
}

// classify returns the outcome of an answer that the handler has not returned yet.
func (c *serverCall) classify(resp any, err error) onlyonce.Outcome {
	header, trailer := c.recorder.metadata()
	about := serverCall{server: c.server, method: c.method, resp: resp, err: err}
	about.recorder = &recorder{header: header, trailer: trailer}

	if err != nil {
		return about.failure()
	}

	return about.success()
}

func (c *serverCall) success() onlyonce.Outcome {
	if c.resp == nil {
		c.resp = asGo(c.method.output.New().Interface()) // a nil response is an empty message
	}

	msg, ok := asMessage(c.resp)
	if !ok {
		c.err = errWrongResponse(c.method.name, c.resp)

		return onlyonce.Outcome{Code: codeName(statusOf(c.err).Code()), Err: c.err}
	}

	return c.outcome(onlyonce.ClassDefinite, okName, nil, msg)
}

func (c *serverCall) failure() onlyonce.Outcome {
	marked, isMarked := onlyonce.MarkedClass(c.err)
	keep := onlyonce.KeepsWrites(c.err)
	c.err = onlyonce.Unmarked(c.err)

	st := statusOf(c.err)
	class := c.method.classOf(st.Code())

	if callIsOpen(c.err) {
		class = onlyonce.ClassAmbiguous
	}

	if changed, downstream := relabelled(st); downstream {
		st, class = changed, onlyonce.ClassAmbiguous
		c.err = st.Err()
	}

	if isMarked {
		class = marked
	}

	if isOK(st.Code()) {
		class = onlyonce.ClassAmbiguous // an error with the code OK has no clear meaning
	}

	if class != onlyonce.ClassDefinite {
		return onlyonce.Outcome{Class: class, Marked: isMarked, Code: codeName(st.Code()), Err: c.err}
	}

	recorded := statusProto(st)
	if recorded.GetMessage() != st.Message() {
		c.err = status.FromProto(recorded).Err() // gRPC would leave the details out
	}

	out := c.outcome(class, codeName(st.Code()), recorded, nil)
	out.KeepWrites, out.Marked, out.Retention = keep, isMarked, c.method.kept.retentions[st.Code()]

	return out
}

// outcome records a definite answer. An answer that cannot be encoded is ambiguous: it does not reach the caller either.
func (c *serverCall) outcome(class onlyonce.Class, code string, st *spb.Status, resp proto.Message) onlyonce.Outcome {
	var (
		body []byte
		room = onlyonce.BodyRoom(code)
	)

	if err := withoutPanic(func() (err error) {
		if c.shadow {
			body, err = encodeShadow(room, st, resp)

			return err
		}

		body, err = encodePayload(room, st, resp, c.recorder.header, c.recorder.trailer, c.server.metadata.storable)

		return err
	}); err != nil {
		return onlyonce.Outcome{Code: code, Err: err}
	}

	return onlyonce.Outcome{Class: class, Code: code, Body: body, Room: room, Err: c.err}
}

// recorded answers the call with the outcome that its own run has committed.
func (c *serverCall) recorded(reply *onlyonce.Reply) (any, error) {
	recorded, err := decodePayload(reply.Body)
	if err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	c.recorder.replaceStorable(&recorded, c.server.metadata.storable)

	if len(recorded.status) > 0 {
		st, err := recorded.replayedStatus()
		if err != nil {
			return nil, c.refuseUnseen(unreadable(err))
		}

		c.recorder.deliver()
		c.setStatus(reply.Status, reply.Retention)

		return nil, st.Err()
	}

	resp, err := c.method.response(recorded.response)
	if err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	c.recorder.deliver()
	c.setStatus(reply.Status, reply.Retention)

	return resp, nil
}

// replay answers the call with a recorded outcome.
func (c *serverCall) replay(reply *onlyonce.Reply) (any, error) {
	recorded, err := decodePayload(reply.Body)
	if err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	replay := replayed{
		header: recorded.header, trailer: recorded.trailer, executedAt: executedAt(reply), retention: c.method.kept.of(reply.Retention),
	}

	if len(recorded.status) > 0 {
		return c.replayError(&recorded, &replay)
	}

	resp, err := c.method.response(recorded.response)
	if err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	if len(replay.header)+len(replay.trailer) == 0 {
		c.setHeader(c.server.replayed)
		c.setTrailer(c.ownTrailer(&replay))

		return resp, nil
	}

	header, trailer := replay.withResponse()
	c.setHeader(header)
	c.setTrailer(trailer)

	return resp, nil
}

// executedAt returns the value of ExecutedAtTrailer. It is empty if the store no longer has the time at which the run ended.
func executedAt(reply *onlyonce.Reply) string {
	if reply.ExecutedAt.IsZero() {
		return ""
	}

	return reply.ExecutedAt.UTC().Format(time.RFC3339)
}

// ownTrailer returns the trailer of a replay whose outcome has no metadata. It is smaller than every limit. The values are shared by all
// calls.
func (c *serverCall) ownTrailer(replay *replayed) metadata.MD {
	trailer := make(metadata.MD, ownFields)
	trailer[StatusTrailer] = c.server.statuses[onlyonce.StatusReplayed][StatusTrailer]
	trailer[ReplayedHeader] = c.server.replayed[ReplayedHeader]

	if replay.executedAt != "" {
		trailer[ExecutedAtTrailer] = []string{replay.executedAt}
	}

	maps.Copy(trailer, replay.retention)

	return trailer
}

// replayError answers the call with a recorded error. It sends no header if it can: a header would commit the call and switch the client's
// native retries off.
func (c *serverCall) replayError(recorded *payload, replay *replayed) (any, error) {
	st, err := recorded.replayedStatus()
	if err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	replay.status = st

	trailer, split := replay.withError()
	if split {
		c.setHeader(c.server.replayed)
	}

	c.setTrailer(trailer)

	return nil, st.Err()
}

func unreadable(err error) *onlyonce.Rejection {
	return &onlyonce.Rejection{
		Reason:  onlyonce.ReasonRecordUnreadable,
		Message: "the recorded outcome of this idempotency key is damaged, so nothing was executed; an operator has to look at it",
		Cause:   err,
	}
}

// refuseUnseen refuses a call that the engine has not refused, and reports the refusal to the engine's observer.
func (c *serverCall) refuseUnseen(err error) error {
	c.server.engine.Refused(c.caller, onlyonce.Identity{Scope: c.call.Scope, Method: c.call.Method, Key: c.call.Key}, err)

	return c.refuse(err)
}

// refuse answers a call that has no outcome of its own.
func (c *serverCall) refuse(err error) error {
	rejection, ok := err.(*onlyonce.Rejection) //nolint:errorlint // a wrapped rejection belongs to another call
	if !ok {
		c.setStatus(onlyonce.StatusRejected, 0)

		return c.refusal(err)
	}

	sent := onlyonce.StatusRejected
	if rejection.Reason == onlyonce.ReasonOutcomeUnknown {
		sent = onlyonce.StatusUnknown
	}

	c.setStatus(sent, rejection.Retention)
	c.setTrailer(pushback(rejection))

	return rejectionStatus(rejection, c.badField).Err()
}

// refusal returns the error for the caller if err is no rejection.
func (c *serverCall) refusal(err error) error {
	switch gone := c.caller.Err(); {
	case gone != nil:
		return status.FromContextError(gone).Err() // err is for operators
	case c.forbidden != nil:
		return outward(c.forbidden)
	default:
		return engineError(err)
	}
}

// setStatus sends the status of this call, and how long its answer is kept. Retention is 0 for an answer without a record.
func (c *serverCall) setStatus(became onlyonce.Status, retention time.Duration) {
	c.setTrailer(c.method.kept.withStatus(became, retention))
}

// setHeader sets the header of this call. It fails only if the caller has gone.
func (c *serverCall) setHeader(md metadata.MD) {
	if c.stream != nil {
		_ = c.stream.SetHeader(md)
	}
}

// setTrailer sets the trailer of this call. It fails only if the caller has gone.
func (c *serverCall) setTrailer(md metadata.MD) {
	if c.stream != nil && len(md) > 0 {
		_ = c.stream.SetTrailer(md)
	}
}
