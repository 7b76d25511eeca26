package child

import (
	"os/exec"
	"syscall"
)

// endWithParent lets the kernel kill a child whose parent has ended. The child notices it by itself as well, when its standard
// input ends, unless it is stopped.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
