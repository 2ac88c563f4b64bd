package bench_test

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed cref/*.c cref/*.h
var referenceSources embed.FS

// compileReference builds the C reference in a directory that goes with tb and returns the program's path. The error
// says why there is none.
func compileReference(tb testing.TB) (string, error) {
	tb.Helper()
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("the C reference is for Linux, not %s", runtime.GOOS)
	}
	cc, err := exec.LookPath(compilerName())
	if err != nil {
		return "", fmt.Errorf("no C compiler: %w", err)
	}
	dir := tb.TempDir()
	sources, err := fs.Glob(referenceSources, "cref/*")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "cref")
	args := []string{"-O2", "-std=c11", "-D_GNU_SOURCE", "-o", program}
	for _, name := range sources {
		text, err := referenceSources.ReadFile(name)
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "", err
		}
		if strings.HasSuffix(name, ".c") {
			args = append(args, path)
		}
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the C reference: %w\n%s", err, out)
	}
	return program, nil
}

// compilerName is what the environment calls the C compiler, "cc" if it says nothing.
func compilerName() string {
	if cc := os.Getenv("CC"); cc != "" {
		return cc
	}
	return "cc"
}

// reference is a running C reference: processes of its own on the same processors as those of a pair. They block while
// they have no command.
type reference struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// startReference starts program for rings of at most ringBytes, one of which can have that many producers; it is ended
// when tb ends.
func startReference(tb testing.TB, program string, cpus cpuPair, ringBytes, producers int) (*reference, error) {
	tb.Helper()
	cmd := exec.Command(program)
	for _, arg := range []int{cpus[0], cpus[1], ringBytes, producers} {
		cmd.Args = append(cmd.Args, strconv.Itoa(arg))
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	tb.Cleanup(func() {
		_ = in.Close() // it ends at the end of its input
		if err := cmd.Wait(); err != nil {
			tb.Errorf("the C reference ended badly: %v", err)
		}
	})
	return &reference{in, bufio.NewReader(out)}, nil
}

// run has the reference do one slice, with code compiled for that size if fixed says so.
func (r *reference) run(command string, size, ring, batch int, d time.Duration, fixed bool) (sample, error) {
	option := ""
	if fixed {
		option = "fixed"
	}
	if _, err := fmt.Fprintln(r.in, command, size, ring, batch, d.Nanoseconds(), option); err != nil {
		return sample{}, fmt.Errorf("order the C reference: %w", err)
	}
	line, err := r.out.ReadString('\n')
	if err != nil {
		return sample{}, fmt.Errorf("hear the C reference: %w", err)
	}
	return parseReference(strings.TrimSuffix(line, "\n"))
}

// parseReference reads an answer of the reference.
func parseReference(line string) (s sample, err error) {
	if text, failed := strings.CutPrefix(line, "error "); failed {
		return s, fmt.Errorf("C reference: %s", text)
	}
	n, err := fmt.Sscanf(line, "ok %d %f %f", &s.messages, &s.p50, &s.p99)
	if err != nil || n != 3 || s.messages < 0 || !(s.p50 >= 0 && s.p99 >= s.p50) { // not so also for NaN
		return sample{}, fmt.Errorf("C reference says %q, want \"ok MESSAGES P50 P99\"", line)
	}
	return s, nil
}

// probe measures where the two processors stand to each other at the moment: the median of a ping-pong, in ns.
func (r *reference) probe(d time.Duration) (float64, error) {
	s, err := r.run("pingpong", 64, 1024, 1, d, false)
	return s.p50, err
}
