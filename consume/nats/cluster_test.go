package oncenats_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// clusterMember is a server of a cluster, in a process of its own.
type clusterMember struct {
	Name   string   `json:"name"`
	Folder string   `json:"folder"`
	Port   int      `json:"port"`
	Peer   int      `json:"peer"` // the port for the other servers
	Routes []string `json:"routes"`

	cmd *exec.Cmd
	in  io.Closer
}

// serverVariable has the configuration of a child that is a server.
const serverVariable = "ONCENATS_TEST_SERVER"

// runServer runs a server until the process is killed.
func runServer(config string) error {
	var m clusterMember
	if err := json.Unmarshal([]byte(config), &m); err != nil {
		return err
	}

	routes := make([]*url.URL, 0, len(m.Routes))

	for _, route := range m.Routes {
		address, err := url.Parse(route)
		if err != nil {
			return err
		}

		routes = append(routes, address)
	}

	s, err := server.NewServer(&server.Options{
		ServerName: m.Name, Host: "127.0.0.1", Port: m.Port, JetStream: true, StoreDir: m.Folder, NoLog: true, NoSigs: true, SyncAlways: true,
		Cluster: server.ClusterOpts{Name: "cluster", Host: "127.0.0.1", Port: m.Peer}, Routes: routes,
	})
	if err != nil {
		return err
	}

	s.Start()

	if !s.ReadyForConnections(time.Minute) {
		return errors.New("the NATS server does not start")
	}

	fmt.Println("ready") //nolint:forbidigo // it is for the parent

	_, err = io.Copy(io.Discard, os.Stdin) // it ends with its parent

	return err
}

func (m *clusterMember) start(t *testing.T) {
	t.Helper()

	config, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}

	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	m.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), binary)
	m.cmd.Env = append(os.Environ(), serverVariable+"="+string(config))
	m.cmd.Stderr = os.Stderr

	in, err := m.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}

	m.in = in

	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}

	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the server %s says %q: %v", m.Name, line, err)
	}
}

// kill kills the server with SIGKILL.
func (m *clusterMember) kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	_ = m.in.Close()
}

// startCluster starts three servers, and returns them and their addresses.
func startCluster(t *testing.T) (members map[string]*clusterMember, urls string) {
	t.Helper()

	const size = 3

	peers, routes, all := make([]int, size), make([]string, size), make([]string, size)

	for i := range peers {
		peers[i] = servertest.ProposePort()
		routes[i] = "nats://" + servertest.Address(peers[i])
	}

	members = make(map[string]*clusterMember)

	for i, peer := range peers {
		m := &clusterMember{
			Name: "server-" + strconv.Itoa(i), Folder: filepath.Join(t.TempDir(), strconv.Itoa(i)), Port: servertest.ProposePort(), Peer: peer,
			Routes: routes,
		}
		members[m.Name] = m
		all[i] = "nats://" + servertest.Address(m.Port)

		m.start(t)
		t.Cleanup(m.kill)
	}

	return members, strings.Join(all, ",")
}

// patiently does something until it succeeds, as a program does while a cluster elects a leader.
func patiently(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()

	servertest.Wait(t, what, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()

		return do(ctx)
	})
}

// makeReplicated makes streams and a consumer with copies on all servers.
func makeReplicated(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()

	for _, name := range []string{"orders", "dead"} {
		patiently(t, "making the stream "+name, func(ctx context.Context) error {
			_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, Replicas: replicas})

			return err
		})
	}

	patiently(t, "making the consumer", func(ctx context.Context) error {
		_, err := js.CreateOrUpdateConsumer(ctx, "orders", jetstream.ConsumerConfig{
			Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxDeliver: -1,
		})

		return err
	})
}

// The leader of the consumer takes acknowledgements with it, and the others elect another one.
func TestAKilledLeaderOfAClusterLosesAndDoublesNothing(t *testing.T) {
	const messages, poisonous = 40, 10

	members, urls := startCluster(t)

	conn, js, err := connect(urls)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(conn.Close)
	makeReplicated(t, js, len(members))

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxAttempts: 2}))
	if err != nil {
		t.Fatal(err)
	}

	var (
		mu      sync.Mutex
		effects = make(map[string]int)
		some    = make(chan struct{}) // closed when some messages had their effects, and others wait
		killed  = make(chan struct{})
	)

	handle, err := consume.Handler(engine, "billing", consume.ByID, func(_ context.Context, m *consume.Message) error {
		if number, err := strconv.Atoi(m.ID); err != nil || number%poisonous == 0 {
			return errors.New("poison")
		}

		mu.Lock()
		effects[m.ID]++
		n := len(effects)
		mu.Unlock()

		if n == messages/4 {
			close(some)
		}

		if n >= messages/4 {
			<-killed // so these are acknowledged after the kill
		}

		return nil
	}, consume.WithBackoff(func(int) time.Duration { return 10 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}

	for i := range messages {
		id := strconv.Itoa(i)
		patiently(t, "publishing", func(ctx context.Context) error {
			_, err := js.Publish(ctx, "orders."+id, []byte(id), jetstream.WithMsgID(id))

			return err
		})
	}

	var c *oncenats.Consumer

	patiently(t, "making a consumer", func(ctx context.Context) error {
		pull, err := js.Consumer(ctx, "orders", "billing")
		if err != nil {
			return err
		}

		c, err = oncenats.New(ctx, js, pull, handle, "dead.orders", oncenats.WithWorkers(4), oncenats.WithRetry(50*time.Millisecond))

		return err
	})

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)

	go func() { ended <- c.Run(ctx) }()

	<-some
	leaderOf(t, js, members).kill()
	close(killed)

	servertest.Wait(t, "handling all messages", func() error {
		mu.Lock()
		n := len(effects)
		mu.Unlock()

		stream, err := js.Stream(t.Context(), "dead")
		if err != nil {
			return err
		}

		if letters := stream.CachedInfo().State.Msgs; n < messages-messages/poisonous || letters < messages/poisonous {
			return fmt.Errorf("there are %d effects and %d dead letters", n, letters)
		}

		return nil
	})
	stop()

	if err := <-ended; err != nil {
		t.Errorf("Run returns %v", err)
	}

	for id, n := range effects {
		if n != 1 {
			t.Errorf("message %s has %d effects", id, n)
		}
	}
}

// leaderOf returns the server that leads the consumer.
func leaderOf(t *testing.T, js jetstream.JetStream, members map[string]*clusterMember) (leader *clusterMember) {
	t.Helper()

	patiently(t, "finding the leader", func(ctx context.Context) error {
		c, err := js.Consumer(ctx, "orders", "billing")
		if err != nil {
			return err
		}

		if leader = members[c.CachedInfo().Cluster.Leader]; leader == nil {
			return errors.New("there is none")
		}

		return nil
	})

	return leader
}
