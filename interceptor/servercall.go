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
	caller  context.Context            //nolint:containedctx // the call lives as long as this context
	stream  grpc.ServerTransportStream // nil where the interceptor is called without a server

	call      onlyonce.Call
	badField  string // the request field that has a bad key; empty where it is the metadata
	recorder  recorder
	forbidden error         // that of the replay check
	original  proto.Message // the request, where the handler may be run again
	runs      int
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
		c.setTrailer(c.server.trailers[reply.Status])

		return nil, reply.Err
	case reply.Shared:
		c.setTrailer(c.server.trailers[reply.Status])

		return nil, reply.Err
	default:
		c.recorder.deliver()
		c.setTrailer(c.server.trailers[reply.Status])

		return c.resp, c.err
	}
}

// prepare takes from the call what identifies it, in the contract's order: scope, key, request.
func (c *serverCall) prepare(ctx context.Context, keys []string) error {
	c.call.Method = c.method.name
	c.call.Key, _ = singleValue(keys)

	if c.method.broken != nil {
		return &misconfigured{c.method.broken}
	}

	if err := c.takeScope(ctx); err != nil {
		return err
	}

	if err := c.takeKey(keys); err != nil {
		return err
	}

	msg, ok := c.req.(proto.Message)
	if !ok || c.method.output == nil {
		return errNotProtobuf(c.method.name, c.req)
	}

	digest, err := fingerprint.Of(msg)
	if err != nil {
		return err // it names the message
	}

	c.call.Fingerprint = digest
	c.call.Policy = &c.method.policy
	c.call.TimeOrdered = c.method.keyForm.rules.TimeOrdered

	if p := &c.method.policy; p.Guarantee == onlyonce.ExactlyOnce {
		c.call.Outcome = c.classify

		if p.TransactionMode != onlyonce.JoinedTransaction {
			c.original = proto.Clone(msg) // a handler that is run again gets the request as it was received
		}
	}

	if ask := c.method.recover; ask != nil {
		c.call.Recover = func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
			return ask(ctx, proto.Clone(msg), rec)
		}
	}

	if check := c.server.replayCheck; check != nil {
		c.call.ReplayCheck = func(ctx context.Context) error {
			c.forbidden = check(ctx, c.req)

			return c.forbidden
		}
	}

	return nil
}

// run calls the handler, and makes of its answer what the engine records.
func (c *serverCall) run(ctx context.Context) onlyonce.Outcome {
	c.recorder.ServerTransportStream = c.stream
	c.recorder.caller = c.caller //nolint:fatcontext // it is set once

	c.runs++
	if c.runs > 1 {
		c.req = proto.Clone(c.original)
		c.recorder.again()
	}

	returned := false

	defer func() {
		if !returned {
			// The handler panics. Its metadata goes where it would go without us, and an outer recovery answers the call.
			c.recorder.deliver()
			c.setTrailer(c.server.trailers[onlyonce.StatusUnknown])
		}
	}()

	c.resp, c.err = c.handler(grpc.NewContextWithServerTransportStream(ctx, &c.recorder), c.req)
	returned = true

	c.recorder.close()

	if c.err != nil {
		return c.failure()
	}

	return c.success()
}

// classify says what an answer would mean that the handler is about to give.
func (c *serverCall) classify(resp any, err error) onlyonce.Outcome {
	header, trailer := c.recorder.metadata()
	about := serverCall{server: c.server, method: c.method, resp: resp, err: err}
	about.recorder.header, about.recorder.trailer = header, trailer

	if err != nil {
		return about.failure()
	}

	return about.success()
}

func (c *serverCall) success() onlyonce.Outcome {
	if c.resp == nil {
		c.resp = c.method.output.New().Interface() // an empty answer is an answer
	}

	msg, ok := c.resp.(proto.Message)
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
		class = onlyonce.ClassAmbiguous // an error that says OK: nobody can tell what it means
	}

	if class != onlyonce.ClassDefinite {
		return onlyonce.Outcome{Class: class, Marked: isMarked, Code: codeName(st.Code()), Err: c.err}
	}

	recorded := statusProto(st)
	if recorded.GetMessage() != st.Message() {
		c.err = status.FromProto(recorded).Err() // gRPC would leave the details out
	}

	out := c.outcome(class, codeName(st.Code()), recorded, nil)
	out.KeepWrites, out.Marked = keep, isMarked

	return out
}

