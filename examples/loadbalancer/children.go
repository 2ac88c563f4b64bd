package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	readyWait = 10 * time.Second // for a child to start
	graceTime = 3 * time.Second  // for a child to end when asked to
)

// A child is a process that runs this same program in another role. Its standard input is its lifeline.
type child struct {
	name string
	addr string // where it listens

	cmd      *exec.Cmd
	lifeline io.Closer

	ended  chan struct{} // closed when the process is reaped; what follows is valid then
	reaped time.Time
	err    error // as [exec.Cmd.Wait] returns it
}

// runnerEnv names an environment variable that tests of another architecture set to the command that its programs are
// run with, such as "qemu-aarch64".
const runnerEnv = "SHMTEST_RUNNER"

// selfCommand returns the command that executes this program again with args.
func selfCommand(args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	words := append(strings.Fields(os.Getenv(runnerEnv)), exe)
	words = append(words, args...)
	return exec.Command(words[0], words[1:]...), nil
}

// startChild starts a child and waits until it has announced its address.
func startChild(name string, stderr io.Writer, args ...string) (*child, error) {
	cmd, err := selfCommand(args...)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = stderr
	cmd.WaitDelay = graceTime
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make lifeline of %s: %w", name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make output of %s: %w", name, err), lifeline.Close())
	}
	// Start closes both pipes if it fails.
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, lifeline: lifeline, ended: make(chan struct{})}
	addr, err := readAnnouncement(stdout, func() { _ = cmd.Process.Kill() })
	go c.reap() // Wait closes stdout, so it had to be read before
	if err != nil {
		_ = cmd.Process.Kill()
		<-c.ended
		return nil, fmt.Errorf("wait for %s to be ready: %w", name, err)
	}
	c.addr = addr
	return c, nil
}

// readAnnouncement returns the address in the first line of a child's output. When none comes in time it calls giveUp,
// which must end the output.
func readAnnouncement(stdout io.Reader, giveUp func()) (string, error) {
	timer := time.AfterFunc(readyWait, giveUp)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if !timer.Stop() {
		return "", fmt.Errorf("it said nothing for %v", readyWait)
	}
	addr, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), announcement)
	if err != nil || !ok {
		return "", fmt.Errorf("its first line is %q, want %q and an address", line, announcement)
	}
	return addr, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) reap() {
	c.err = c.cmd.Wait()
	c.reaped = time.Now()
	close(c.ended)
}

// kill sends SIGKILL and waits until the process is gone.
func (c *child) kill() (killing, error) {
	k := killing{victim: c.name, sent: time.Now()}
	if err := c.cmd.Process.Kill(); err != nil {
		return killing{}, fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-c.ended
	k.gone = c.reaped
	return k, nil
}

// stop ends the child in an orderly way and says whether it did end so. One that is dead already is none of its
// business.
func (c *child) stop() error {
	select {
	case <-c.ended:
		return nil
	default:
	}
	if err := c.lifeline.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close lifeline of %s: %w", c.name, err)
	}
	timer := time.AfterFunc(graceTime, func() { _ = c.cmd.Process.Kill() })
	<-c.ended
	if !timer.Stop() {
		return fmt.Errorf("%s did not end within %v of being asked to", c.name, graceTime)
	}
	if c.err != nil {
		return fmt.Errorf("end of %s: %w", c.name, c.err)
	}
	return nil
}

// A killing is a SIGKILL as seen from outside. It is a span and no point: the kernel needs a while to take a process
// apart, and until it has closed the last socket the process takes connections.
type killing struct {
	victim string
	sent   time.Time // before the kill
	gone   time.Time // after the process was reaped
}
