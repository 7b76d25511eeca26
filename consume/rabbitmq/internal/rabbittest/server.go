//go:build unix

package rabbittest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Server is a RabbitMQ node without plugins. The user guest with the password guest can do everything.
type Server struct {
	programs programs
	dir      string
	settings []string // arguments of Erlang
	// ports are those of AMQP, of the node's distribution, and of epmd.
	port, distribution, mapperPort int

	mapper, node *servertest.Child
}

// Start starts a server that keeps everything in a folder, and returns when it accepts connections. Booting takes seconds: the tests of a
// package share a server. The caller stops it. Settings are of the application rabbit, such as "consumer_timeout 1000".
func Start(dir string, settings ...string) (*Server, error) {
	programs, err := find()
	if err != nil {
		return nil, err
	}

	s := &Server{programs: programs, dir: dir, settings: settings}

	for range servertest.PortAttempts {
		s.port, s.distribution, s.mapperPort = servertest.ProposePort(), servertest.ProposePort(), servertest.ProposePort()

		err := s.boot()
		if err == nil {
			return s, nil
		}

		s.Stop()

		if !errors.Is(err, servertest.ErrPortTaken) {
			return nil, err
		}
	}

	return nil, fmt.Errorf("no free ports for RabbitMQ in %d attempts", servertest.PortAttempts)
}

// URL returns the address with user and password.
func (s *Server) URL() string { return "amqp://guest:guest@" + s.Addr() + "/" }

// Addr returns the host and port. It never changes.
func (s *Server) Addr() string { return servertest.Address(s.port) }

// Kill ends the node with SIGKILL. Its epmd goes on.
func (s *Server) Kill() {
	if s.node != nil {
		s.node.Kill()
	}
}

// ShutDown ends the node as an operator does, with SIGTERM. Its epmd goes on.
func (s *Server) ShutDown() error {
	err := s.node.Signal(syscall.SIGTERM)
	<-s.node.Ended()

	return err
}

// Restart kills the node and boots it again, with the same folder and address.
func (s *Server) Restart() error {
	s.Kill()

	return s.run()
}

// Stop ends the node and its epmd, and returns when both have ended.
func (s *Server) Stop() {
	s.Kill()

	if s.mapper != nil {
		s.mapper.Kill()
	}
}

// boot starts epmd and the node. A node that finds no epmd would start one that outlives it.
func (s *Server) boot() error {
	if err := s.configure(); err != nil {
		return err
	}

	cmd := exec.Command(s.programs.epmd, "-port", strconv.Itoa(s.mapperPort), "-address", "127.0.0.1")

	var err error
	if s.mapper, err = servertest.Start(cmd); err != nil {
		return fmt.Errorf("starting epmd: %w", err)
	}

	if err := servertest.Poll(func() error { return dial(s.mapperPort) }, s.mapper.Ended()); err != nil {
		return fmt.Errorf("%w: epmd does not start: %w", servertest.ErrPortTaken, err)
	}

	return s.run()
}

func (s *Server) configure() error {
	config := "listeners.tcp.1 = " + s.Addr() + "\n" +
		"log.console = true\nlog.console.level = info\nlog.file = false\n" +
		// Somebody's full disk is not what is tested.
		"disk_free_limit.absolute = 1MB\n"

	return errors.Join(
		os.WriteFile(s.path("rabbitmq.conf"), []byte(config), 0o600),
		os.WriteFile(s.path("rabbitmq-env.conf"), nil, 0o600),
		os.WriteFile(s.path("enabled_plugins"), []byte("[].\n"), 0o600),
	)
}

// run starts the node, and returns when it accepts connections.
func (s *Server) run() error {
	log, err := os.Create(s.path("node.log"))
	if err != nil {
		return err
	}
	defer log.Close()

	cmd := exec.Command(s.programs.server)
	cmd.Dir = s.dir
	cmd.Env = s.environment()
	cmd.Stdout, cmd.Stderr = log, log

	if s.node, err = servertest.Start(cmd); err != nil {
		return fmt.Errorf("starting RabbitMQ: %w", err)
	}

	notReady := s.await()
	if notReady == nil {
		return nil
	}

	s.node.Kill()

	said, err := os.ReadFile(log.Name())
	if err != nil {
		return err
	}

	for _, taken := range []string{"eaddrinuse", "dist_port_already_used"} {
		if strings.Contains(string(said), taken) {
			return servertest.ErrPortTaken
		}
	}

	return fmt.Errorf("RabbitMQ does not start: %w\n%s", notReady, said)
}

// await returns nil when the node accepts connections. Booting takes seven seconds of processor time, and minutes while other tests need
// the processor.
func (s *Server) await() (err error) {
	for range 3 {
		if err = servertest.Poll(s.ready, s.node.Ended()); err == nil || s.node.IsEnded() {
			break
		}
	}

	return err
}

func (s *Server) environment() []string {
	arguments := append(make([]string, 0, 1+len(s.settings)), "-kernel inet_dist_use_interface {127,0,0,1}")
	for _, setting := range s.settings {
		arguments = append(arguments, "-rabbit "+setting)
	}

	return []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + s.dir, // the cookie is there
		"LANG=C.UTF-8",
		"ERL_CRASH_DUMP=/dev/null",
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT=" + strconv.Itoa(s.mapperPort),
		"NOTIFY_SOCKET=" + s.path("no-systemd"), // the script becomes the node instead of starting it
		"RABBITMQ_NODENAME=onlyonce-" + strconv.Itoa(s.port) + "@localhost",
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(s.distribution),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + strings.Join(arguments, " "),
		"RABBITMQ_CONFIG_FILE=" + s.path("rabbitmq.conf"),
		"RABBITMQ_CONF_ENV_FILE=" + s.path("rabbitmq-env.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + s.path("enabled_plugins"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + s.path("generated"),
		"RABBITMQ_SCHEMA_DIR=" + s.path("schema"),
		"RABBITMQ_MNESIA_BASE=" + s.path("mnesia"),
		"RABBITMQ_LOG_BASE=" + s.path("log"),
		"RABBITMQ_LOGS=-",
	}
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// ready returns nil if the server answers the first bytes of AMQP.
func (s *Server) ready() error {
	conn, err := net.DialTimeout("tcp", s.Addr(), servertest.Patience)
	if err != nil {
		return err
	}
	defer conn.Close()

	if err := conn.SetDeadline(time.Now().Add(servertest.Patience)); err != nil {
		return err
	}

	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}

	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return err
	}

	if first[0] != 1 { // a method frame
		return fmt.Errorf("%w: something else has %s", servertest.ErrPortTaken, s.Addr())
	}

	return nil
}

func dial(port int) error {
	conn, err := net.DialTimeout("tcp", servertest.Address(port), servertest.Patience)
	if err != nil {
		return err
	}

	return conn.Close()
}
