//go:build unix

package main

import (
	"bytes"
	"context"
	"os/exec"
	"syscall"
	"time"
)

// grace is how long commands may run after an interrupt.
const grace = 20 * time.Second

// execute runs a command with a shell.
func execute(ctx context.Context, text string) result {
	var output bytes.Buffer

	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text) //nolint:gosec // commands are what it runs
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace

	began := time.Now()
	err := cmd.Run()
	r := result{command: text, err: err, took: time.Since(began)}

	if cmd.Process != nil && ctx.Err() != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails if the group is empty
	}

	if state := cmd.ProcessState; state != nil {
		r.cpu = state.UserTime() + state.SystemTime()
	}

	r.output = output.Bytes()

	return r
}
