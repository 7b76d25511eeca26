package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
)

// decisionFlags give the operator and the reason.
type decisionFlags struct {
	who    string
	reason string
	yes    bool
}

func (f *decisionFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.reason, "reason", "", "why you are sure; required")
	flags.StringVar(&f.who, "by", "", "your name (default: your user name)")
	flags.BoolVar(&f.yes, "yes", false, "do not ask for confirmation; required without a terminal")
}

// decision returns a decision with a name and a reason.
func (f *decisionFlags) decision(verdict operate.Verdict) (operate.Decision, error) {
	if strings.TrimSpace(f.reason) == "" {
		return operate.Decision{}, usagef("no reason: give --reason")
	}

	who := f.who
	if who == "" {
		if u, err := user.Current(); err == nil {
			who = u.Username
		}
	}

	if strings.TrimSpace(who) == "" {
		return operate.Decision{}, usagef("no name: give --by")
	}

	return operate.Decision{Verdict: verdict, Who: who, Reason: f.reason}, nil
}

// answerFlags give the answer for callers.
type answerFlags struct {
	happened bool
	didNot   bool
	response string
	raw      string
	code     string
	message  string
	types    typeFlags
}

func (f *answerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.happened, "happened", false, "the effect has happened; needs --response, --raw or --error")
	flags.StringVar(&f.response, "response", "", "answer: a response in JSON, or @FILE; needs --descriptors or --reflect")
	flags.StringVar(&f.raw, "raw", "", "answer: @FILE with the response in bytes; see above")
	flags.StringVar(&f.code, "error", "", "answer: an error with this code, such as NOT_FOUND")
	flags.StringVar(&f.message, "message", "", "message for --error")
	flags.BoolVar(&f.didNot, "did-not-happen", false, "the effect has not happened, and can no longer happen")
	f.types.add(cmd)

	cmd.MarkFlagsOneRequired("happened", "did-not-happen")
	cmd.MarkFlagsMutuallyExclusive("happened", "did-not-happen")
	cmd.MarkFlagsMutuallyExclusive("response", "raw", "error")

	_ = cmd.RegisterFlagCompletionFunc("error", cobra.FixedCompletions(codeNames(), cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

// codeNames returns the gRPC error codes.
func codeNames() []cobra.Completion {
	return []cobra.Completion{
		"CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	}
}

// check refuses flags that do not go together.
func (f *answerFlags) check() error {
	given := f.response != "" || f.raw != "" || f.code != ""

	switch {
	case f.happened && !given:
		return usagef("--happened without an answer for callers: give --response, --raw or --error")
	case f.didNot && (given || f.message != ""):
		return usagef("--did-not-happen with an answer: omit --response, --raw, --error and --message, because the next call runs")
	case f.message != "" && f.code == "":
		return usagef("--message without --error: give both")
	case f.response != "" && f.types.descriptors == "" && f.types.reflect == "":
		return usagef("--response without message types: give --descriptors or --reflect, or the encoded message with --raw")
	case f.raw != "" && !strings.HasPrefix(f.raw, "@"):
		return usagef("--raw %q: write @FILE, or @- for standard input", f.raw)
	default:
		return nil
	}
}

// finding returns the finding for a record of a method.
func (f *answerFlags) finding(ctx context.Context, a *app, method string) (onlyonce.Finding, error) {
	if f.didNot {
		return onlyonce.DidNotHappen(), nil
	}

	switch {
	case isGRPC(method):
	case isHTTP(method):
		return f.httpFinding(a)
	default:
		return f.plainFinding(a)
	}

	if f.code != "" {
		code, ok := interceptor.CodeNamed(strings.ToUpper(f.code))
		if !ok || code == 0 {
			return onlyonce.Finding{}, usagef("--error: unknown code %q: use one of %s", f.code, oneOf(codeNames()))
		}

		return interceptor.FindingOf(nil, status.Error(code, f.message))
	}

	types, err := f.types.load(ctx, method)
	if err != nil {
		return onlyonce.Finding{}, err
	}

	var msg proto.Message

	if f.response != "" {
		text, err := a.text(f.response)
		if err != nil {
			return onlyonce.Finding{}, err
		}

		msg, err = types.parse(method, text)
		if err != nil {
			return onlyonce.Finding{}, err
		}

		return interceptor.FindingOf(msg, nil)
	}

	data, err := a.text(f.raw)
	if err != nil {
		return onlyonce.Finding{}, err
	}

	if _, err := types.response(method, data); err != nil {
		return onlyonce.Finding{}, err
	}

	// The empty message keeps the bytes as unknown fields.
	msg = new(emptypb.Empty)
	if err := proto.Unmarshal(data, msg); err != nil {
		return onlyonce.Finding{}, fmt.Errorf("--raw: the bytes are not an encoded message: %w", err)
	}

	return interceptor.FindingOf(msg, nil)
}

// plainFinding returns the finding for a record of Engine.Do, or of a message.
func (f *answerFlags) plainFinding(a *app) (onlyonce.Finding, error) {
	switch {
	case f.response != "":
		return onlyonce.Finding{}, usagef("not a gRPC method, so there are no message types: give the answer in --raw, " +
			"or --error ERROR and --message")
	case f.code == "":
		data, err := a.text(f.raw)

		return onlyonce.Happened("OK", data), err
	case f.code != "ERROR":
		return onlyonce.Finding{}, usagef("not a gRPC method, so the only error code is ERROR: give --error ERROR and --message")
	default:
		return onlyonce.Happened("ERROR", []byte(f.message)), nil
	}
}

// mostInput bounds the size of an input file, in bytes.
const mostInput = mostOutcome

// text returns the text of a flag. For @FILE it returns the content of the file.
func (a *app) text(value string) ([]byte, error) {
	path, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		return []byte(value), nil
	}

	from := a.in

	if path != "-" {
		file, err := os.Open(path) //nolint:gosec // whoever runs the command names the file
		if err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		defer file.Close() //nolint:errcheck // it was only read

		from = file
	}

	data, err := io.ReadAll(io.LimitReader(from, mostInput+1))
	if err == nil && len(data) > mostInput {
		err = fmt.Errorf("it has more than %d bytes", mostInput)
	}

	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}

	return data, nil
}

func (a *app) resolveCommand() *cobra.Command {
	var (
		record   recordFlags
		answer   answerFlags
		decision decisionFlags
	)

	cmd := &cobra.Command{
		Use:   "resolve {ID | --key KEY --method METHOD} --reason TEXT",
		Short: "Settle a record with an unknown outcome",
		Long: `Resolve settles a record with an unknown outcome. First find out whether the
effect has happened, for example at the bank. Then choose:

  --happened         Later calls with the key get the answer that you give. The
                     handler does not run again.
  --did-not-happen   The next call with the key runs. Refused while the server
                     of the run may be alive, because the effect may still
                     happen. Show prints until when.

The answer depends on the call:

  gRPC, Connect      --response in JSON, --raw with the encoded message, or
                     --error CODE and --message
  HTTP               --raw with status line, headers and body, as curl -i
                     prints them
  Engine.Do          --raw with the bytes that the function returns, or
                     --error ERROR and --message
  message of a queue --raw @/dev/null if it was handled, or --error ERROR and
                     --message

Resolve shows the change and asks for confirmation. It changes nothing if the
record has changed since it was shown. The record keeps your name and reason.`,
		Example: `  onlyonce resolve 3f2a9c04d1be --happened --response @answer.json \
    --descriptors payments.binpb --reason "the bank shows payment 17"
  onlyonce resolve 3f2a9c04d1be --happened --error FAILED_PRECONDITION \
    --message "the account is closed" --reason "the bank refused payment 17"
  onlyonce resolve 3f2a9c04d1be --did-not-happen --reason "no such payment"`,
		Args: cobra.MaximumNArgs(1),
	}
	answer.add(cmd)
	decision.add(cmd)
	record.add(cmd)

	cmd.RunE = does(func(ctx context.Context, args []string) error {
		if err := answer.check(); err != nil {
			return err
		}

		verdict := operate.DidNotHappen
		if answer.happened {
			verdict = operate.Happened
		}

		decided, err := decision.decision(verdict)
		if err != nil {
			return err
		}

		return a.settle(ctx, &record, args, decision.yes, func(rec *onlyonce.Record) (operate.Decision, error) {
			if verdict == operate.DidNotHappen {
				return decided, nil
			}

			found, err := answer.finding(ctx, a, rec.Method)
			if err != nil {
				return decided, err
			}

			return operate.Answer(found, decided.Who, decided.Reason), nil
		})
	})

	return cmd
}

func (a *app) forgetCommand() *cobra.Command {
	var (
		record   recordFlags
		decision decisionFlags
		force    bool
	)

	cmd := &cobra.Command{
		Use:   "forget {ID | --key KEY --method METHOD} --reason TEXT",
		Short: "Remove a record",
		Long: `Forget removes a record, for example to erase personal data or to withdraw a
recorded error. The next call with the key runs, even if an earlier call had an
effect. Name the record as for show: a settled record needs all 64 digits of
its ID, or its key.

Forget shows the record and asks for confirmation. It removes nothing if the
record has changed since it was shown. Without --force it refuses a record
whose server may be alive, and a record that cannot be read. Your name and
reason are printed and not kept, because the record is gone.`,
		Example: `  onlyonce forget --key order-17 --method /payments.v1.PaymentService/Pay \
    --reason "the recorded error was a mistake"
  onlyonce forget 3f2a9c04d1be --force --reason "request 17 to erase data"`,
		Args: cobra.MaximumNArgs(1),
	}
	decision.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "also remove a record whose server may be alive, or that cannot be read")
	record.add(cmd)

	cmd.RunE = does(func(ctx context.Context, args []string) error {
		verdict := operate.Forget
		if force {
			verdict = operate.ForceForget
		}

		decided, err := decision.decision(verdict)
		if err != nil {
			return err
		}

		return a.settle(ctx, &record, args, decision.yes, func(*onlyonce.Record) (operate.Decision, error) { return decided, nil })
	})

	return cmd
}

