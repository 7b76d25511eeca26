//go:build unix

package main

import (
	"os/exec"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

// redisPrograms returns the redis-server of this machine, and the releases of Valkey that the environment names: see
// [servers.Variable]. It downloads missing releases.
func redisPrograms() []redisProgram {
	all := []redisProgram{installedRedis()}

	for _, release := range []string{servers.Valkey8, servers.Valkey9} {
		if servers.Chosen(release) {
			all = append(all, redisProgram{release, func() (func(args ...string) *exec.Cmd, error) {
				program, err := servers.Find(release)

				return program.Command, err
			}})
		}
	}

	return all
}
