package interceptor_test

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// recorded is a completed record with an answer.
func recorded(code string, body []byte) onlyonce.Record {
	return onlyonce.Record{Record: store.Record{State: store.Completed}, Code: code, Body: body}
}

func TestDecodeRecordReadsWhatFindingOfHasMade(t *testing.T) {
	t.Parallel()

	want := &pb.SimpleResponse{Username: "paid"}
	code, body, _ := found(t, want, nil).Answer()

	got, ok, err := interceptor.DecodeRecord(recorded(code, body))
	if err != nil || !ok || got.Status.Code() != codes.OK {
		t.Fatalf("got %+v, %t, %v", got, ok, err)
	}

	resp := new(pb.SimpleResponse)
	if err := proto.Unmarshal(got.Response, resp); err != nil || !proto.Equal(resp, want) {
		t.Errorf("got %v, %v", resp, err)
	}

	code, body, _ = found(t, nil, status.Error(codes.NotFound, "no such account")).Answer()

	got, ok, err = interceptor.DecodeRecord(recorded(code, body))
	if err != nil || !ok || got.Status.Code() != codes.NotFound || got.Status.Message() != "no such account" || got.Response != nil {
		t.Errorf("got %+v, %t, %v", got, ok, err)
	}
}

func TestDecodeRecordReadsTheMetadataOfACall(t *testing.T) {
	w := start(t, setup{}, rich(answering("paid")))
	w.pay(t, "key")

	got, ok, err := interceptor.DecodeRecord(w.record(t.Context(), t))
	if err != nil || !ok || len(got.Header)+len(got.Trailer) == 0 {
		t.Errorf("got %+v, %t, %v", got, ok, err)
	}
}

func TestDecodeRecordOfARecordWithoutAnAnswer(t *testing.T) {
	t.Parallel()

	code, body, _ := found(t, &pb.SimpleResponse{}, nil).Answer()

	for name, rec := range map[string]onlyonce.Record{
		"absent":     {},
		"unknown":    {Record: store.Record{State: store.Unknown}, Code: "INTERNAL"},
		"not stored": {Record: store.Record{State: store.Completed}, Code: code, Body: body, NotStored: true},
	} {
		if got, ok, err := interceptor.DecodeRecord(rec); ok || err != nil {
			t.Errorf("%s: got %+v, %t, %v", name, got, ok, err)
		}
	}

	for name, rec := range map[string]onlyonce.Record{
		"not of a gRPC method": recorded("OK", []byte("paid")),
		"another code":         recorded("NOT_FOUND", body),
		"a status that is OK":  recorded("OK", []byte{0x0a, 0x02, 0x08, 0x00}),
	} {
		if got, ok, err := interceptor.DecodeRecord(rec); ok || !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%s: got %+v, %t, %v", name, got, ok, err)
		}
	}
}

func TestCodeNamedKnowsTheCodesOfRecords(t *testing.T) {
	t.Parallel()

	if code, ok := interceptor.CodeNamed("NOT_FOUND"); !ok || code != codes.NotFound {
		t.Errorf("got %v, %t", code, ok)
	}

	if code, ok := interceptor.CodeNamed("NotFound"); ok {
		t.Errorf("got %v", code)
	}
}
