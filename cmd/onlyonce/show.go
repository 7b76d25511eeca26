package main

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// recordFlags name a record without its ID.
type recordFlags struct {
	id          onlyonce.Identity
	scopeFields []string
}

func (f *recordFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.id.Key, "key", "", "find the record by its idempotency key instead of its ID; needs --method")
	flags.StringVar(&f.id.Method, "method", "", "method of the call, such as /bank.Payments/Pay; for --key")
	flags.StringVar(&f.id.Scope, "scope", "", "scope of the caller; shared if the server has ScopeShared; for --key")
	flags.StringArrayVar(&f.scopeFields, "scope-field", nil,
		"`value` of a request field that the .proto marks as scope; repeat it in the order of field numbers; for --key")
}

// identity returns the identity that the flags name.
func (f *recordFlags) identity() onlyonce.Identity {
	id := f.id
	id.Scope = interceptor.JoinScope(id.Scope, f.scopeFields...)

	return id
}

// lookup reads the record that the argument or the flags name.
func (f *recordFlags) lookup(ctx context.Context, engine *onlyonce.Engine, args []string) (onlyonce.Record, error) {
	switch {
	case len(args) == 1 && f.id.Key != "":
		return onlyonce.Record{}, usagef("ID and --key: give one of them")
	case len(args) == 1:
		return find(ctx, engine, args[0])
	case f.id.Key == "":
		return onlyonce.Record{}, usagef("no record named: give its ID, or --key and --method")
	case f.id.Method == "":
		return onlyonce.Record{}, usagef("--key without --method: give both, because each method has its own keys")
	default:
		return engine.Lookup(ctx, f.identity())
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
		Use:   "show {ID | --key KEY --method METHOD}",
		Short: "Show a record",
		Long: `Show shows one record: state, times, runs, and who settled it. Name the record
by its ID, or by its key and method. The beginning of an ID, at least 6 digits,
is enough for a record that is not settled. A settled record needs all 64
digits, or its key and method.

Show hides the idempotency key unless --show-key is set, and the stored request
and answer unless --payload is set. It prints messages of gRPC as JSON if
--descriptors or --reflect gives their types, requests and answers of HTTP with
their headers, and anything else as text or bytes.`,
		Example: `  onlyonce show 3f2a9c04d1be
  onlyonce show --key order-17 --method /payments.v1.PaymentService/Pay
  onlyonce show 3f2a9c04d1be --payload --descriptors payments.binpb
  onlyonce show 3f2a9c04d1be --payload --reflect localhost:8443`,
		Args: cobra.MaximumNArgs(1),
	}
	record.add(cmd)
	cmd.Flags().BoolVar(&showKey, "show-key", false, "also print the idempotency key")
	cmd.Flags().BoolVar(&payload, "payload", false, "also print the stored request and answer")
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
			return errNoRecord(rec.ID)
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

// indented formats JSON with one field per line. protojson varies its spaces on purpose.
func indented(text []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return string(text)
	}

	return b.String()
}
