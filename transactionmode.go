package onlyonce

import "fmt"

// TransactionMode is how a run under ExactlyOnce shares a database transaction with its record. Other guarantees do not use it.
type TransactionMode uint8

// The transaction modes. Zero is taken from the wider policy.
const (
	// SingleTransaction gives the handler the transaction in which the key is claimed and the outcome recorded: see sqlstore.Tx. It is the
	// default, for handlers that only write to this database. A crash leaves nothing behind, so the retry runs at once. There is no lease
	// and no fence.
	SingleTransaction TransactionMode = iota + 1
	// JoinedTransaction leases the key, as other guarantees do. The handler opens a transaction by itself and writes the completion in it:
	// see sqlstore.InTx and sqlstore.Join. It is for handlers that also call other services, or run for long: they hold no transaction
	// meanwhile.
	JoinedTransaction
)

// String returns the name of the mode.
func (t TransactionMode) String() string {
	switch t {
	case SingleTransaction:
		return "single transaction"
	case JoinedTransaction:
		return "joined transaction"
	default:
		return fmt.Sprintf("TransactionMode(%d)", uint8(t))
	}
}
