//go:build unix

package redistest

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

func TestTheServerIsListedAsTested(t *testing.T) {
	t.Parallel()

	info, err := Standalone(t).section("server")
	if err != nil {
		t.Fatal(err)
	}

	server, version := "Redis", info["redis_version"]
	if info["valkey_version"] != "" { // Valkey also reports a version of Redis
		server, version = "Valkey", info["valkey_version"]
	}

	t.Log(server, version)

	if err := servers.Listed(server, version); err != nil {
		t.Error(err)
	}
}
