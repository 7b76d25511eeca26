package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
)

func (a *app) doctorCommand() *cobra.Command {
	var opts operate.DoctorOptions

	strict := false

	cmd := &cobra.Command{
		Use:   "doctor [STORE_URL]",
		Short: "Check whether a store is fit to keep records",
		Long: `Doctor checks a store: eviction, persistence, replication, refused writes, the
clock, the schema and the indexes. It also reads, lists, writes and removes a
test record. Each problem comes with a remedy.

The exit status is 0 if the store is fit, even with warnings, and 1 if it is
not. With --strict it is 1 for warnings, too.`,
		Example: `  onlyonce doctor redis://localhost:6379
  onlyonce doctor sqlite:records.db --json`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().BoolVar(&opts.ReadOnly, "read-only", false, "do not write a test record")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with status 1 for warnings, too")

	cmd.RunE = does(func(ctx context.Context, args []string) error {
		if err := a.storeArgument(args); err != nil {
			return err
		}

		return a.doctor(ctx, opts, strict)
	})

	return cmd
}

// healthView is the JSON form of a report.
type healthView struct {
	Severity string          `json:"severity"`
	Fit      bool            `json:"fit"`
	Checks   []diagnosisView `json:"checks"`
}

type diagnosisView struct {
	Check    string `json:"check"`
	Where    string `json:"where,omitempty"`
	Severity string `json:"severity"`
	Found    string `json:"found"`
	Remedy   string `json:"remedy,omitempty"`
}

func (a *app) doctor(ctx context.Context, opts operate.DoctorOptions, strict bool) error {
	records, found, err := a.examine(ctx)
	if err != nil {
		return err
	}

	health := operate.Health{Diagnoses: found}

	if records != nil {
		defer records.close()

		health = operate.Doctor(ctx, records.Store, opts)
	}

	worst := health.Severity()

	if a.json {
		v := healthView{Severity: worst.String(), Fit: worst != store.SeverityFail}
		for _, d := range health.Diagnoses {
			v.Checks = append(v.Checks, diagnosisView{
				Check: d.Check, Where: d.Where, Severity: d.Severity.String(), Found: a.clean(d.Found), Remedy: a.clean(d.Remedy),
			})
		}

		if err := a.printJSON(v); err != nil {
			return err
		}
	} else {
		a.printHealth(&health)
	}

	if worst == store.SeverityFail || strict && worst == store.SeverityWarn {
		return errReported
	}

	return nil
}

func (a *app) printHealth(health *operate.Health) {
	const (
		mark   = 5 // "warn "
		indent = "     "
	)

	for i := range health.Diagnoses {
		d := &health.Diagnoses[i]

		text := d.Check + ": "
		if d.Where != "" {
			text = d.Check + ", " + d.Where + ": "
		}

		for n, line := range wrap(a.clean(oneLine(text+d.Found)), a.width-mark) {
			start := indent
			if n == 0 {
				start = a.paint(severityColor(d.Severity), d.Severity.String()) + indent[:mark-len(d.Severity.String())]
			}

			a.printf("%s%s", start, line)
		}

		if d.Remedy == "" {
			continue
		}

		for _, line := range wrap("→ "+a.clean(oneLine(d.Remedy)), a.width-mark) {
			a.printf("%s%s", indent, line)
		}
	}

	a.printf("\n%s", summary(health))
}

// oneLine removes line breaks, which errors of drivers may have.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func severityColor(s store.Severity) string {
	switch s {
	case store.SeverityOK:
		return green
	case store.SeverityWarn:
		return yellow
	case store.SeverityFail:
		return red
	default:
		return plain
	}
}

func summary(health *operate.Health) string {
	switch health.Severity() {
	case store.SeverityFail:
		return "The store is not fit to keep records. Fix the failed checks above."
	case store.SeverityWarn:
		return "The store is fit to keep records. See the warnings above."
	case store.SeverityOK:
		return "The store is fit to keep records."
	default:
		return ""
	}
}
