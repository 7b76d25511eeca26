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
)

// decisionFlags say who decides, and why.
type decisionFlags struct {
	who    string
	reason string
	yes    bool
}

func (f *decisionFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.reason, "reason", "", "why you know; kept with the record")
	flags.StringVar(&f.who, "by", "", "your name; kept with the record (default the user of the system)")
	flags.BoolVar(&f.yes, "yes", false, "do not ask; needed without a terminal")
}

// decision is a decision with a name and a reason.
func (f *decisionFlags) decision(verdict operate.Verdict) (operate.Decision, error) {
	if strings.TrimSpace(f.reason) == "" {
		return operate.Decision{}, usagef("no reason: say in --reason how you know")
	}

	who := f.who
	if who == "" {
		if u, err := user.Current(); err == nil {
			who = u.Username
		}
	}

	if strings.TrimSpace(who) == "" {
		return operate.Decision{}, usagef("no name: give yours in --by")
	}

	return operate.Decision{Verdict: verdict, Who: who, Reason: f.reason}, nil
}

// answerFlags say what callers get.
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
	flags.BoolVar(&f.happened, "happened", false, "the effect has happened: needs --response, --raw or --error")
	flags.StringVar(&f.response, "response", "", "response as JSON, or @FILE with it; needs --descriptors or --reflect")
	flags.StringVar(&f.raw, "raw", "", "@FILE with the response as bytes: an encoded message for gRPC")
	flags.StringVar(&f.code, "error", "", "code of the error that callers get, such as NOT_FOUND")
	flags.StringVar(&f.message, "message", "", "message of that error")
	flags.BoolVar(&f.didNot, "did-not-happen", false, "the effect has not happened, and cannot happen any more")
	f.types.add(cmd)

	cmd.MarkFlagsOneRequired("happened", "did-not-happen")
	cmd.MarkFlagsMutuallyExclusive("happened", "did-not-happen")
	cmd.MarkFlagsMutuallyExclusive("response", "raw", "error")

	_ = cmd.RegisterFlagCompletionFunc("error", cobra.FixedCompletions(codeNames(), cobra.ShellCompDirectiveNoFileComp)) // it is there
}

