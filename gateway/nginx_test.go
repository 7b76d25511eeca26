//go:build unix

package oncegateway_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// nginx is a server of a test: it has a port for HTTP/1.1 and a port for HTTP/2 without TLS.
type nginx struct {
	http, grpc string // addresses
}

// nginxProgram finds nginx, which Debian keeps where only root looks.
func nginxProgram(t *testing.T) string {
	t.Helper()

	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}

	t.Fatal("nginx is missing: run make servers, or install what your system calls nginx")

	return ""
}

// output is what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.text.String()
}

// startNginx starts nginx in a folder of its own. Upstream has the servers of the upstream "backend", and location the directives of
// the location of both ports.
func startNginx(t *testing.T, location string, upstream ...net.Addr) *nginx {
	t.Helper()

	n := &nginx{servertest.Address(servertest.ProposePort()), servertest.Address(servertest.ProposePort())}
	dir := t.TempDir()

	var backend strings.Builder
	for _, addr := range upstream {
		fmt.Fprintf(&backend, "    server %s max_fails=0;\n", addr)
	}

	conf := strings.NewReplacer("DIR", dir, "HTTP", n.http, "GRPC", n.grpc, "BACKEND", backend.String(), "LOCATION", location).Replace(`
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  upstream backend {
BACKEND  }
  server {
    listen HTTP;
    location / { LOCATION }
  }
  server {
    listen GRPC http2;
    location / { LOCATION }
  }
}
`)

	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}

	log := &output{}
	cmd := exec.CommandContext(context.Background(), nginxProgram(t), "-p", dir, "-c", file, "-e", "stderr")
	cmd.Stdout, cmd.Stderr = log, log

	child, err := servertest.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := child.KillTree(); err != nil {
			t.Error(err)
		}

		if t.Failed() {
			t.Log(log)
		}
	})

	for _, addr := range []string{n.http, n.grpc} {
		servertest.Wait(t, "nginx", func() error {
			if child.IsEnded() {
				t.Fatalf("nginx has ended: %s", log)
			}

			conn, err := net.Dial("tcp", addr)
			if err == nil {
				err = conn.Close()
			}

			return err
		})
	}

	return n
}
