//go:build !unix

package main

// redisPrograms are the redis-server of this machine.
func redisPrograms() []redisProgram { return []redisProgram{installedRedis()} }
