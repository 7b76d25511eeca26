//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settling is how long a signal may take to arrive on an idle machine.
const settling = 5 * time.Millisecond

// process is a process at one moment.
type process struct {
	pid, parent int
	state       byte // as in /proc/PID/stat
}

// runs reports whether a process is neither stopped nor ended.
func (p process) runs() bool { return !strings.ContainsRune("TtZXx", rune(p.state)) }

// adoptOrphans makes this process the parent of all descendants whose parents end.
func adoptOrphans() error {
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER

	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}

	return nil
}

// stopDescendants stops the running descendants of a process. It returns them in the order in which it stopped them: parents before their
// children. So a child that its parent has stopped is seen as stopped, and is left alone.
func stopDescendants(root int) (stopped []int) {
	for {
		highest := highestRunning(processes(), root, stopped)
		if len(highest) == 0 {
			return stopped
		}

		for _, pid := range highest {
			_ = syscall.Kill(pid, syscall.SIGSTOP) // fails if it has ended, or belongs to another user
		}

		stopped = append(stopped, highest...)

		waitUntilStopped(highest)
	}
}

// resume continues processes, children before their parents. So a parent does not stop a child that is about to be continued.
func resume(stopped []int) {
	for _, pid := range slices.Backward(stopped) {
		_ = syscall.Kill(pid, syscall.SIGCONT) // fails if it was killed
	}
}

// waitUntilStopped waits until processes are stopped, and the signals that they have sent have arrived. It waits for about a second,
// because a process that waits for a disk does not stop.
func waitUntilStopped(pids []int) {
	for range time.Second / settling {
		time.Sleep(settling)

		if !slices.ContainsFunc(pids, func(pid int) bool {
			p, ok := read(pid)
			return ok && p.runs()
		}) {
			return
		}
	}
}

// highestRunning returns the running descendants of root that have no running ancestor below root. Members of stopped do not count as
// running.
func highestRunning(all []process, root int, stopped []int) (pids []int) {
	children := map[int][]process{}
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
	}

	for parents := []int{root}; len(parents) > 0; parents = parents[1:] {
		for _, p := range children[parents[0]] {
			if p.runs() && !slices.Contains(stopped, p.pid) {
				pids = append(pids, p.pid)
			} else {
				parents = append(parents, p.pid)
			}
		}
	}

	return pids
}

// processes returns all processes of the system.
func processes() (all []process) {
	folders, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right

	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			continue
		}

		if p, ok := read(pid); ok {
			all = append(all, p)
		}
	}

	return all
}

// read reads the state of a process. It returns false if the process is gone.
func read(pid int) (p process, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}

	return parse(pid, string(text))
}

// parse reads the text of /proc/PID/stat: 12 (name) S 1 … . A name may contain spaces and parentheses.
func parse(pid int, text string) (p process, ok bool) {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 || len(fields[0]) != 1 {
		return process{}, false
	}

	parent, err := strconv.Atoi(fields[1])

	return process{pid: pid, parent: parent, state: fields[0][0]}, err == nil
}
