package onceconnect

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
)

// runInfo is the context of a run, with its own connect.CallInfo. The metadata of a handler is recorded before it is sent, and a run
// continues after connect-go has answered a caller that has left.
type runInfo struct {
	context.Context //nolint:containedctx // this is one

	of   connect.CallInfo // of the call; nil: connect-go has set none
	info callInfo
}

// callInfo is a connect.CallInfo with the response metadata of a run.
type callInfo struct {
	connect.CallInfo

	header, trailer http.Header // nil: the handler has set none
}

func newRunInfo(ctx context.Context) *runInfo {
	of, _ := connect.CallInfoForHandlerContext(ctx)

	return &runInfo{Context: ctx, of: of, info: callInfo{CallInfo: of}}
}

// Value implements [context.Context].
func (r *runInfo) Value(key any) any {
	value := r.Context.Value(key)
	if info, ok := value.(connect.CallInfo); ok && info == r.of {
		return connect.CallInfo(&r.info)
	}

	return value
}

// ResponseHeader implements [connect.CallInfo].
func (i *callInfo) ResponseHeader() http.Header {
	if i.header == nil {
		i.header = make(http.Header)
	}

	return i.header
}

// ResponseTrailer implements [connect.CallInfo].
func (i *callInfo) ResponseTrailer() http.Header {
	if i.trailer == nil {
		i.trailer = make(http.Header)
	}

	return i.trailer
}
