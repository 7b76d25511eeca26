//go:build unix

package redistest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// child is a process that ends with this one.
type child struct {
	process *os.Process
	ended   chan struct{}
}

// startChild starts a process that writes to a log.
func startChild(log *os.File, name string, args ...string) (*child, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = endWithParent()

	c := &child{ended: make(chan struct{})}
	started := make(chan error)

	go func() {
		// The parent that the kernel looks at is the thread: it must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.ended)

		err := cmd.Start()
		c.process = cmd.Process
		started <- err

		if err == nil {
			_ = cmd.Wait() // that it was killed is no news
		}
	}()

	if err := <-started; err != nil {
		<-c.ended

		return nil, err
	}

	return c, nil
}

// kill ends the process at once, and returns when it has ended.
func (c *child) kill() {
	_ = c.process.Kill() // an error says that it has ended already
	<-c.ended
}

func (c *child) signal(sig syscall.Signal) error { return c.process.Signal(sig) }

func (c *child) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}
