package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Servers refuse all writes, and execute reads, for these reasons.
const (
	refusedByReplica = "READONLY"   // the server is a replica, perhaps since a failover
	refusedAlone     = "NOREPLICAS" // fewer replicas than min-replicas-to-write follow
	refusedByDisk    = "MISCONF"    // the last snapshot or the append-only file could not be written
)

// writable is a script that writes nothing, and that a server refuses while it refuses writes. It works while the memory is full.
const writable = flagsAllowOOM + "return 1"

// refusal is why a server refuses writes, or empty. Proxies of providers put "ERR " before it.
func refusal(text string) string {
	text = strings.TrimPrefix(text, "ERR ")

	for _, reason := range []string{refusedByReplica, refusedAlone, refusedByDisk} {
		if strings.HasPrefix(text, reason+" ") {
			return reason
		}
	}

	return ""
}

func isWriteRefusal(text string) bool { return refusal(text) != "" }

// refusesWrites reports that an operation changed nothing because the server refuses writes.
func refusesWrites(err error) bool {
	var reply redis.Error

	return errors.As(err, &reply) && isWriteRefusal(reply.Error())
}

// mayBeReplaced reports that a server refuses writes and that there may be another master: the server is a replica, or a master that its
// replicas do not follow, as in a partition.
func mayBeReplaced(err error) bool {
	var reply redis.Error

	if !errors.As(err, &reply) {
		return false
	}

	reason := refusal(reply.Error())

	return reason == refusedByReplica || reason == refusedAlone
}

// checkWritable returns an error if a server refuses writes.
func checkWritable(ctx context.Context, address string, client Client) error {
	err := process(ctx, client, redis.NewCmd(ctx, "EVAL", writable, "0"))
	if err == nil {
		return nil
	}

	remedy := "see the server's log"

	if refusesWrites(err) {
		switch refusal(err.Error()) {
		case refusedByReplica:
			remedy = "connect to the master, or through Sentinel"
		case refusedAlone:
			remedy = "start its replicas, or set min-replicas-to-write to a number of replicas that it has"
		case refusedByDisk:
			remedy = "look for the failed write of its data in its log, and make room on its disk"
		}

		return fmt.Errorf("redisstore: %s refuses writes: new calls are refused and completed ones are replayed: %w: %s", address, err, remedy)
	}

	return fmt.Errorf("redisstore: %s cannot run a script: %w: %s", address, err, remedy)
}
