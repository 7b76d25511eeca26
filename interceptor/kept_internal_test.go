package interceptor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
)

// All replays share the trailers of the statuses. No value of one replay may stay there for the next.
func TestReplaysLeaveSharedTrailersAsTheyAre(t *testing.T) {
	t.Parallel()

	const executedAt = "2026-01-02T03:04:05Z"

	s := &Server{serverConfig: &serverConfig{statuses: newStatusTrailers(nil)}, replayed: pair(ReplayedHeader, "true")}
	c := &serverCall{server: s}

	for name, test := range map[string]struct {
		replay replayed
		want   metadata.MD
	}{
		"with all": {
			replayed{executedAt: executedAt, retention: retentionTrailer(time.Hour)},
			metadata.Pairs(StatusTrailer, "replayed", ReplayedHeader, "true", ExecutedAtTrailer, executedAt, RetentionTrailer, "3600"),
		},
		"without the time": {replayed{}, metadata.Pairs(StatusTrailer, "replayed", ReplayedHeader, "true")},
	} {
		if diff := cmp.Diff(test.want, c.ownTrailer(&test.replay)); diff != "" {
			t.Errorf("%s: the trailer is not the wanted one (-want +got):\n%s", name, diff)
		}
	}

	k := kept{retention: onlyonce.DefaultRetention, statuses: s.statuses}
	k.withStatus(onlyonce.StatusExecuted, time.Hour)

	if diff := cmp.Diff(newStatusTrailers(nil), s.statuses); diff != "" {
		t.Errorf("what all calls share was modified (-was +is):\n%s", diff)
	}
}
