//go:build unix

package servertest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// status is the state of a process.
type status struct {
	parent int
	state  string // a letter: T is stopped, Z is a zombie
}

func (s status) isStopped() bool { return strings.HasPrefix(s.state, "T") || s.isDead() }

func (s status) isDead() bool {
	return s.state == "" || strings.HasPrefix(s.state, "Z") || strings.HasPrefix(s.state, "X")
}

// Pause stops the process and its children with SIGSTOP.
func (c *Child) Pause() error {
	children, err := c.freeze()

	return errors.Join(err, signalAll(children, syscall.SIGSTOP))
}

// Resume continues the process and its children.
func (c *Child) Resume() error {
	all, err := processes()
	if err != nil {
		return err
	}

	return errors.Join(signalAll(c.among(all), syscall.SIGCONT), c.Signal(syscall.SIGCONT))
}

// KillTree kills the process and its children, and waits for their end. If the process has already ended, its children are unknown and
// stay.
func (c *Child) KillTree() error {
	children, err := c.freeze()
	if errors.Is(err, os.ErrProcessDone) {
		<-c.ended

		return nil
	}

	err = errors.Join(err, signalAll(children, syscall.SIGKILL))
	c.Kill()

	return errors.Join(err, Poll(func() error {
		all, err := processes()
		if err != nil {
			return err
		}

		for _, pid := range children {
			if !all[pid].isDead() {
				return fmt.Errorf("process %d does not end", pid)
			}
		}

		return nil
	}, nil))
}

// freeze stops the process, and returns its children once there can be no new ones.
func (c *Child) freeze() (children []int, err error) {
	if err := c.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}

	err = Poll(func() error {
		all, err := processes()
		if err != nil {
			return err
		}

		if !all[c.PID()].isStopped() {
			return fmt.Errorf("process %d does not stop", c.PID())
		}

		children = c.among(all)

		return nil
	}, c.ended)

	return children, err
}

func (c *Child) among(all map[int]status) (children []int) {
	for pid, s := range all {
		if s.parent == c.PID() {
			children = append(children, pid)
		}
	}

	return children
}

func signalAll(pids []int, sig syscall.Signal) error {
	var failed []error

	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			failed = append(failed, fmt.Errorf("sending %v to process %d: %w", sig, pid, err))
		}
	}

	return errors.Join(failed...)
}