// settlementView is the JSON form of a settlement.
type settlementView struct {
	ID        string  `json:"id"`
	Verdict   string  `json:"verdict"`
	From      string  `json:"from"`
	To        string  `json:"to"`
	Code      string  `json:"code,omitempty"`
	By        string  `json:"by"`
	Reason    string  `json:"reason"`
	RunsAgain bool    `json:"runs_again"`
	Retention float64 `json:"retention_seconds"`
}

// settle shows the effects of a decision, asks for confirmation, and carries it out.
func (a *app) settle(ctx context.Context, record *recordFlags, args []string, yes bool,
	decide func(*onlyonce.Record) (operate.Decision, error),
) error {
	if !yes && !a.asks {
		return usagef("no terminal for the confirmation: give --yes to go on without it")
	}

	engine, done, err := a.engine() //nolint:contextcheck // opening takes none: it is bounded by --timeout
	if err != nil {
		return err
	}
	defer done()

	rec, unread := record.lookup(ctx, engine, args)
	if unread != nil && !isAboutOne(unread) {
		return unread
	}

	if unread == nil && rec.State == store.Absent {
		return errNoRecord(rec.ID)
	}

	decision, err := decide(&rec)
	if err != nil {
		return err
	}

	if unread != nil && decision.Verdict != operate.ForceForget {
		return unread
	}

	plan := operate.Plan(rec, decision)
	if plan.Refused != nil {
		return plan.Refused
	}

	if !yes {
		a.printPlan(&plan)

		if !a.confirmed(ctx) {
			return errors.New("not confirmed: nothing was changed")
		}
	}

	if err := operate.Settle(ctx, engine, plan); err != nil {
		return err
	}

	if a.json {
		return a.printJSON(settlementView{
			ID: rec.ID.String(), Verdict: string(decision.Verdict), From: string(plan.From), To: string(plan.To), Code: decision.Code,
			By: decision.Who, Reason: decision.Reason, RunsAgain: plan.RunsAgain, Retention: plan.Retention.Seconds(),
		})
	}

	to := string(plan.To)
	if plan.To == operate.StateAbsent {
		to = "removed"
	}

	a.printf("Record %s is %s, by %s: %s", rec.ID.String()[:shortID], to, escaped(decision.Who), escaped(decision.Reason))

	if plan.To != operate.StateAbsent { // settled records are not listed, so a prefix of the ID does not find them
		a.printf("See it with: onlyonce show \\\n  %s", rec.ID)
	}

	return nil
}