// outcome records a definite answer. One that cannot be encoded cannot reach the caller either, so it is ambiguous.
func (c *serverCall) outcome(class onlyonce.Class, code string, st *spb.Status, resp proto.Message) onlyonce.Outcome {
	body, err := encodePayload(st, resp, c.recorder.header, c.recorder.trailer, c.server.storable)
	if err != nil {
		return onlyonce.Outcome{Code: code, Err: err}
	}

	return onlyonce.Outcome{Class: class, Code: code, Body: body, Err: c.err}
}

// recorded answers the call with the outcome that its own handler has committed.
func (c *serverCall) recorded(reply *onlyonce.Reply) (any, error) {
	recorded, err := decodePayload(reply.Body)
	if err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	c.recorder.header, c.recorder.trailer = recorded.header, recorded.trailer

	if len(recorded.status) > 0 {
		st, err := recorded.replayedStatus()
		if err != nil {
			return nil, c.refuseUnseen(unreadable(err))
		}

		c.recorder.deliver()
		c.setTrailer(c.server.trailers[reply.Status])

		return nil, st.Err()
	}

	resp := c.method.output.New().Interface()
	if err := proto.Unmarshal(recorded.response, resp); err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	c.recorder.deliver()
	c.setTrailer(c.server.trailers[reply.Status])

	return resp, nil
}

// replay answers the call with a recorded outcome. An error goes with trailers alone: a header would commit the call and
// switch the client's native retries off.
func (c *serverCall) replay(reply *onlyonce.Reply) (any, error) {
	recorded, err := decodePayload(reply.Body)
	if err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	// What was recorded has none of these names; see decodeMetadata.
	trailer := recorded.trailer
	if trailer == nil {
		trailer = make(metadata.MD)
	}

	maps.Copy(trailer, c.server.trailers[onlyonce.StatusReplayed])
	maps.Copy(trailer, c.server.replayed)
	trailer[ExecutedAtTrailer] = []string{reply.ExecutedAt.UTC().Format(time.RFC3339)}

	if len(recorded.status) > 0 {
		st, err := recorded.replayedStatus()
		if err != nil {
			return nil, c.refuseUnseen(unreadable(err))
		}

		c.setTrailer(metadata.Join(recorded.header, trailer))

		return nil, st.Err()
	}

	resp := c.method.output.New().Interface()
	if err := proto.Unmarshal(recorded.response, resp); err != nil {
		return nil, c.refuseUnseen(unreadable(err))
	}

	header := c.server.replayed
	if len(recorded.header) > 0 {
		header = metadata.Join(recorded.header, header)
	}

	if c.stream != nil {
		_ = c.stream.SetHeader(header) // fails where nobody is left to see it
	}

	c.setTrailer(trailer)

	return resp, nil
}

func unreadable(err error) *onlyonce.Rejection {
	return &onlyonce.Rejection{
		Reason:  onlyonce.ReasonRecordUnreadable,
		Message: "the recorded outcome of this idempotency key is damaged, so nothing was executed; an operator has to look at it",
		Cause:   err,
	}
}

// refuseUnseen refuses a call that the engine has not refused, and lets its observer know.
func (c *serverCall) refuseUnseen(err error) error {
	c.server.engine.Refused(c.caller, onlyonce.Identity{Scope: c.call.Scope, Method: c.call.Method, Key: c.call.Key}, err)

	return c.refuse(err)
}

// refuse answers a call that has no outcome of its own.
func (c *serverCall) refuse(err error) error {
	rejection, ok := err.(*onlyonce.Rejection) //nolint:errorlint // what is wrapped is not this call's rejection
	if !ok {
		c.setTrailer(c.server.trailers[onlyonce.StatusRejected])

		return c.refusal(err)
	}

	sent := onlyonce.StatusRejected
	if rejection.Reason == onlyonce.ReasonOutcomeUnknown {
		sent = onlyonce.StatusUnknown
	}

	c.setTrailer(c.server.trailers[sent])
	c.setTrailer(pushback(rejection))

	return rejectionStatus(rejection, c.badField).Err()
}

// refusal is what the caller is told of an error that is no rejection.
func (c *serverCall) refusal(err error) error {
	switch gone := c.caller.Err(); {
	case gone != nil:
		return status.FromContextError(gone).Err() // whatever the cause is, it is not the caller's to know
	case c.forbidden != nil:
		return outward(c.forbidden)
	default:
		return engineError(err)
	}
}

// setTrailer sets what the caller of this very call gets. It fails only where nobody is left to see it.
func (c *serverCall) setTrailer(md metadata.MD) {
	if c.stream != nil && len(md) > 0 {
		_ = c.stream.SetTrailer(md)
	}
}
