package operate_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/operate"
)

// need returns the need of a valid load.
func need(t *testing.T, load operate.Load) operate.Need {
	t.Helper()

	n, err := operate.Capacity(load)
	if err != nil {
		t.Fatal(err)
	}

	return n
}

func TestCapacityFollowsItsFormula(t *testing.T) {
	t.Parallel()

	n := need(t, operate.Load{
		Calls: 1000, Retention: time.Hour, Outcome: 291, Names: 100, Run: time.Second, Replays: 0.5, Replicas: 1,
		ShardBytes: 1 << 30, Fill: 0.5,
	})

	record := n.Costs.Record + n.Costs.PerByte*400
	bytes := 3_600_000*record + 1000*(record+n.Costs.Running)

	for name, values := range map[string][2]float64{
		"records":    {n.Records, 3_600_000},
		"running":    {n.Running, 1000},
		"record":     {n.RecordBytes, record},
		"bytes":      {n.Bytes, bytes},
		"memory":     {n.Memory, bytes / 0.5 * 2},
		"disk":       {n.Disk, bytes / 0.5 * 2 * 2},
		"operations": {n.Operations, 2500},
		"shards":     {float64(n.ShardsForBytes), math.Ceil(bytes / (1 << 29))},
	} {
		if math.Abs(values[0]-values[1]) > 1e-6*values[1] {
			t.Errorf("%s: %v, want %v", name, values[0], values[1])
		}
	}
}

func TestCapacityCountsRenewalsOfLongRuns(t *testing.T) {
	t.Parallel()

	n := need(t, operate.Load{Calls: 10, Run: 31 * time.Second, Lease: 15 * time.Second})
	if n.Operations != 10*(2+6) {
		t.Errorf("%v operations per second", n.Operations)
	}
}

func TestCapacityTakesTheGreaterNumberOfShards(t *testing.T) {
	t.Parallel()

	calls := need(t, operate.Load{Calls: 1_000_000, Retention: time.Second})
	if calls.Shards != calls.ShardsForCalls || calls.Shards != 41 {
		t.Errorf("a million calls per second need %d shards", calls.Shards)
	}

	if data := need(t, operate.Load{Calls: 1_000_000}); data.Shards != data.ShardsForBytes || data.Shards < 1000 {
		t.Errorf("a million calls per second for a day need %d shards", data.Shards)
	}

	measured := need(t, operate.Load{Kind: operate.PostgreSQL, Calls: 6000, Retention: time.Second, ShardCalls: 10_000})
	if measured.Shards != 1 || measured.Memory != 0 || measured.Disk == 0 {
		t.Errorf("got %+v", measured)
	}

	if one := need(t, operate.Load{Kind: operate.Memory, Calls: 1, Names: -1}); one.Shards != 1 {
		t.Errorf("got %+v", one)
	}
}

func TestCapacityRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()

	for want, load := range map[string]operate.Load{
		"unknown store kind": {Kind: "paper", Calls: 1},
		"0 calls":            {},
		"NaN calls":          {Calls: math.NaN()},
		"2e+06 calls":        {Calls: 2_000_000},
		"-1 replays":         {Calls: 1, Replays: -1},
		"retention of":       {Calls: 1, Retention: -1},
		"outcome of":         {Calls: 1, Outcome: -1},
		"names of":           {Calls: 1, Names: -2},
		"run of":             {Calls: 1, Run: -1},
		"-1 replicas":        {Calls: 1, Replicas: -1},
		"shard size of -1":   {Calls: 1, ShardBytes: -1},
		"calls per second:":  {Calls: 1, ShardCalls: -1},
		"fill of 2":          {Calls: 1, Fill: 2},
	} {
		if _, err := operate.Capacity(load); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
