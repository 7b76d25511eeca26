package onlyonce_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// receiptStore numbers the leases that it gives, and notes the receipts that come back.
type receiptStore struct {
	*faultStore

	mu      sync.Mutex
	last    int
	back    []any
	renewed []any
}

func (s *receiptStore) give(res store.Result, err error) (store.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if res.Applied {
		s.last++
		res.Receipt = s.last
	}

	return res, err
}

func (s *receiptStore) take(receipt any) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.back = append(s.back, receipt)
}

func (s *receiptStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	return s.give(s.faultStore.Claim(ctx, op))
}

func (s *receiptStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	s.mu.Lock()
	s.renewed = append(s.renewed, op.Receipt)
	s.mu.Unlock()

	return s.give(s.faultStore.Renew(ctx, op))
}

func (s *receiptStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	s.take(op.Receipt)

	return s.faultStore.Complete(ctx, op)
}

func (s *receiptStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	s.take(op.Receipt)

	return s.faultStore.Release(ctx, op)
}

func (s *receiptStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	s.take(op.Receipt)

	return s.faultStore.Hold(ctx, op)
}

func TestRunEndsWithTheReceiptOfItsLastLease(t *testing.T) {
	t.Parallel()

	failed := errors.New("it failed")

	for name, tt := range map[string]struct {
		guarantee onlyonce.Guarantee
		lasts     time.Duration
		err       error
		want      int
	}{
		"completion after the claim":     {onlyonce.AtMostOnce, 0, nil, 1},
		"completion after two renewals":  {onlyonce.AtMostOnce, 11 * time.Second, nil, 3},
		"hold after a renewal":           {onlyonce.AtMostOnce, 6 * time.Second, failed, 2},
		"release after the claim":        {onlyonce.AtLeastOnce, 0, failed, 1},
		"release after three renewals":   {onlyonce.AtLeastOnce, 16 * time.Second, failed, 4},
		"completion under AtLeastOnce":   {onlyonce.AtLeastOnce, 6 * time.Second, nil, 2},
		"not executed after the renewal": {onlyonce.AtMostOnce, 6 * time.Second, onlyonce.NotExecuted(failed), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &receiptStore{faultStore: newFaultStore()}
				e := newEngine(t, s, withGuarantee(tt.guarantee))

				_, _ = e.Do(t.Context(), pay("k"), func(context.Context) ([]byte, error) {
					time.Sleep(tt.lasts)

					return nil, tt.err
				})

				for i, receipt := range s.renewed {
					if receipt != any(i+1) {
						t.Errorf("renewal %d came with the receipt %v, want that of the lease before", i+1, receipt)
					}
				}

				if len(s.back) != 1 || s.back[0] != any(tt.want) {
					t.Errorf("the run ended with the receipts %v, want that of lease %d", s.back, tt.want)
				}
			})
		})
	}
}

// A renewal that fails returns no receipt, and the receipt of the lease before stays.
func TestFailedRenewalLeavesTheReceipt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &receiptStore{faultStore: newFaultStore()}
		e := newEngine(t, s)
		s.broken(lostReply, opRenew)

		var p payments

		do(t, e, pay("k"), p.lasting(6*time.Second)).mustBe(t, onlyonce.StatusExecuted, "#1")

		if len(s.back) != 1 || s.back[0] != any(1) {
			t.Errorf("the run ended with the receipts %v, want that of its claim", s.back)
		}
	})
}
