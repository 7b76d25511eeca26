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
	// keepPosition is how long the position of an interrupted sweep is kept.
	keepPosition = 24 * time.Hour
	// sweepOver is the position of a finished sweep. It expires when the next sweep is due.
	sweepOver = "over"
	// maxNames bounds the search for a name that is on a given server. A server has at most 16384 slots.
	maxNames = 1 << 17
)

// position is the position of a server's sweep. The order of SCAN depends on a number that a server draws when it starts. So the cursor is
// valid only for the same run of the same server.
type position struct {
	run    string // the run_id of the server
	cursor uint64
}

func (p position) String() string { return p.run + " " + strconv.FormatUint(p.cursor, 10) }

// positionOf parses a position that a process has stored. A position without a run of the server is the beginning.
func positionOf(noted string) position {
	run, number, _ := strings.Cut(noted, " ")

	cursor, err := strconv.ParseUint(number, 10, 64)
	if err != nil || run == "" {
		return position{}
	}

	return position{run: run, cursor: cursor}
}

// turn is this process's turn to sweep one server. The turn and the position are stored on this server, so that the sweep needs no other
// one.
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

// nameOn returns a name with this beginning that is on a given server of a cluster. All processes find the same name as long as its slot
// does not move. If the name changes, the sweep begins again.
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

	return name // the server has no slot any more
}

// take takes the turn and returns the position of the sweep. It returns false if another process has the turn.
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

// keep extends the turn. It returns false if another process has the turn by now.
func (t *turn) keep(ctx context.Context) (bool, error) { return t.change(ctx, t.store.sweep.turn) }

// release ends the turn, unless another process has it by now.
func (t *turn) release(ctx context.Context) error {
	_, err := t.change(ctx, 0)

	return err
}

// change sets how long the turn lasts. Zero ends it.
func (t *turn) change(ctx context.Context, life time.Duration) (bool, error) {
	cmd := redis.NewIntCmd(ctx, "EVAL", t.store.scripts.turn.source, "1", t.name, t.holder, life.Milliseconds())
	cmd.SetFirstKeyPos(firstKey)

	if err := t.do(ctx, cmd); err != nil {
		return false, err
	}

	return cmd.Val() == 1, nil
}

// move stores the position of the sweep for a time.
func (t *turn) move(ctx context.Context, position string, life time.Duration) error {
	cmd := redis.NewCmd(ctx, "EVAL", t.store.scripts.set.source, "1", t.place, position, "PX", max(life.Milliseconds(), 1))
	cmd.SetFirstKeyPos(firstKey)

	return t.do(ctx, cmd)
}

// do sends a command within the time of an operation.
func (t *turn) do(ctx context.Context, cmd redis.Cmder) error {
	ctx, cancel := context.WithTimeout(ctx, t.store.timeout)
	defer cancel()

	if err := process(ctx, t.store.client, cmd); err != nil {
		return failure("sweep", err)
	}

	return nil
}
