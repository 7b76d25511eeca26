package servertest

import "syscall"

// endWithParent makes the kernel kill a child whose parent has ended.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
