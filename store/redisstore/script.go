package redisstore

import (
	"crypto/sha1" //nolint:gosec // the name that Redis gives a script
	"embed"
	"encoding/hex"
)

//go:embed lua
var luaFiles embed.FS

// script is one operation as the server runs it.
type script struct {
	name, source, sha string
}

// Scripts that end a run work while the server is out of memory: what has run must be recorded. A claim does not.
const (
	flagsNone     = "#!lua\n"
	flagsAllowOOM = "#!lua flags=allow-oom\n"
	flagsNoWrites = "#!lua flags=no-writes\n"
)

// scripts are all operations.
type scripts struct {
	claim, renew, complete, release, hold, resolve, lookup, forget script
}

func loadScripts() *scripts {
	return &scripts{
		claim:    load(flagsNone, "claim"),
		renew:    load(flagsAllowOOM, "renew"),
		complete: load(flagsAllowOOM, "complete"),
		release:  load(flagsAllowOOM, "release"),
		hold:     load(flagsAllowOOM, "hold"),
		resolve:  load(flagsAllowOOM, "resolve"),
		lookup:   load(flagsNoWrites, "lookup"),
		forget:   load(flagsAllowOOM, "forget"),
	}
}

// reads is how a script begins that has no short way.
const reads = "local stored = redis.call('GET', KEYS[1])\n"

func load(flags, name string) script {
	first := reads
	if name == "claim" || name == "complete" {
		first = read(name + "_first")
	}

	source := flags + first + read("record") + read(name)
	sum := sha1.Sum([]byte(source)) //nolint:gosec // as above

	return script{name: name, source: source, sha: hex.EncodeToString(sum[:])}
}

func read(name string) string {
	data, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // the files are part of this program
	}

	return string(data)
}
