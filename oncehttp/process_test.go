package oncehttp_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/rpc"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/crash/remotestore"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// childEnv makes the test binary a process of a test. Its value is the childConfig.
const childEnv = "ONLYONCE_HTTP_CHILD"

// childConfig configures a process: a server, or a client that makes one payment with a journal.
type childConfig struct {
	Name   string          `json:"name"`
	Dies   string          `json:"dies"`   // the point at which it kills itself; empty: none
	Town   string          `json:"town"`   // the URL of the test's own server
	Store  string          `json:"store"`  // of a server: the address of the store
	Policy onlyonce.Policy `json:"policy"` // of a server

	Server  string `json:"server"`  // of a client: the URL of the server that it pays at
	Journal string `json:"journal"` // of a client
	Resumes bool   `json:"resumes"` // of a client: it sends what the journal has, and pays nothing
}

// childMain is the life of such a process, and its exit code.
func childMain(encoded string) int {
	var config childConfig
	if err := json.Unmarshal([]byte(encoded), &config); err != nil { //nolint:musttag // both ends are this test
		return fail(err)
	}

	var err error
	if config.Store != "" {
		err = config.serve()
	} else {
		err = config.pay()
	}

	if err != nil {
		return fail(err)
	}

	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)

	return 1
}

// reach kills the process with SIGKILL if this is where it dies.
func (c *childConfig) reach(point string) {
	if c.Dies == point {
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()

		select {} // it waits for its end
	}
}

// The points of a server.
const dieRecorded = "recorded" // the answer is recorded, and not sent

// serve serves payments until the standard input ends. Each payment charges the test.
func (c *childConfig) serve() error {
	conn, err := rpc.Dial("tcp", c.Store)
	if err != nil {
		return err
	}

	engine, err := onlyonce.New(dyingStore{remotestore.New(conn, time.Minute), c}, onlyonce.WithPolicy(c.Policy))
	if err != nil {
		return err
	}

	protect, err := oncehttp.Middleware(engine, oncehttp.ScopeShared())
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /payments", func(w http.ResponseWriter, _ *http.Request) {
		receipt, err := charge(c.Town, c.Name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}

		w.Header().Set("Location", "/payments/"+receipt)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "charged by "+c.Name)
	})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	fmt.Println(listener.Addr()) //nolint:forbidigo // the test reads it

	server := &http.Server{Handler: protect(mux), ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()

	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}

	return nil
}

// dyingStore is a store whose process can die when an answer is recorded.
type dyingStore struct {
	*remotestore.Client

	config *childConfig
}

func (s dyingStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	res, err := s.Client.Complete(ctx, op)
	if err == nil { // otherwise the engine sends it again
		s.config.reach(dieRecorded)
	}

	return res, err
}

// charge is the effect of a payment.
func charge(town, by string) (string, error) {
	resp, err := http.Post(town+"?by="+by, "", nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()

	receipt, err := io.ReadAll(resp.Body)

	return string(receipt), err
}

// countedStore counts the completions that arrive. A completion whose answer takes too long is sent again.
type countedStore struct {
	*memstore.Store

	completed atomic.Int64
}

// Complete implements [store.Store].
func (s *countedStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	res, err := s.Store.Complete(ctx, op)
	if err == nil {
		s.completed.Add(1)
	}

	return res, err
}

// town is the world of processes: the store that they share, and the effects that they have.
type town struct {
	t       *testing.T
	records *countedStore
	store   net.Listener
	server  *httptest.Server

	mu      sync.Mutex
	charges []string      // who has charged
	parked  chan struct{} // closed when the charge of first has happened, whose answer then waits for released
	release chan struct{}
}

func newTown(t *testing.T) *town {
	t.Helper()

	w := &town{t: t, records: &countedStore{Store: memstore.New()}}

	services := rpc.NewServer()
	if err := remotestore.Register(services, w.records); err != nil {
		t.Fatal(err)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	w.store = listener

	var serving sync.WaitGroup

	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			serving.Go(func() { services.ServeConn(conn) })
		}
	})

	w.server = httptest.NewServer(http.HandlerFunc(w.charge))
	t.Cleanup(func() { // after the processes have ended
		w.server.Close()
		_ = listener.Close()
		serving.Wait()
	})

	return w
}

