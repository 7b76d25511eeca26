package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// till is the payment service with payments in a database table. It charges on every request.
type till struct {
	paymentsv1.UnimplementedPaymentServiceServer

	database *database
	// run separates the payments of this demo from others in the table.
	run string
	// plain is a till without onlyonce, which opens its own transactions.
	plain bool
	// written, if not nil, is called when a payment is written and not yet committed.
	written func()
}

// exactlyOnce sets the guarantee of a till: payments commit together with the record of the call, or not at all. The .proto cannot declare
// it, because it does not know the store of a server.
func exactlyOnce() interceptor.ServerOption {
	return interceptor.WithMethodPolicy(paymentsv1.PaymentService_Pay_FullMethodName,
		interceptor.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.SingleTransaction}})
}

// Pay writes the payment.
func (t *till) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	if !t.plain {
		return t.charge(ctx, sqlstore.Tx(ctx), req)
	}

	tx, err := t.database.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // it has been committed if all went well

	resp, err := t.charge(ctx, tx, req)
	if err != nil {
		return nil, err
	}

	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}

	return resp, nil
}

func (t *till) charge(ctx context.Context, tx sqlstore.DBTX, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	resp := &paymentsv1.PayResponse{PaymentId: "pay-" + rand.Text()[:16], OrderId: req.GetOrderId()}

	_, err := tx.ExecContext(ctx, t.database.numbered("INSERT INTO "+paymentsTable+
		" (run, order_id, payment_id, payer, payee, amount_minor, currency, paid_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
		t.run, req.GetOrderId(), resp.GetPaymentId(), req.GetPayer(), req.GetPayee(), req.GetAmountMinor(), req.GetCurrency(),
		time.Now().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("writing the payment: %w", err)
	}

	err = tx.QueryRowContext(ctx, t.database.numbered("SELECT count(*) FROM "+paymentsTable+" WHERE run = ? AND order_id = ?"),
		t.run, req.GetOrderId()).Scan(&resp.ChargeNumber)
	if err != nil {
		return nil, fmt.Errorf("counting the payments: %w", err)
	}

	err = tx.QueryRowContext(ctx, t.database.numbered("SELECT sum(CASE WHEN payer = ? THEN -amount_minor ELSE amount_minor END) FROM "+
		paymentsTable+" WHERE run = ? AND currency = ? AND (payer = ? OR payee = ?)"),
		req.GetPayer(), t.run, req.GetCurrency(), req.GetPayer(), req.GetPayer()).Scan(&resp.BalanceMinor)
	if err != nil {
		return nil, fmt.Errorf("adding up the balance: %w", err)
	}

	if t.written != nil {
		t.written()
	}

	return resp, nil
}

// GetPayment lists the payments of an order.
func (t *till) GetPayment(ctx context.Context, req *paymentsv1.GetPaymentRequest) (*paymentsv1.GetPaymentResponse, error) {
	rows, err := t.database.QueryContext(ctx, t.database.numbered("SELECT payment_id FROM "+paymentsTable+
		" WHERE run = ? AND order_id = ? ORDER BY paid_ms, payment_id"), t.run, req.GetOrderId())
	if err != nil {
		return nil, fmt.Errorf("reading the payments: %w", err)
	}
	defer rows.Close()

	found := &paymentsv1.GetPaymentResponse{}

	for rows.Next() {
		payment := &paymentsv1.PayResponse{OrderId: req.GetOrderId(), ChargeNumber: int64(len(found.GetPayments()) + 1)}
		if err := rows.Scan(&payment.PaymentId); err != nil {
			return nil, fmt.Errorf("reading the payments: %w", err)
		}

		found.Payments = append(found.Payments, payment)
	}

	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the payments: %w", err)
	}

	return found, nil
}

// hold keeps payments uncommitted on request.
type hold struct {
	wanted chan struct{} // closed to hold payments
	once   sync.Once
	say    func() // reports a held payment
}

func (h *hold) here() {
	select {
	case <-h.wanted:
		h.once.Do(h.say)
		select {} // until the process is killed
	default:
	}
}