// codeNames are the codes of gRPC errors.
func codeNames() []cobra.Completion {
	return []cobra.Completion{
		"CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	}
}

// check refuses flags that do not fit together.
func (f *answerFlags) check() error {
	given := f.response != "" || f.raw != "" || f.code != ""

	switch {
	case f.happened && !given:
		return usagef("callers need an answer: give --response, --raw or --error")
	case f.didNot && (given || f.message != ""):
		return usagef("the next call runs and makes the answer: leave out --response, --raw, --error and --message")
	case f.message != "" && f.code == "":
		return usagef("--message belongs to --error")
	case f.response != "" && f.types.descriptors == "" && f.types.reflect == "":
		return usagef("the type of the response is not known: give --descriptors or --reflect, or the encoded message in --raw")
	case f.raw != "" && !strings.HasPrefix(f.raw, "@"):
		return usagef("--raw is @ and the name of a file, or @- for the input")
	default:
		return nil
	}
}

// finding is the finding that the flags give for a record of a method.
func (f *answerFlags) finding(ctx context.Context, a *app, method string) (onlyonce.Finding, error) {
	if f.didNot {
		return onlyonce.DidNotHappen(), nil
	}

	if !isGRPC(method) {
		return f.plainFinding(a)
	}

	if f.code != "" {
		code, ok := interceptor.CodeNamed(strings.ToUpper(f.code))
		if !ok || code == 0 {
			return onlyonce.Finding{}, usagef("--error: there is no error code %q: give one of %s", f.code, oneOf(codeNames()))
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

	// Its fields are kept as they are, since this message knows none of them.
	msg = new(emptypb.Empty)
	if err := proto.Unmarshal(data, msg); err != nil {
		return onlyonce.Finding{}, fmt.Errorf("--raw: the bytes are no encoded message: %w", err)
	}

	return interceptor.FindingOf(msg, nil)
}

// plainFinding is the finding for a record of Engine.Do.
func (f *answerFlags) plainFinding(a *app) (onlyonce.Finding, error) {
	switch {
	case f.response != "":
		return onlyonce.Finding{}, usagef("the method is none of gRPC: give the answer in --raw, or --error ERROR and --message")
	case f.code == "":
		data, err := a.text(f.raw)

		return onlyonce.Happened("OK", data), err
	case f.code != "ERROR":
		return onlyonce.Finding{}, usagef("the method is none of gRPC, and its errors have one code: give --error ERROR and --message")
	default:
		return onlyonce.Happened("ERROR", []byte(f.message)), nil
	}
}

// mostInput bounds a file of the command line, in bytes.
const mostInput = mostOutcome

// text is a text of the command line, or what is in the file that it names behind an @.
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
		Use:   "resolve [ID]",
		Short: "Settle a record whose outcome is unknown",
		Long: `Resolve settles a record whose outcome is unknown. First find out whether the
effect has happened. Resolve shows what it will do, asks, and writes only if
the record has not changed since it was shown.

--happened gives callers the answer that you name. The handler does not run
again. --did-not-happen lets the next call run. It is refused while the owner
of the run may be alive, because the effect may still come.

Your name and the reason are kept with the record.`,
		Example: `  onlyonce resolve 3f2a9c04d1be --happened --response @answer.json \
    --descriptors payments.binpb --reason "the bank shows payment 17"
  onlyonce resolve 3f2a9c04d1be --happened --error FAILED_PRECONDITION \
    --message "the account is closed" --reason "the bank has refused it"
  onlyonce resolve 3f2a9c04d1be --did-not-happen --reason "not at the bank"`,
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
		Use:   "forget [ID]",
		Short: "Remove a record",
		Long: `Forget removes a record, for example to erase a person's data or to withdraw a
recorded error. The next call with the key runs, even if an earlier call had
its effect.

It shows what it will do, asks, and removes only the record that it has shown.
A record whose owner may be alive is refused, and so is one that cannot be
read, unless --force is set.`,
		Example: `  onlyonce forget 3f2a…64 digits… --reason "request 17 to erase data"
  onlyonce forget --key order-17 --method /payments.v1.PaymentService/Pay \
    --reason "the recorded error was a mistake"`,
		Args: cobra.MaximumNArgs(1),
	}
	decision.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "remove the record even if its owner may be alive")
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

// settlementView is a settlement as JSON.
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

// settle shows what a decision does, asks, and does it.
func (a *app) settle(ctx context.Context, record *recordFlags, args []string, yes bool,
	decide func(*onlyonce.Record) (operate.Decision, error),
) error {
	if !yes && !a.asks {
		return usagef("there is no terminal to ask on: give --yes to settle without a question")
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
			return errors.New("nothing was changed")
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

	a.printf("Record %s is %s, by %s: %s", rec.ID.String()[:shortID], plan.To, escaped(decision.Who), escaped(decision.Reason))

	if plan.To != operate.StateAbsent { // the list has it no more, so only all digits name it
		a.printf("See it with: onlyonce show \\\n  %s", rec.ID)
	}

	return nil
}

// printPlan shows what a settlement does. It goes to the errors, where the question is.
func (a *app) printPlan(plan *operate.Settlement) {
	onErrors := *a
	onErrors.out, onErrors.color = a.err, a.color && a.live

	onErrors.describe(&plan.Record, false)
	onErrors.printf("")
	onErrors.fields([2]string{"Store", escaped(a.at)}, [2]string{"Decision", "it " + decisionText(plan)},
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
		return "happened, and callers get " + escaped(plan.Decision.Code)
	case operate.DidNotHappen:
		return "did not happen, and cannot happen any more"
	case operate.Forget, operate.ForceForget:
		return "is to be forgotten"
	default:
		return string(plan.Decision.Verdict)
	}
}

// confirmed asks whether to go on.
func (a *app) confirmed(ctx context.Context) bool {
	fmt.Fprint(a.err, "Do it? [y/N] ")

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
