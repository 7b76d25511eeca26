package main

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel kill a child whose parent has ended. The child also notices the end of its input, unless it is stopped.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
