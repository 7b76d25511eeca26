package interceptortest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Subject is the method that Faults examines. NewServer, Method, Request and Response are required.
type Subject struct {
	// NewServer makes a server with all its interceptors and services, which does not serve yet. It is called at least once for each fault.
	//   - The engine of the server must use around.Store.
	//   - around.First must be in front of all interceptors. around.Last must be behind all of them, also behind protect.Unary.
	NewServer func(around Around) (*grpc.Server, error)
	// NewStore makes an empty store. Nil is memstore.New. The store must live in memory: connections do not work in fake time. So Faults
	// cannot examine handlers that need a transaction of a database, such as that of sqlstore.Tx.
	NewStore func() store.Store
	// Method is the full name of a unary method. Request is a request that its handler accepts. Response is an empty response. If Request
	// has a key in its field, each fault replaces it with a key of its own.
	Method            string
	Request, Response proto.Message
	// Caller is the caller of the method. Its Dial options come before those of the client interceptor.
	Caller Caller
	// Effects counts the effects of the handler so far, such as payments in a fake bank. Nil counts every run of the handler as an effect,
	// which is too many if a transaction is rolled back.
	Effects func() int
	// Codes are the error codes that the handler must return, each in a row of its own. Nil is all error codes.
	Codes []codes.Code
}

// Around has the store and the interceptors through which Faults injects faults into a server.
type Around struct {
	Store       store.Store
	First, Last grpc.UnaryServerInterceptor
}

// FaultRow is the behaviour of a method under one fault.
type FaultRow struct {
	// Fault names the fault.
	Fault string
	// First is the answer to the first call. Duplicate is the answer to another call with the same key.
	First, Duplicate FaultAnswer
	// Ran is how often the handler ran. Effects is how often it had its effect.
	Ran, Effects int
	// Risk is the risk for the money of the call.
	Risk Risk
}

// FaultAnswer is an answer as the client interceptor returns it.
type FaultAnswer struct {
	// Code is the code of the answer. It is CANCELED if the caller has gone, and UNAVAILABLE if the answer was lost on its way.
	Code codes.Code
	// Status is the trailer idempotency-status. It is empty if there was none.
	Status onlyonce.Status
	// Reason is the reason of a rejection. It is empty for any other answer.
	Reason onlyonce.Reason
	// Verdict is the meaning of the answer for the key: see onlyonce.VerdictOf.
	Verdict onlyonce.Verdict
}

// String returns the code, followed by the reason or the status.
func (a FaultAnswer) String() string {
	code := strings.ToUpper(snake(a.Code.String()))

	switch {
	case a.Reason != "":
		return code + " " + strings.TrimPrefix(string(a.Reason), "IDEMPOTENCY_")
	case a.Status != "":
		return code + " " + string(a.Status)
	default:
		return code
	}
}

// Risk is the risk for the money of a call, if its caller obeys the verdicts.
type Risk string

// The risks.
const (
	// RiskNone means that the last answer is true and final, or that the caller may try again safely.
	RiskNone Risk = "none"
	// RiskOpen means that the outcome is unknown until the record is settled. No money is lost, and none moves twice.
	RiskOpen Risk = "open until it is settled"
	// RiskDoubled means that the effect has happened more than once.
	RiskDoubled Risk = "MONEY MOVED TWICE"
	// RiskDenied means that the effect has happened, and a final answer denies it.
	RiskDenied Risk = "MONEY MOVED, CALLER TOLD NO"
	// RiskInvented means that an answer is OK, and no effect has happened.
	RiskInvented Risk = "NO MONEY MOVED, CALLER TOLD YES"
)

// Lost reports whether money was lost: it moved twice, or the answers to the caller are false.
func (r Risk) Lost() bool { return r == RiskDoubled || r == RiskDenied || r == RiskInvented }

// FaultTable is the result of [Faults]. Its String method returns a table for people.
type FaultTable []FaultRow

// Faults calls a method under faults, and returns a row for each fault:
//   - no fault: a duplicate comes after the answer,
//   - a duplicate comes while the handler runs,
//   - the reply is lost on its way,
//   - the caller goes while the handler runs,
//   - the server dies while the handler runs, and the duplicate reaches another server,
//   - the store is down before the handler runs, and the duplicate comes when the store is back,
//   - the store is down when the handler has ended, and the duplicate comes when the store is back,
//   - the handler panics after its effect,
//   - the handler returns an error of each code: instead of the effect if the code is definite by default, otherwise after it.
//
// Everything runs in fake time, in a bubble of package testing/synctest. Each fault has its own server and store.
//   - Do not call Faults in a bubble.
//   - NewServer must not start goroutines that outlive the server.
//   - If NewServer fails, or the call without a fault does not return OK, the test ends with t.Fatalf.
func Faults(t *testing.T, subject Subject) FaultTable {
	t.Helper()

	if subject.NewStore == nil {
		subject.NewStore = func() store.Store { return memstore.New() }
	}

	if subject.Codes == nil {
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			subject.Codes = append(subject.Codes, code)
		}
	}

	var table FaultTable

	for _, f := range allFaults(subject.Codes) {
		synctest.Test(t, func(t *testing.T) {
			table = append(table, f.examine(t, &subject))
		})

		if usual := &table[0]; usual.First.Code != codes.OK {
			t.Fatalf("interceptortest: without a fault the call got %v, so its faults show nothing: "+
				"pass a Request and a Caller that the server accepts; the log of the engine may have the reason", usual.First)
		}
	}

	return table
}

// Lost returns the rows in which money was lost: see [Risk.Lost].
func (f FaultTable) Lost() FaultTable {
	var lost FaultTable

	for i := range f {
		if f[i].Risk.Lost() {
			lost = append(lost, f[i])
		}
	}

	return lost
}

// String returns the rows as a table for people.
func (f FaultTable) String() string {
	var text strings.Builder

	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FAULT\tFIRST ANSWER\tFOR ITS CALLER\tDUPLICATE GETS\tRAN\tEFFECTS\tRISK")

	for i := range f {
		row := &f[i]
		fmt.Fprintf(table, "%s\t%v\t%v\t%v\t%d\t%d\t%s\n",
			row.Fault, row.First, row.First.Verdict, row.Duplicate, row.Ran, row.Effects, row.Risk)
	}

	_ = table.Flush() // a Builder returns no error

	return text.String()
}

// riskOf returns the risk of a call. First and last are the answers to the call and to its duplicate. A caller who got a final answer makes
// no duplicate, but another duplicate may have been on its way.
func riskOf(effects int, first, last FaultAnswer) Risk {
	switch {
	case effects > 1:
		return RiskDoubled
	case effects == 0 && (first.Code == codes.OK || last.Code == codes.OK):
		return RiskInvented
	case effects > 0 && (first.denies() || last.denies()):
		return RiskDenied
	case last.Code != codes.OK && last.Verdict == onlyonce.VerdictUnknown:
		return RiskOpen
	default:
		return RiskNone
	}
}

// denies reports that the answer finally denies the effect.
func (a FaultAnswer) denies() bool {
	return a.Code != codes.OK && a.Verdict == onlyonce.VerdictFinal
}

// snake separates the words of a name such as InvalidArgument by underscores.
func snake(name string) string {
	var out strings.Builder

	for i, c := range name {
		if i > 0 && c >= 'A' && c <= 'Z' && name[i-1] >= 'a' {
			out.WriteByte('_')
		}

		out.WriteRune(c)
	}

	return out.String()
}
