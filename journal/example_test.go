package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/onlyonce-go/onlyonce/journal"
)

// A process dies while a call is on its way. The next process sends the call again, with the same key.
func Example() {
	ctx := context.Background()

	folder, err := os.MkdirTemp("", "journal")
	if err != nil {
		fmt.Println(err)

		return
	}
	defer os.RemoveAll(folder)

	path := filepath.Join(folder, "payments.journal")
	call := journal.Entry{
		Method: "/payments.v1.PaymentService/Pay", Key: "order-1", Target: "dns:///payments.test", Request: []byte("10 EUR"),
	}

	calls, err := journal.Open(path)
	if err != nil {
		fmt.Println(err)

		return
	}

	// interceptor.WithJournal does this. The process dies before the answer, so nothing ends the call.
	if _, err := calls.Begin(ctx, call); err != nil {
		fmt.Println(err)
	}

	calls.Close()

	if calls, err = journal.Open(path); err != nil {
		fmt.Println(err)

		return
	}
	defer calls.Close()

	fmt.Println("left:", calls.Left())

	// interceptor.Resume sends calls over gRPC.
	send := journal.SenderFunc(func(_ context.Context, entry journal.Entry) (any, error) {
		fmt.Printf("sending %s with the key %s\n", entry.Request, entry.Key)

		return "paid", nil
	})

	summary, err := calls.Resume(ctx, call.Target, send, journal.OnAnswer("", func(_ context.Context, answer journal.Answer) error {
		fmt.Println("answer:", answer.Response)

		return nil
	}))

	fmt.Println("answered:", summary.Answered, "left:", summary.Left, err)
	// Output:
	// left: 1
	// sending 10 EUR with the key order-1
	// answer: paid
	// answered: 1 left: 0 <nil>
}
