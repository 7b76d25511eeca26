package interceptor

import (
	"maps"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
)

// kept has the retentions of a method's outcomes, and the trailers that declare them.
type kept struct {
	retention  time.Duration                // of all answers except errors
	retentions map[codes.Code]time.Duration // of errors with a retention other than ErrorRetention
	trailer    metadata.MD                  // has retention; shared and never modified; nil: the default retention
	statuses   statusTrailers               // also have trailer
}

// statusTrailers has the trailer of an answer for each status. The trailers are shared and never modified.
type statusTrailers map[onlyonce.Status]metadata.MD

// newStatusTrailers makes the trailers. They also have the trailer retention, if it is not nil.
func newStatusTrailers(retention metadata.MD) statusTrailers {
	trailers := make(statusTrailers)

	for _, status := range []onlyonce.Status{
		onlyonce.StatusExecuted, onlyonce.StatusReplayed, onlyonce.StatusReleased, onlyonce.StatusUnknown,
		onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected, onlyonce.StatusRejected,
	} {
		trailers[status] = pair(StatusTrailer, string(status))
		maps.Copy(trailers[status], retention)
	}

	return trailers
}

// keptOf returns the kept of a policy. No field of the policy is unset. The usual trailers are those of the default retention.
func keptOf(policy *onlyonce.Policy, retentions map[codes.Code]time.Duration, usual statusTrailers) kept {
	k := kept{retention: policy.Retention, retentions: retentions, statuses: usual}

	if k.retention != onlyonce.DefaultRetention { // clients assume the default without a trailer
		k.trailer = retentionTrailer(k.retention)
		k.statuses = newStatusTrailers(k.trailer)
	}

	return k
}

// withStatus returns the trailer of an answer with a status and a retention: see of.
func (k *kept) withStatus(status onlyonce.Status, retention time.Duration) metadata.MD {
	if retention == 0 || retention == k.retention {
		return k.statuses[status]
	}

	trailer := retentionTrailer(retention)
	trailer[StatusTrailer] = k.statuses[status][StatusTrailer]

	return trailer
}

// of returns the trailer of an answer whose record is kept for a retention. Zero means an answer without a record.
func (k *kept) of(retention time.Duration) metadata.MD {
	if retention == 0 || retention == k.retention {
		return k.trailer
	}

	return retentionTrailer(retention)
}

func retentionTrailer(retention time.Duration) metadata.MD {
	return pair(RetentionTrailer, strconv.FormatInt(int64(retention/time.Second), 10))
}
