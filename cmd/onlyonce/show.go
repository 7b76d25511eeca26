package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// recordFlags name a record in place of its ID.
type recordFlags struct {
	id onlyonce.Identity
}

func (f *recordFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.id.Key, "key", "", "key of the caller, in place of an ID; needs --method")
	flags.StringVar(&f.id.Method, "method", "", "method of the call, such as /bank.Payments/Pay")
	flags.StringVar(&f.id.Scope, "scope", "", "scope of the caller, if the server has scopes")
}

// lookup reads the record that an argument or the flags name.
func (f *recordFlags) lookup(ctx context.Context, engine *onlyonce.Engine, args []string) (onlyonce.Record, error) {
	switch {
	case len(args) == 1 && f.id.Key != "":
		return onlyonce.Record{}, usagef("give an ID or --key, not both")
	case len(args) == 1:
		return find(ctx, engine, args[0])
	case f.id.Key == "":
		return onlyonce.Record{}, usagef("no record: give its ID, or --key and --method")
	case f.id.Method == "":
		return onlyonce.Record{}, usagef("a key belongs to a method: give --method as well")
	default:
		return engine.Lookup(ctx, f.id)
	}
}

func (a *app) showCommand() *cobra.Command {
	var (
		record  recordFlags
		types   typeFlags
		payload bool
		showKey bool
	)

	cmd := &cobra.Command{
		Use:   "show [ID]",
		Short: "Show a record",
		Long: `Show shows what is known about a call. The beginning of an ID is enough for a
record that is not settled.

It prints the key of the caller only with --show-key, and the stored request
and answer only with --payload: as JSON if --descriptors or --reflect gives the
types of the messages, and as text or bytes otherwise.`,
		Example: `  onlyonce show 3f2a9c04d1be
  onlyonce show --key order-17 --method /payments.v1.PaymentService/Pay
  onlyonce show 3f2a9c04d1be --payload --descriptors payments.binpb
  onlyonce show 3f2a9c04d1be --payload --reflect localhost:8443`,
		Args: cobra.MaximumNArgs(1),
	}
	record.add(cmd)
	cmd.Flags().BoolVar(&showKey, "show-key", false, "print the key of the caller")
	cmd.Flags().BoolVar(&payload, "payload", false, "print the stored request and answer")
	types.add(cmd)

	cmd.RunE = does(func(ctx context.Context, args []string) error {
		engine, done, err := a.engine() //nolint:contextcheck // opening takes none: it is bounded by --timeout
		if err != nil {
			return err
		}
		defer done()

		rec, err := record.lookup(ctx, engine, args)
		if err != nil && !isAboutOne(err) {
			return err
		}

		if rec.State == store.Absent && err == nil {
			return fmt.Errorf("there is no record %v", rec.ID)
		}

		if problem := a.show(ctx, &rec, showKey, payload, &types); problem != nil {
			return problem
		}

		return err
	})

	return cmd
}

func (a *app) show(ctx context.Context, rec *onlyonce.Record, showKey, payloads bool, flags *typeFlags) error {
	var request, answer *payload

	if payloads {
		types, err := flags.load(ctx, rec.Method)
		if err != nil {
			return err
		}

		if request, err = requestOf(rec, types); err != nil {
			return err
		}

		if answer, err = answerOf(rec, types); err != nil {
			return err
		}
	}

	if a.json {
		v := view(rec, showKey)
		v.Request, v.Answer = request, answer

		return a.printJSON(v)
	}

	a.describe(rec, showKey)

	if !payloads {
		if text := kept(rec); text != "" {
			a.printf("\n%s", text)
		}

		return nil
	}

	a.printPayload("Request", request)
	a.printPayload("Answer", answer)

	return nil
}

// indented is a text of JSON with one field on each line. The writer of messages as JSON varies its spaces on purpose.
func indented(text []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return string(text)
	}

	return b.String()
}
