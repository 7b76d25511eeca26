package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// keepPosition is how long the position of a sweep is kept until a process continues it.
	keepPosition = 24 * time.Hour
	// sweepOver is the position of a sweep that has come to the end. It expires when it is time for another one.
	sweepOver = "over"
	// maxNames is how many names are tried until one is on the server that it is about. A server has 16384 slots at most.
	maxNames = 1 << 17
)

// position is where the sweep of a server is. The order in which SCAN yields keys depends on a number that a server draws when it starts,
// so the cursor is worth something only in the same run of the same server.
type position struct {
	run    string // the run_id of the server
	cursor uint64
}

func (p position) String() string { return p.run + " " + strconv.FormatUint(p.cursor, 10) }

// positionOf is the position that a process has noted. Without a position, or without the run of its server, it is the beginning.
func positionOf(noted string) position {
	run, number, _ := strings.Cut(noted, " ")

	cursor, err := strconv.ParseUint(number, 10, 64)
	if err != nil || run == "" {
		return position{}
	}

	return position{run: run, cursor: cursor}
}

// turn is the turn of this process to sweep one server. The turn and the position of the sweep are kept on this very server, so that the
// sweep needs no other one.
type turn struct {
	store               *Store
	name, place, holder string
}

func (s *Store) newTurn(ctx context.Context, address string, server Client) *turn {
	return &turn{
		store: s, holder: rand.Text(),
		name: s.nameOn(ctx, server, s.prefix+"sweep:"+address), place: s.nameOn(ctx, server, s.prefix+"swept:"+address),
	}
}

// nameOn is a name that begins in a given way and is on a given server of a cluster. It is the same in all processes as long as its slot
// does not move. If it changes, the sweep begins again.
func (s *Store) nameOn(ctx context.Context, server Client, name string) string {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return name
	}

	for i := range maxNames {
		try := name + "#" + strconv.Itoa(i)
		if master, err := cluster.MasterForKey(ctx, try); err != nil || Client(master) == server {
			return try
		}
	}

	return name // it has no slot any more
}

// take takes the turn, and returns where the sweep is. It reports false if another process has the turn.
func (t *turn) take(ctx context.Context) (position string, mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.store.timeout)
	defer cancel()

	life := t.store.sweep.turn.Milliseconds()
	taken := redis.NewCmd(ctx, "EVAL", t.store.scripts.set.source, "1", t.name, t.holder, "PX", life, "NX")
	taken.SetFirstKeyPos(firstKey)

	place := redis.NewStringCmd(ctx, "GET", t.place)

	if err := t.store.together(ctx, []redis.Cmder{taken, place}); err != nil {
		return "", false, failure("sweep", err)
	}

	switch {
	case errors.Is(taken.Err(), redis.Nil):
		return "", false, nil
	case taken.Err() != nil:
		return "", false, failure("sweep", taken.Err())
	case place.Err() != nil && !errors.Is(place.Err(), redis.Nil):
		return "", false, failure("sweep", place.Err())
	}

	return place.Val(), true, nil
}

// keep keeps the turn for another time. It reports false if another process has the turn by now.
func (t *turn) keep(ctx context.Context) (bool, error) { return t.change(ctx, t.store.sweep.turn) }

// giveBack ends the turn, unless another process has it by now.
func (t *turn) giveBack(ctx context.Context) error {
	_, err := t.change(ctx, 0)

	return err
}

// change gives the turn another time.
func (t *turn) change(ctx context.Context, life time.Duration) (bool, error) {
	cmd := redis.NewIntCmd(ctx, "EVAL", t.store.scripts.turn.source, "1", t.name, t.holder, life.Milliseconds())
	cmd.SetFirstKeyPos(firstKey)

	if err := t.do(ctx, cmd); err != nil {
		return false, err
	}

	return cmd.Val() == 1, nil
}

// move notes where the sweep is, for some time.
func (t *turn) move(ctx context.Context, position string, life time.Duration) error {
	cmd := redis.NewCmd(ctx, "EVAL", t.store.scripts.set.source, "1", t.place, position, "PX", max(life.Milliseconds(), 1))
	cmd.SetFirstKeyPos(firstKey)

	return t.do(ctx, cmd)
}

// do sends a command, within the time of an operation.
func (t *turn) do(ctx context.Context, cmd redis.Cmder) error {
	ctx, cancel := context.WithTimeout(ctx, t.store.timeout)
	defer cancel()

	if err := process(ctx, t.store.client, cmd); err != nil {
		return failure("sweep", err)
	}

	return nil
}
