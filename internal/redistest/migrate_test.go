//go:build unix

package redistest

import (
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestASlotMovesKeyByKey(t *testing.T) {
	t.Parallel()

	c := NewCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})

	defer client.Close()

	for _, key := range []string{"{slot}a", "{slot}b", "{slot}c"} {
		if err := client.Set(t.Context(), key, key, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}

	slot := Slot("{slot}a")
	from := c.MasterOf(slot)
	to := c.OtherMaster(slot)
	m := c.Migrate(slot, to)

	m.Move("{slot}b", "{slot}missing")

	if left := m.Keys(); len(left) != 2 {
		t.Errorf("%q have not moved", left)
	}

	// A command that names a key on either side has no server.
	if err := from.Client().MGet(t.Context(), "{slot}a", "{slot}b").Err(); !redis.IsTryAgainError(err) {
		t.Errorf("two keys while their slot moves: %v", err)
	}

	if got := client.Get(t.Context(), "{slot}b").Val(); got != "{slot}b" {
		t.Errorf("the key that has moved is %q", got)
	}

	m.Finish()

	if got := c.MasterFor("{slot}a"); got != to {
		t.Errorf("%s serves the slot, want %s", got.Addr(), to.Addr())
	}

	if got := client.Get(t.Context(), "{slot}a").Val(); got != "{slot}a" {
		t.Errorf("the key is %q", got)
	}
}

func TestASlotIsTheServers(t *testing.T) {
	t.Parallel()

	client := NewCluster(t).Nodes()[0].Client()

	odd := []string{"", "{", "a{}b", "a{b}c", "a{b}{c}", "a}b{c", "{\x00}\xff"}

	for i := range 50 {
		key := strconv.Itoa(i)
		if i < len(odd) {
			key = odd[i]
		}

		if got, want := Slot(key), int(client.ClusterKeySlot(t.Context(), key).Val()); got != want {
			t.Errorf("slot of %q is %d, want %d", key, got, want)
		}
	}
}
