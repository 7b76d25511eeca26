package interceptor

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestF84_WhatDoesNotFitIsLeftOutHeadersFirst(t *testing.T) {
	t.Parallel()

	const kit = "idempotency-executed-at idempotency-status idempotent-replayed"

	of := func(size int) []string { return []string{strings.Repeat("v", size)} }

	for name, test := range map[string]struct {
		header, trailer metadata.MD
		message         string
		want            string // the names, sorted
		split           bool
	}{
		"nothing":                        {want: kit},
		"all of it":                      {metadata.MD{"a": of(10)}, metadata.MD{"b": of(10)}, "no", "a b " + kit, false},
		"small, though larger than both": {metadata.MD{"a": of(1800)}, metadata.MD{"b": of(1800)}, "no", "a b " + kit, false},
		"the header": {
			metadata.MD{"a": of(4500)}, metadata.MD{"b": of(4500)}, "no", "b " + kit, false,
		},
		"a part of the header": {
			metadata.MD{"a": of(4800), "c": of(100)}, metadata.MD{"b": of(4500)}, "no", "b c " + kit, false,
		},
		"a part of the trailer, and with it the header": {
			metadata.MD{"c": of(10)}, metadata.MD{"a": of(60), "b": of(7900)}, "no", "a " + kit, false,
		},
		"a name in both":          {metadata.MD{"a": of(10)}, metadata.MD{"a": of(20)}, "no", "a " + kit, false},
		"all but the status":      {nil, nil, strings.Repeat("m", 9216-102-58-88), "idempotency-status", false},
		"a header block is spent": {metadata.MD{"a": of(10)}, nil, strings.Repeat("m", 9216-58-88), "idempotency-status", true},
	} {
		e := replayed{
			status: status.New(codes.NotFound, test.message), header: test.header, trailer: test.trailer, executedAt: "2026-01-02T03:04:05Z",
		}
		trailer, split := e.withError()

		if got := names(trailer); got != test.want || split != test.split {
			t.Errorf("%s: the trailer has %s, split %t; want %s, %t", name, got, split, test.want, test.split)
		}

		size := sizeOfStatus(e.status) + sizeOf(trailer)
		if !split {
			size += sizeOfOpening()
		}

		if most := e.limit(); size > most {
			t.Errorf("%s: the block has %d bytes, want at most %d", name, size, most)
		}
	}

	e := replayed{
		status: status.New(codes.NotFound, ""), header: metadata.MD{"a": {"1"}}, trailer: metadata.MD{"a": {"2", "3"}},
	}
	if trailer, _ := e.withError(); !slices.Equal(trailer["a"], []string{"1", "2", "3"}) || len(e.header["a"]) != 1 {
		t.Errorf("the values are %v, want those of the header and then those of the trailer", trailer["a"])
	}
}

func TestF84_BesideAResponseTheMetadataOfTheContractIsLeftOutFirst(t *testing.T) {
	t.Parallel()

	const (
		limit = 8 << 10
		// The sizes of the value x that fill the block of a first answer.
		fullHeader  = limit - 102 - 33
		fullTrailer = limit - 88 - 58 - 33

		flag, executedAt, retention = 55, 75, 55 // sizes
	)

	x := func(size int) metadata.MD { return metadata.MD{"x": {strings.Repeat("v", size)}} }

	for name, test := range map[string]struct {
		header, trailer, retention metadata.MD
		wantHeader, wantTrailer    string // the names, sorted
	}{
		"nothing": {
			nil, nil, nil, "idempotent-replayed", "idempotency-executed-at idempotency-status idempotent-replayed",
		},
		"all of it": {
			x(10), x(10), pair(RetentionTrailer, "60"), "idempotent-replayed x",
			"idempotency-executed-at idempotency-retention idempotency-status idempotent-replayed x",
		},
		"a full header":                {header: x(fullHeader), wantHeader: "x"},
		"a header that is nearly full": {header: x(fullHeader - flag + 1), wantHeader: "x"},
		"a header with room":           {header: x(fullHeader - flag), wantHeader: "idempotent-replayed x"},
		"a header of a larger limit":   {header: x(fullHeader + 1), wantHeader: "idempotent-replayed x"},
		"a header beside a larger trailer": {
			header: x(fullHeader), trailer: x(fullTrailer + 1), wantHeader: "idempotent-replayed x",
		},
		"a full trailer":         {trailer: x(fullTrailer), wantTrailer: "idempotency-status x"},
		"a full trailer of many": {trailer: metadata.MD{"x": slices.Repeat([]string{"v"}, 236)}, wantTrailer: "idempotency-status x"},
		"a trailer without room": {trailer: x(fullTrailer - flag + 1), wantTrailer: "idempotency-status x"},
		"a trailer with room":    {trailer: x(fullTrailer - flag), wantTrailer: "idempotency-status idempotent-replayed x"},
		"a trailer with more room": {
			trailer: x(fullTrailer - flag - executedAt), wantTrailer: "idempotency-executed-at idempotency-status idempotent-replayed x",
		},
		"a full trailer with its retention": {
			trailer: x(fullTrailer - retention), retention: pair(RetentionTrailer, "60"), wantTrailer: "idempotency-status idempotent-replayed x",
		},
		"a trailer without room for its retention": {
			trailer: x(fullTrailer - flag - executedAt - retention + 1), retention: pair(RetentionTrailer, "60"),
			wantTrailer: "idempotency-executed-at idempotency-status idempotent-replayed x",
		},
	} {
		r := replayed{header: test.header, trailer: test.trailer, retention: test.retention, executedAt: "2026-01-02T03:04:05Z"}
		header, trailer := r.withResponse()

		if got := names(header); test.wantHeader != "" && got != test.wantHeader {
			t.Errorf("%s: the header has %s, want %s", name, got, test.wantHeader)
		}

		if got := names(trailer); test.wantTrailer != "" && got != test.wantTrailer {
			t.Errorf("%s: the trailer has %s, want %s", name, got, test.wantTrailer)
		}

		most := r.limit()
		if size := sizeOfOpening() + sizeOf(header); size > most {
			t.Errorf("%s: the header block has %d bytes, want at most %d", name, size, most)
		}

		if size := sizeOfStatus(nil) + sizeOf(trailer); size > most {
			t.Errorf("%s: the trailer block has %d bytes, want at most %d", name, size, most)
		}
	}
}

func names(md metadata.MD) string { return strings.Join(slices.Sorted(maps.Keys(md)), " ") }

func TestSizesAreThoseOfTheWire(t *testing.T) {
	t.Parallel()

	for message, want := range map[string]int{"": 0, "plain text": 10, "100%": 6, "é": 6, "\n": 3, "~ ": 2} {
		if got := encodedLen(message); got != want {
			t.Errorf("%q takes %d bytes, want %d", message, got, want)
		}
	}

	for value, want := range map[string]int{"": 0, "a": 2, "ab": 3, "abc": 4, "abcd": 6} {
		if got := sizeOfField("x-bin", value) - sizeOfField("x-bin", ""); got != want {
			t.Errorf("%q takes %d bytes, want %d", value, got, want)
		}
	}
}
