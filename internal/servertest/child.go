//go:build unix

package servertest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Child is a process that ends with this process.
type Child struct {
	process *os.Process
	ended   chan struct{}
}

// Start starts a process.
func Start(cmd *exec.Cmd) (*Child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}

	endWithParent(cmd.SysProcAttr)

	c := &Child{ended: make(chan struct{})}
	started := make(chan error)

	go func() {
		// For the kernel, the parent is this thread. It must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.ended)

		err := cmd.Start()
		c.process = cmd.Process
		started <- err

		if err == nil {
			_ = cmd.Wait() // the error of a killed process
		}
	}()

	if err := <-started; err != nil {
		<-c.ended

		return nil, err
	}

	return c, nil
}

// PID returns the process ID.
func (c *Child) PID() int { return c.process.Pid }

// Ended is closed when the process has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// IsEnded reports whether the process has ended.
func (c *Child) IsEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// Signal sends a signal to the process, not to its children.
func (c *Child) Signal(sig syscall.Signal) error { return c.process.Signal(sig) }

// Kill kills the process, and waits for its end.
func (c *Child) Kill() {
	_ = c.process.Kill() // fails if it has ended
	<-c.ended
}
