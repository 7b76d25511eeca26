package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
)

func (a *app) capacityCommand() *cobra.Command {
	var (
		load  operate.Load
		kind  string
		shard string
	)

	cmd := &cobra.Command{
		Use:   "capacity --rps N",
		Short: "Compute the memory, disk and shards that a load needs",
		Long: `Capacity computes the memory, disk and shards that a load needs, from measured
record sizes. It does not connect to a store. docs/capacity.md has the formula.`,
		Example: `  onlyonce capacity --rps 2000 --retention 24h --bytes 300
  onlyonce capacity --rps 1000000 --retention 1h --replicas 1 --shard 64GiB
  onlyonce capacity --kind postgresql --rps 500 --shard-rps 4000`,
		Args: cobra.NoArgs,
	}

	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Float64Var(&load.Calls, "rps", 0, "calls per second without duplicates, up to 1000000; required")
	flags.DurationVar(&load.Retention, "retention", onlyonce.DefaultRetention, "how long a record stays after its call")
	flags.IntVar(&load.Outcome, "bytes", 0, "average size of an answer, in bytes")
	flags.StringVar(&kind, "kind", "redis", "store: redis, postgresql, mysql, sqlite or memory")
	flags.Float64Var(&load.Replays, "replays", 0, "duplicates per call, such as 0.02")
	flags.IntVar(&load.Names, "names", operate.DefaultNames, "length of key and method together, in bytes; -1 if hidden")
	flags.DurationVar(&load.Run, "run", 0, "average duration of a handler (default 100ms)")
	flags.DurationVar(&load.Lease, "lease", onlyonce.DefaultLease, "duration of the lease")
	flags.IntVar(&load.Replicas, "replicas", 0, "copies of each shard besides the primary")
	flags.StringVar(&shard, "shard", "16GiB", "size of one shard: memory for Redis, disk for a database")
	flags.Float64Var(&load.ShardCalls, "shard-rps", 0, "calls per second that one shard can take; onlyonce bench measures it")
	flags.Float64Var(&load.Fill, "fill", operate.DefaultFill, "share of a shard to use at most, 0 to 1")
	_ = cmd.MarkFlagRequired("rps") // the flag exists
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(
		[]cobra.Completion{"redis", "postgresql", "mysql", "sqlite", "memory"}, cobra.ShellCompDirectiveNoFileComp))

	cmd.RunE = does(func(context.Context, []string) error {
		if cmd.Flags().Changed("store") {
			return usagef("--store: capacity connects to no store; choose the kind of store with --kind")
		}

		bytes, err := parseBytes(shard)
		if err != nil {
			return usagef("--shard: %v", err)
		}

		load.Kind, load.ShardBytes = operate.StoreKind(kind), bytes

		need, err := operate.Capacity(load)
		if err != nil {
			return usagef("%v", err)
		}

		if a.json {
			return a.printJSON(viewNeed(&need))
		}

		a.printNeed(&need)

		return nil
	})

	return cmd
}

// needView is the JSON form of a need. Sizes are for all shards together, unless a name says otherwise.
type needView struct {
	Kind            string  `json:"kind"`
	Records         float64 `json:"records"`
	RecordBytes     float64 `json:"record_bytes"`
	Bytes           float64 `json:"bytes"`
	MemoryBytes     float64 `json:"memory_bytes"`
	DiskBytes       float64 `json:"disk_bytes"`
	Operations      float64 `json:"operations_per_second"`
	Shards          int     `json:"shards"`
	ShardsForBytes  int     `json:"shards_for_bytes"`
	ShardsForCalls  int     `json:"shards_for_calls"`
	BytesPerShard   float64 `json:"bytes_per_shard"`
	CallsPerShard   float64 `json:"calls_per_second_per_shard"`
	RunningRecords  float64 `json:"running_records"`
	CopiesPerRecord int     `json:"copies"`
}

