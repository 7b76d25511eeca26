package onceconnect_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"

	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
)

// deaf is a response writer that cannot flush.
type deaf struct{ http.ResponseWriter }

// opened is a wrapper that http.ResponseController can open.
type opened struct{ deaf }

func (o opened) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// connect-go refuses a stream on such a writer, because the stream would stand still.
func TestHandlerDoesNotHideAWriterThatCannotFlush(t *testing.T) {
	for name, test := range map[string]struct {
		wrap func(http.ResponseWriter) http.ResponseWriter
		runs int64
	}{
		"cannot flush":  {func(w http.ResponseWriter) http.ResponseWriter { return deaf{w} }, 0},
		"can flush":     {func(w http.ResponseWriter) http.ResponseWriter { return w }, 1},
		"can be opened": {func(w http.ResponseWriter) http.ResponseWriter { return opened{deaf{w}} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{wrap: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(test.wrap(w), r) })
			}})

			stream, err := dial(t, w.url, connect.WithGRPC()).watch.CallServerStream(t.Context(), connect.NewRequest(&shopv1.WatchRequest{}))
			if err != nil {
				t.Fatal(err)
			}

			arrived := stream.Receive()
			if err := stream.Close(); err != nil {
				t.Error(err)
			}

			if arrived != (test.runs > 0) || w.runs.Load() != test.runs {
				t.Errorf("a message has arrived: %v, the handler ran %d times, want %d; %v", arrived, w.runs.Load(), test.runs, stream.Err())
			}
		})
	}
}

func TestHandlerFlushesThroughAWrapper(t *testing.T) {
	recorder := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, watchMethod, http.NoBody)
	r.Header.Set("Content-Type", "application/grpc")
	r.ProtoMajor = 2

	onceconnect.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
	})).ServeHTTP(opened{deaf{recorder}}, r)

	if !recorder.Flushed {
		t.Error("the writer is not flushed")
	}
}
