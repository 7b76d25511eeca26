package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// link is a slow network to a server that answers GET, for tests in fake time. Its connections share the bandwidth evenly.
type link struct {
	latency time.Duration         // of every answer
	second  int                   // how many bytes pass in a second; 0 is no bound
	size    func(name string) int // of an answer
	hangs   func(name string) bool

	turn chan struct{} // of a connection, to send the next piece

	mu    sync.Mutex
	asked []string // the names in the order of arrival
}

// piece is how many bytes of an answer pass before it is the turn of another connection.
const piece = 4 << 10

func newLink() *link {
	k := &link{
		size: func(string) int { return 10 }, hangs: func(string) bool { return false }, turn: make(chan struct{}, 1),
	}
	k.turn <- struct{}{}

	return k
}

// dial is a new connection on the link.
func (k *link) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()

	go k.serve(theirs)

	return ours, nil
}

// options has the options of Open that these tests depend on.
func (k *link) options() *redis.Options {
	return &redis.Options{
		Addr: "127.0.0.1:1", Dialer: k.dial, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, PoolSize: 20,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		MaxRetries:               resends, MinRetryBackoff: resendFirst, MaxRetryBackoff: resendMost,
	}
}

// cluster is a client of a cluster whose slots are all behind the link.
func (k *link) cluster() *redis.ClusterClient {
	return redis.NewClusterClient(&redis.ClusterOptions{
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
			return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: "127.0.0.1:1"}}}}, nil
		},
		Dialer: k.dial, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, DisableRoutingPolicies: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// batcher is a batcher on the link. A client of nil is one with the options above.
func (k *link) batcher(t *testing.T, client redis.UniversalClient) *batcher {
	t.Helper()

	if client == nil {
		client = redis.NewClient(k.options())
	}

	t.Cleanup(func() {
		_ = client.Close()

		time.Sleep(time.Hour) // operations under way end
	})

	b := new(batcher)
	b.init(client, true)

	return b
}

// question is one GET on its way.
type question struct {
	name string
	due  time.Time // when the answer begins
}

// serve reads the questions of one connection.
func (k *link) serve(conn net.Conn) {
	questions, gone := make(chan question, 10_000), make(chan struct{})
	defer close(questions)
	defer close(gone)

	go k.answer(conn, questions, gone)

	for r := bufio.NewReader(conn); ; {
		name, err := readQuestion(r)
		if err != nil {
			return
		}

		k.mu.Lock()
		k.asked = append(k.asked, name)
		k.mu.Unlock()

		questions <- question{name, time.Now().Add(k.latency)}
	}
}

// readQuestion reads a command and returns its last word. The last word of a handshake is "2".
func readQuestion(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}

	words, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	last := ""

	for range 2 * words { // a length and a word
		if err == nil {
			last, err = r.ReadString('\n')
		}
	}

	return strings.TrimSpace(last), err
}

func (k *link) answer(conn net.Conn, questions <-chan question, gone <-chan struct{}) {
	defer func() { _ = conn.Close() }()

	for q := range questions {
		if q.name == "2" { // an old server does not know the handshake
			_, _ = io.WriteString(conn, "-ERR unknown command\r\n")

			continue
		}

		time.Sleep(time.Until(q.due))

		if k.hangs(q.name) {
			<-gone
		}

		if err := k.send(conn, k.size(q.name)); err != nil {
			return
		}
	}
}

func (k *link) send(conn io.Writer, size int) error {
	_, err := fmt.Fprintf(conn, "$%d\r\n", size)

	for left := size; left > 0 && err == nil; left -= piece {
		n := min(left, piece)

		if k.second > 0 {
			<-k.turn
			time.Sleep(time.Second * time.Duration(n) / time.Duration(k.second))
			k.turn <- struct{}{}
		}

		_, err = io.WriteString(conn, strings.Repeat("x", n))
	}

	if err == nil {
		_, err = io.WriteString(conn, "\r\n")
	}

	return err
}

// seen returns how often a name has arrived.
func (k *link) seen(name string) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()

	for _, other := range k.asked {
		if other == name {
			n++
		}
	}

	return n
}

// get makes one read with a timeout. It returns the error if there is no answer.
func get(ctx context.Context, b *batcher, name string, timeout time.Duration) error {
	cmd := redis.NewStringCmd(ctx, "GET", name)

	err := b.do(name, &request{ //nolint:contextcheck // the request has it
		ctx: ctx, deadline: time.Now().Add(timeout), cmds: []redis.Cmder{cmd}, size: len(name), reads: true,
	})
	if err != nil {
		return err
	}

	return cmd.Err()
}

// late reports whether an operation has failed because its time was over.
func late(err error) bool {
	var timeout net.Error

	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