func viewNeed(n *operate.Need) needView {
	return needView{
		Kind: string(n.Load.Kind), Records: math.Round(n.Records), RecordBytes: math.Round(n.RecordBytes), Bytes: math.Round(n.Bytes),
		MemoryBytes: math.Round(n.Memory), DiskBytes: math.Round(n.Disk), Operations: n.Operations,
		Shards: n.Shards, ShardsForBytes: n.ShardsForBytes, ShardsForCalls: n.ShardsForCalls, BytesPerShard: math.Round(n.ShardBytes),
		CallsPerShard: n.ShardCalls, RunningRecords: math.Round(n.Running), CopiesPerRecord: 1 + n.Load.Replicas,
	}
}

func (a *app) printNeed(n *operate.Need) {
	memory, disk := "", ""
	if n.Memory > 0 {
		memory = bytesText(n.Memory)
	}

	if n.Disk > 0 {
		disk = bytesText(n.Disk)
	}

	a.fields(
		[2]string{"Store", string(n.Load.Kind)},
		[2]string{"Records", fmt.Sprintf("%s of %s each, for %s", count(n.Records), bytesText(n.RecordBytes), span(n.Load.Retention))},
		[2]string{"Running", count(n.Running) + " at a time"},
		[2]string{"Data", bytesText(n.Bytes) + " in one copy"},
		[2]string{"Memory", memory},
		[2]string{"Disk", disk},
		[2]string{"Operations", count(n.Operations) + " per second"},
		[2]string{"Shards", shardsText(n)},
		[2]string{"One shard", fmt.Sprintf("%s of data, %s calls per second", bytesText(n.ShardBytes), count(n.ShardCalls))},
	)

	copies := ""
	if n.Load.Replicas > 0 {
		copies = fmt.Sprintf(" in %d copies", 1+n.Load.Replicas)
	}

	a.printf("")

	for _, line := range wrap(fmt.Sprintf("Memory and disk are for all shards together%s, filled to %.0f %%. Measure your shards with: "+
		"onlyonce bench", copies, n.Load.Fill*100), a.width) {
		a.printf("%s", line)
	}
}

func shardsText(n *operate.Need) string {
	switch {
	case n.Load.Kind == operate.SQLite || n.Load.Kind == operate.Memory:
		return fmt.Sprintf("%d, each a process with its own records", n.Shards)
	case n.ShardsForBytes > n.ShardsForCalls:
		return fmt.Sprintf("%d, because of the data; the calls need %d", n.Shards, n.ShardsForCalls)
	case n.ShardsForBytes < n.ShardsForCalls:
		return fmt.Sprintf("%d, because of the calls; the data needs %d", n.Shards, n.ShardsForBytes)
	default:
		return strconv.Itoa(n.Shards)
	}
}

// count formats a number with a comma between thousands.
func count(n float64) string {
	digits := strconv.FormatFloat(math.Round(n), 'f', 0, 64)

	var b strings.Builder

	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}

		b.WriteRune(digit)
	}

	return b.String()
}

var units1024 = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"} //nolint:gochecknoglobals // a constant

// bytesText formats a size for people.
func bytesText(n float64) string {
	unit := 0

	for n >= 1024 && unit < len(units1024)-1 {
		n /= 1024
		unit++
	}

	digits := 0
	if unit > 0 && n < 100 {
		digits = 1
	}

	return strconv.FormatFloat(n, 'f', digits, 64) + " " + units1024[unit]
}

// parseBytes parses a size, such as 16GiB, 64GB or 1000000.
func parseBytes(text string) (float64, error) {
	number := strings.TrimRight(text, "BKMGTPibkmgtp ")
	unit := strings.ToUpper(strings.TrimSpace(text[len(number):]))

	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n > 0) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("%q is not a size: use a size such as 16GiB", text)
	}

	base := 1000.0
	if strings.HasSuffix(unit, "IB") {
		base = 1024
	}

	power := 0
	if unit != "" && unit != "B" {
		if power = 1 + strings.IndexByte("KMGTP", unit[0]); power == 0 || len(unit) > 3 {
			return 0, fmt.Errorf("%q has an unknown unit: use a size such as 16GiB", text)
		}
	}

	return n * math.Pow(base, float64(power)), nil
}