// printPlan prints a planned settlement on stderr, as the question is there, too.
func (a *app) printPlan(plan *operate.Settlement) {
	onErrors := *a
	onErrors.out, onErrors.color = a.err, a.color && a.live

	onErrors.describe(&plan.Record, false)
	onErrors.printf("")
	onErrors.fields([2]string{"Store", escaped(a.at)}, [2]string{"Decision", decisionText(plan)},
		[2]string{"By", escaped(plan.Decision.Who)}, [2]string{"Reason", escaped(plan.Decision.Reason)})
	onErrors.printf("")

	for _, effect := range plan.Effects {
		for _, line := range wrap("- "+effect, a.width) {
			onErrors.printf("%s", line)
		}
	}

	onErrors.printf("")
}

func decisionText(plan *operate.Settlement) string {
	switch plan.Decision.Verdict {
	case operate.Happened:
		return "the effect has happened; callers get " + escaped(plan.Decision.Code)
	case operate.DidNotHappen:
		return "the effect has not happened, and can no longer happen"
	case operate.Forget, operate.ForceForget:
		return "remove the record"
	default:
		return string(plan.Decision.Verdict)
	}
}

// confirmed asks for confirmation.
func (a *app) confirmed(ctx context.Context) bool {
	fmt.Fprint(a.err, "Go on? [y/N] ")

	answer := make(chan string, 1)

	go func() {
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()

	select {
	case text := <-answer:
		return text == "y" || text == "yes"
	case <-ctx.Done():
		fmt.Fprintln(a.err)

		return false
	}
}
