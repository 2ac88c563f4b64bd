package shmtest

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runnerEnv names the environment variable that holds the command to run test binaries of another architecture with,
// such as "qemu-aarch64 -L /usr/aarch64-linux-gnu".
const runnerEnv = "SHMTEST_RUNNER"

// Process is a child started by [Child], [ChildFiles] or [Program]. Its methods may be called from the test's goroutine
// only, except PID, Kill, Signal and CutLifeline, which any goroutine may call. It is killed and reaped when the test
// ends.
type Process struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	stdin *os.File      // our end of the lifeline
	lines chan string   // closed at the end of the child's output
	quiet chan struct{} // closed when nobody wants lines any more
	done  chan struct{} // closed when the child is reaped
}

// Command returns a command that executes the running test binary with args, through the runner named in the
// environment variable SHMTEST_RUNNER if that is set. With it a test can run the tests themselves as a child.
func Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatalf("find test binary: %v", err)
	}
	words := append(strings.Fields(os.Getenv(runnerEnv)), exe)
	words = append(words, args...)
	return exec.Command(words[0], words[1:]...)
}

// Child executes the test binary again as a child process in the given role.
func Child(t testing.TB, role string, args ...string) *Process {
	t.Helper()
	return ChildFiles(t, nil, role, args...)
}

// ChildFiles is [Child] with open files: the child has duplicates of them as descriptors 3, 4 and so on. The caller
// keeps its own.
func ChildFiles(t testing.TB, files []*os.File, role string, args ...string) *Process {
	t.Helper()
	cmd := Command(t, args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.ExtraFiles = files
	return startProcess(t, role, cmd)
}

// Program executes another program as a child, without the runner of SHMTEST_RUNNER. It has to end when its standard
// input does, which is its lifeline as that of any child.
func Program(t testing.TB, path string, args ...string) *Process {
	t.Helper()
	return startProcess(t, filepath.Base(path), exec.Command(path, args...))
}

func startProcess(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{
		t: t, name: name, cmd: cmd,
		lines: make(chan string, 64), quiet: make(chan struct{}), done: make(chan struct{}),
	}
	stdout, err := p.start()
	if err != nil {
		t.Fatalf("start child %q: %v", name, err)
	}
	go p.readLines(stdout)
	go func() {
		defer close(p.done)
		// The status stands in ProcessState; an error here says no more than that it is not 0.
		_ = p.cmd.Wait()
	}()
	t.Cleanup(p.end)
	return p
}

// start starts the command between two pipes and returns our end of its output.
func (p *Process) start() (stdout *os.File, err error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, inR.Close(), inW.Close())
	}
	// Real files, so that exec copies nothing and reaping waits for the child alone.
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, os.Stderr
	err = errors.Join(p.cmd.Start(), inR.Close(), outW.Close())
	if p.cmd.Process == nil {
		return nil, errors.Join(err, inW.Close(), outR.Close())
	}
	p.stdin = inW
	return outR, nil
}

// readLines reads to the end of the output even when nobody wants it any more: a child must not block on us.
func (p *Process) readLines(stdout *os.File) {
	defer close(p.lines)
	defer stdout.Close()
	in := bufio.NewReader(stdout)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			select {
			case p.lines <- strings.TrimSuffix(line, "\n"):
			case <-p.quiet:
			}
		}
		if err != nil {
			return
		}
	}
}

// end is what the test's cleanup does. When it returns, nothing of p runs any more.
func (p *Process) end() {
	close(p.quiet)
	p.Kill()
	p.CutLifeline()
	timer := time.NewTimer(patience())
	defer timer.Stop()
	for {
		select {
		case _, more := <-p.lines:
			if !more {
				return
			}
		case <-timer.C:
			p.t.Errorf("somebody else holds the output of child %q (pid %d) open", p.name, p.PID())
			return
		}
	}
}

// PID returns the child's process number (the runner's, if there is one).
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Line returns the next line that the child wrote to its standard output, without the newline. The test fails if the
// output ends before, or if no line comes in time.
func (p *Process) Line() string {
	p.t.Helper()
	timer := time.NewTimer(patience())
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatalf("child %q (pid %d) ended its output with exit status %d; want a line", p.name, p.PID(), p.Wait())
		}
		return line
	case <-timer.C:
		p.t.Fatalf("child %q (pid %d) wrote no line within %v\n%s", p.name, p.PID(), patience(), goroutines())
	}
	return ""
}

// Send writes line and a newline to the child's standard input. The test fails if the child is gone.
func (p *Process) Send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("send %q to child %q (pid %d): %v", line, p.name, p.PID(), err)
	}
}

// Signal sends sig to the child. The test is marked as failed if that is impossible, for example because the child is
// already reaped.
func (p *Process) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Errorf("send %v to child %q (pid %d): %v", sig, p.name, p.PID(), err)
	}
}

// Kill kills the child (SIGKILL) and reaps it. It does nothing to one that has ended.
func (p *Process) Kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill child %q (pid %d): %v", p.name, p.PID(), err)
	}
	<-p.done
}

// CutLifeline closes our end of the child's standard input, as our own death would; the child ends with [OrphanStatus].
func (p *Process) CutLifeline() {
	p.t.Helper()
	if err := p.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		p.t.Errorf("close lifeline of child %q (pid %d): %v", p.name, p.PID(), err)
	}
}

// Wait waits until the child ends and returns its exit status, -1 if a signal ended it. The test fails if that does not
// happen in time.
func (p *Process) Wait() int {
	p.t.Helper()
	Soon(p.t, p.done, "end of child "+p.name)
	return p.cmd.ProcessState.ExitCode()
}
