package redisstore

import (
	"crypto/sha1" //nolint:gosec // the name that Redis gives a script
	"embed"
	"encoding/hex"
	"strings"
)

//go:embed lua
var luaFiles embed.FS

// script is an operation that the server runs.
type script struct {
	name, source, sha string
	// reads means that the reply may contain an outcome.
	reads bool
}

// Scripts that end a run work while the server is out of memory, because the outcome of a run must be recorded. A claim does not.
const (
	flagsNone     = "#!lua\n"
	flagsAllowOOM = "#!lua flags=allow-oom\n"
	flagsNoWrites = "#!lua flags=no-writes\n"
)

// scripts has all scripts.
type scripts struct {
	claim, renew, complete, swap, release, hold, resolve, lookup, listed, forget, enter, leave, due, turn, set script
}

func loadScripts() *scripts {
	record := read("record")

	return &scripts{
		claim:    load(flagsNone, "claim", read("claim_first"), record, read("claim")),
		renew:    load(flagsAllowOOM, "renew", fetch, record, read("renew")),
		complete: load(flagsAllowOOM, "complete", heal, record, read("complete")),
		swap:     load(flagsAllowOOM, "swap", read("swap")),
		release:  load(flagsAllowOOM, "release", fetch, record, read("release")),
		hold:     load(flagsAllowOOM, "hold", fetch, record, read("hold")),
		resolve:  load(flagsAllowOOM, "resolve", fetch, record, read("resolve")),
		lookup:   load(flagsNoWrites, "lookup", fetch, record, read("lookup")),
		listed:   load(flagsNoWrites, "listed", fetch, record, read("listed")),
		forget:   load(flagsAllowOOM, "forget", read("forget")),
		enter:    load(flagsAllowOOM, "enter", read("enter")),
		leave:    load(flagsAllowOOM, "leave", read("leave")),
		due:      load(flagsNoWrites, "due", read("due")),
		turn:     load(flagsAllowOOM, "turn", read("turn")),
		set:      load(flagsAllowOOM, "set", read("set")),
	}
}

// fetch is the beginning of most scripts. A script that begins with heal also reads a record that has lost its expiry.
const (
	fetch = "local heals, stored = false, redis.call('GET', KEYS[1])\n"
	heal  = "local heals, stored = true, redis.call('GET', KEYS[1])\n"
)

// load joins the parts of a script.
func load(flags, name string, parts ...string) script {
	source := flags + strings.Join(parts, "")
	sum := sha1.Sum([]byte(source)) //nolint:gosec // as above

	return script{
		name: name, source: source, sha: hex.EncodeToString(sum[:]), reads: name == "claim" || name == "lookup",
	}
}

func read(name string) string {
	data, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // the files are part of this program
	}

	return string(data)
}
