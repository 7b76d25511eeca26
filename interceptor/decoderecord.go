package interceptor

import (
	"fmt"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// RecordedAnswer is the recorded answer of a call. Its duplicates get this answer.
type RecordedAnswer struct {
	// Status is the status of the answer. Its code is OK if there is a response.
	Status *status.Status
	// Response is the encoded response message. It is empty if the answer is an error, and if the message is empty. It shares the memory of
	// the record, so do not change it.
	Response []byte
	// Header and Trailer are the metadata that is recorded with the answer. Either may be nil.
	Header, Trailer metadata.MD
}

// DecodeRecord reads the recorded answer of a record that this package has written, for tools that show records. The second result is false
// if the record has no answer: it is not completed, or its answer was too large to keep. The error matches store.ErrUnreadable if the
// answer is damaged, or if the record does not belong to a gRPC method.
func DecodeRecord(rec onlyonce.Record) (RecordedAnswer, bool, error) {
	if rec.State != store.Completed || rec.NotStored {
		return RecordedAnswer{}, false, nil
	}

	recorded, err := decodePayload(rec.Body)
	if err != nil {
		return RecordedAnswer{}, false, notAnAnswer(&rec, err)
	}

	answer := RecordedAnswer{
		Status: status.New(okCode, ""), Response: recorded.response, Header: recorded.header, Trailer: recorded.trailer,
	}

	if len(recorded.status) > 0 {
		answer.Response = nil

		if answer.Status, err = recorded.replayedStatus(); err != nil {
			return RecordedAnswer{}, false, notAnAnswer(&rec, err)
		}
	}

	if name := codeName(answer.Status.Code()); name != rec.Code {
		return RecordedAnswer{}, false, notAnAnswer(&rec, fmt.Errorf("its code is %q and its status is %s", rec.Code, name))
	}

	return answer, true, nil
}

func notAnAnswer(rec *onlyonce.Record, err error) error {
	return fmt.Errorf("interceptor: reading the answer of record %v: %w: %w", rec.ID, store.ErrUnreadable, err)
}