// park blocks the next charge of the server named first.
func (w *town) park() {
	w.parked, w.release = make(chan struct{}), make(chan struct{})
}

func (w *town) charge(rw http.ResponseWriter, r *http.Request) {
	by := r.URL.Query().Get("by")

	w.mu.Lock()
	w.charges = append(w.charges, by)
	n := len(w.charges)
	w.mu.Unlock()

	if by == "first" && w.parked != nil {
		close(w.parked)
		<-w.release
	}

	fmt.Fprint(rw, n)
}

// charged is how often the effect has happened.
func (w *town) charged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()

	return append([]string{}, w.charges...)
}

// process is a process of a test.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   *bufio.Reader
	url   string        // of a server
	ended chan struct{} // closed when it has
	said  strings.Builder
}

// start starts a process. It ends with the test.
func (w *town) start(config childConfig) *process {
	w.t.Helper()

	config.Town = w.server.URL

	encoded, err := json.Marshal(config) //nolint:musttag // both ends are this test
	if err != nil {
		w.t.Fatal(err)
	}

	p := &process{t: w.t, cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(encoded))
	p.cmd.Stderr = &p.said

	stdin, err := p.cmd.StdinPipe() // if the test dies, the process sees its end
	if err != nil {
		w.t.Fatal(err)
	}

	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}

	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}

	p.out = bufio.NewReader(stdout)

	w.t.Cleanup(func() {
		_ = stdin.Close()
		_ = p.cmd.Process.Kill() // it may be stopped, or have ended

		p.wait()
	})

	return p
}

// serve starts a server and returns when it listens.
func (w *town) serve(config childConfig) *process {
	w.t.Helper()

	config.Store = w.store.Addr().String()
	p := w.start(config)

	addr, err := p.out.ReadString('\n')
	if err != nil {
		p.wait()
		w.t.Fatalf("server %s does not start: %v: %s", config.Name, err, p.said.String())
	}

	p.url = "http://" + strings.TrimSpace(addr)

	return p
}

// wait returns when the process has ended. Further calls return at once.
func (p *process) wait() {
	select {
	case <-p.ended:
		return
	default:
	}

	_, _ = io.Copy(io.Discard, p.out)
	_ = p.cmd.Wait() // ProcessState has the result

	close(p.ended)
}

// mustBeKilled checks that the process has killed itself with SIGKILL.
func (p *process) mustBeKilled() {
	p.t.Helper()
	p.wait()

	if state := p.cmd.ProcessState; state.Success() || !strings.Contains(state.String(), "killed") {
		p.t.Errorf("the process ended with %v: %s", state, p.said.String())
	}
}

// mustHaveRecord checks that the dead server has recorded its answer. Otherwise the answer cannot be replayed.
func (w *town) mustHaveRecord() bool {
	w.t.Helper()

	recorded := w.records.completed.Load() > 0
	if !recorded {
		w.t.Error("the server was killed too early: no outcome is recorded")
	}

	return recorded
}

// lossy starts a proxy that sends the first request to a server that dies. A lost answer breaks the client's connection.
func (w *town) lossy(first, second *process) string {
	w.t.Helper()

	var requests atomic.Int64

	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			to := second
			if requests.Add(1) == 1 || !w.mustHaveRecord() {
				to = first
			}

			target, _ := url.Parse(to.url)
			r.SetURL(target)
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     quiet(),
	})
	proxy.Config.ErrorLog = quiet()
	proxy.Start()
	w.t.Cleanup(proxy.Close)

	return proxy.URL
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// post makes the payment k on its own connection.
func (p *process) post() (*answer, error) {
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/payments", strings.NewReader("body"))
	if err != nil {
		return nil, err
	}

	r.Header.Set(oncehttp.KeyHeader, "k")

	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()

	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()

	body, err := io.ReadAll(resp.Body)

	return &answer{p.t, resp.StatusCode, resp.Header, resp.Trailer, string(body), resp.ContentLength}, err
}

// settled is the policy of a server that does not die.
func settled(guarantee onlyonce.Guarantee, lease time.Duration) onlyonce.Policy {
	return onlyonce.Policy{Guarantee: guarantee, Lease: cmp.Or(lease, time.Hour), MaxRun: time.Hour, MaxWait: time.Hour}
}
