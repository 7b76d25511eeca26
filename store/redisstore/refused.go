package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Reasons why servers refuse all writes but execute reads.
const (
	refusedByReplica = "READONLY"   // the server is a replica, such as after a failover
	refusedAlone     = "NOREPLICAS" // fewer replicas follow than min-replicas-to-write
	refusedByDisk    = "MISCONF"    // the last snapshot or the append-only file could not be written
)

// writable is a script that writes nothing. A server refuses it while it refuses writes, but not for want of memory.
const writable = flagsAllowOOM + "return 1"

// refusal returns the reason why a server refuses writes, or "". Proxies of some providers add "ERR " before it.
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

// refusesWrites reports whether an operation changed nothing because the server refuses writes.
func refusesWrites(err error) bool {
	var reply redis.Error

	return errors.As(err, &reply) && isWriteRefusal(reply.Error())
}

// mayBeReplaced reports whether a server refuses writes and may have been replaced by another master: it is a replica, or its replicas do
// not follow it, as in a partition.
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

	remedy := "read the server's log"

	if refusesWrites(err) {
		switch refusal(err.Error()) {
		case refusedByReplica:
			remedy = "connect to the master, or through Sentinel"
		case refusedAlone:
			remedy = "start its replicas, or set min-replicas-to-write to a number of replicas that it has"
		case refusedByDisk:
			remedy = "find the failed write in the server's log, and free disk space"
		}

		return fmt.Errorf("redisstore: %s refuses writes: new calls are refused and completed ones are replayed: %w: %s", address, err, remedy)
	}

	return fmt.Errorf("redisstore: %s cannot run a script: %w: %s", address, err, remedy)
}
