package shmtest_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// leakEnv tells TestLeakOnPurpose, run as a child, what to leave behind.
const leakEnv = "SHMTEST_LEAK"

// shmDirEnv tells the leak check where segments are: one left on purpose in /dev/shm would be found by the tests of other
// packages too.
const shmDirEnv = "SHMTEST_SHMDIR"

// runSelf runs this test binary with more environment variables (separated by blanks) and returns its output and exit status.
func runSelf(t *testing.T, env string, args ...string) (out string, status int) {
	t.Helper()
	cmd := shmtest.Command(t, append(args, "-test.count=1")...)
	cmd.Env = append(os.Environ(), strings.Fields(env)...)
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// leakCase is one way to leave something behind. dir is where segments are looked for.
type leakCase struct {
	prepare func(t *testing.T, dir string) // by the test that looks on, before
	make    func(t *testing.T, dir string) // by the test that leaks
	want    string                         // in the report; "" = nothing is found
}

// leaks returns the cases by name.
func leaks() map[string]leakCase {
	cases := map[string]leakCase{
		"nothing":   {make: func(*testing.T, string) {}},
		"goroutine": {make: func(*testing.T, string) { go func() { select {} }() }, want: "goroutine: found unexpected goroutines"},
		"late-end":  {make: func(*testing.T, string) { go func() { <-time.After(300 * time.Millisecond) }() }},
	}
	maps.Copy(cases, systemLeaks())
	return cases
}

// TestLeakOnPurpose leaves behind what leakEnv says.
func TestLeakOnPurpose(t *testing.T) {
	leak, ok := leaks()[os.Getenv(leakEnv)]
	if !ok {
		t.Skip("runs as a child of TestLeaksAreFound only")
	}
	leak.make(t, os.Getenv(shmDirEnv))
}

func TestLeaksAreFound(t *testing.T) {
	for name, leak := range leaks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if leak.prepare != nil {
				leak.prepare(t, dir)
			}
			env := leakEnv + "=" + name + " " + shmDirEnv + "=" + dir
			out, status := runSelf(t, env, "-test.run=^TestLeakOnPurpose$")
			assert.Contains(t, out, "PASS", "the tests themselves")
			if leak.want == "" {
				assert.Zero(t, status, out)
				assert.NotContains(t, out, "left behind")
				return
			}
			assert.Equal(t, 1, status)
			assert.Contains(t, out, "left behind")
			assert.Contains(t, out, leak.want)
			assert.Equal(t, 1, strings.Count(out, "\n  "+strings.Fields(leak.want)[0]), "found once, and nothing else:\n%s", out)
		})
	}
}

func TestOtherRunsAreLeftAlone(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"list", []string{"-test.list=^TestBitten$"}, "TestBitten"},
		{"no tests", []string{"-test.run=^$"}, "no tests to run"},
		{"fuzzing", []string{
			"-test.run=^$", "-test.fuzz=^FuzzLength$", "-test.fuzztime=20x", "-test.parallel=1",
			"-test.fuzzcachedir=" + t.TempDir(),
		}, "PASS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, status := runSelf(t, runnableName(t), tt.args...)
			assert.Zero(t, status, out)
			assert.Contains(t, out, tt.want)
		})
	}
}

// runnableName returns the environment that lets a fuzzing test execute itself, as it does by the name it was started
// by, also where that needs the runner: qemu-user gives the program another name then, that of a script.
func runnableName(t *testing.T) string {
	t.Helper()
	runner := os.Getenv("SHMTEST_RUNNER")
	if runner == "" {
		return ""
	}
	script := filepath.Join(t.TempDir(), "self")
	text := fmt.Sprintf("#!/bin/sh\nexec %s %q \"$@\"\n", runner, os.Args[0])
	require.NoError(t, os.WriteFile(script, []byte(text), 0o700))
	return "QEMU_ARGV0=" + script
}

// FuzzLength exists to be fuzzed by TestOtherRunsAreLeftAlone.
func FuzzLength(f *testing.F) {
	f.Add("seed")
	f.Fuzz(func(t *testing.T, s string) {
		if got := len([]byte(s)); got != len(s) {
			t.Errorf("%d bytes of %d", got, len(s))
		}
	})
}

func TestFDs(t *testing.T) {
	before := shmtest.FDs(t)
	if runtime.GOOS != "linux" {
		assert.Nil(t, before)
		return
	}
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	fd := int(f.Fd())
	assert.NotContains(t, before, fd)
	assert.Equal(t, os.DevNull, shmtest.FDs(t)[fd])
	require.NoError(t, f.Close())
	assert.Equal(t, before, shmtest.FDs(t))
}
