//go:build unix

package main

import (
	"os/exec"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

// redisPrograms are the redis-server of this machine, and the releases of Valkey that the environment names: see
// [servers.Variable]. They are downloaded where they are not there.
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
