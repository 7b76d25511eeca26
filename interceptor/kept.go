package interceptor

import (
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
)

// kept has the retentions of a method's outcomes.
type kept struct {
	retention  time.Duration                // of all answers except errors
	retentions map[codes.Code]time.Duration // of errors with a retention other than ErrorRetention
	trailer    metadata.MD                  // with retention; shared and never modified; nil for the default
}

// keptOf returns the kept of a policy. No field of the policy is unset.
func keptOf(policy *onlyonce.Policy, retentions map[codes.Code]time.Duration) kept {
	k := kept{retention: policy.Retention, retentions: retentions}

	if k.retention != onlyonce.DefaultRetention { // which a client without this trailer assumes
		k.trailer = retentionTrailer(k.retention)
	}

	return k
}

// of returns the trailer of an answer whose record is kept for a retention. Zero is an answer without a record.
func (k *kept) of(retention time.Duration) metadata.MD {
	if retention == 0 || retention == k.retention {
		return k.trailer
	}

	return retentionTrailer(retention)
}

func retentionTrailer(retention time.Duration) metadata.MD {
	return pair(RetentionTrailer, strconv.FormatInt(int64(retention/time.Second), 10))
}
