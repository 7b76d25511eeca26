package redistest

import "syscall"

// endWithParent lets the kernel kill a child whose parent has ended, however that ended.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
