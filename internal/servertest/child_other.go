//go:build unix && !linux

package servertest

import "syscall"

// endWithParent does nothing: a server may outlive a test that is killed before its cleanup.
func endWithParent(*syscall.SysProcAttr) {}
