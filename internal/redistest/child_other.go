//go:build unix && !linux

package redistest

import "syscall"

// endWithParent does nothing here: a server outlives tests that are killed before their cleanups.
func endWithParent() *syscall.SysProcAttr { return nil }
