package servertest

import "syscall"

// endWithParent lets the kernel kill a child whose parent has ended, however that ended.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
