package redisstore

import (
	"testing"
	"time"
)

func TestABatchHasABoundOfOperationsAndOfBytes(t *testing.T) {
	t.Parallel()

	of := func(n, size int) []*request {
		all := make([]*request, n)
		for i := range all {
			all[i] = &request{size: size}
		}

		return all
	}

	for _, tt := range []struct {
		name  string
		queue []*request
		want  int
	}{
		{"few small operations", of(5, 200), 5},
		{"many small operations", of(1000, 200), maxBatch},
		{"operations of 10 KiB", of(1000, 10<<10), 25},
		{"one operation that is too large by itself", of(3, 1<<20), 1},
		{"nothing", nil, 0},
	} {
		if got := fit(tt.queue); got != tt.want {
			t.Errorf("%s: %d go together, want %d", tt.name, got, tt.want)
		}
	}
}

func TestAnotherBatchIsSentOnlyWhereItPays(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name             string
		flights, waiting int
		slow             bool
		age              time.Duration
		want             bool
	}{
		{"nobody waits", 0, 0, true, time.Hour, false},
		{"nothing is under way", 0, 1, false, 0, true},
		{"one batch is under way on a fast network", 1, 200, false, time.Millisecond, false},
		{"one batch is under way on a slow network, and few wait", 1, worthAnother - 1, true, time.Millisecond, false},
		{"one batch is under way on a slow network, and enough wait", 1, worthAnother, true, 0, true},
		{"two batches are under way on a slow network", 2, 200, true, time.Millisecond, true},
		{"the last batch has stalled", 1, 1, false, stalled, true},
		{"the last of two batches has stalled", 2, 1, false, stalled, true},
		{"as many batches as may be have stalled", maxFlights, 200, true, time.Hour, false},
	} {
		if got := another(tt.flights, tt.waiting, tt.slow, tt.age); got != tt.want {
			t.Errorf("%s: another batch is sent: %v", tt.name, got)
		}
	}
}

func TestANetworkIsSlowIfARoundTripIsLongerThanItsOperationsNeed(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		took       time.Duration
		operations int
		want       bool
	}{
		{200 * time.Microsecond, 1, false},
		{900 * time.Microsecond, 1, false},
		{time.Millisecond, 10, true},
		{time.Millisecond, 11, false},
		{5 * time.Millisecond, 50, true},
		{5 * time.Millisecond, 256, false},
	} {
		if got := isSlow(tt.took, tt.operations); got != tt.want {
			t.Errorf("%v for %d operations is slow: %v", tt.took, tt.operations, got)
		}
	}
}

func TestALargeOperationAndWhatMayHaveALargeAnswerGoAlone(t *testing.T) {
	t.Parallel()

	small, big := &request{size: 200}, &request{size: large}
	reading := &request{size: 200, reads: true}

	for _, tt := range []struct {
		name           string
		r              *request
		empty, patient bool
		after          bool
		want           way
	}{
		{"an operation on an empty lane", small, true, false, false, first},
		{"an operation on an empty lane of a patient client", small, true, true, false, inBatch},
		{"an operation while a batch is under way", small, false, false, false, inBatch},
		{"a large operation", big, false, false, false, byItself},
		{"a large operation on an empty lane", big, true, false, false, byItself},
		{"a claim after a large answer", reading, false, false, true, byItself},
		{"a claim on an empty lane after a large answer", reading, true, false, true, byItself},
		{"a completion after a large answer", small, false, false, true, inBatch},
		{"a claim", reading, false, false, false, inBatch},
	} {
		if got := wayOf(tt.r, tt.empty, tt.patient, tt.after); got != tt.want {
			t.Errorf("%s goes %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestManySmallAnswersMakeUpForALargeOne(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ before, size, want int }{
		{0, 300, 0}, {0, large - 1, 0}, {0, large, answersAfterLarge}, {7, 1 << 20, answersAfterLarge}, {7, 300, 6}, {1, 0, 0},
	} {
		if got := remaining(tt.before, tt.size); got != tt.want {
			t.Errorf("after an answer of %d bytes, %d more small ones have to come instead of %d, want %d", tt.size, got, tt.before, tt.want)
		}
	}
}
