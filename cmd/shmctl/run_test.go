package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"lss"},
		{"ls", "--frobnicate"},
		{"ls", "extra"},
		{"ls", "-o", "xml"},
		{"info"},
		{"info", "a", "b"},
		{"info", "a", "-o", "yaml"},
		{"version", "-o", ""},
		{"version", "extra"},
	} {
		o := shmctl(args...)
		assert.Equal(t, statusUsage, o.status, "%q", args)
		assert.Empty(t, o.stdout, "%q", args)
		assert.True(t, strings.HasPrefix(o.stderr, "shmctl: "), "%q: %q", args, o.stderr)
		assert.Contains(t, o.stderr, "--help", "%q", args)
	}
}

func TestHelpAndCompletion(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"help", "info"}, {"completion", "bash"}} {
		o := shmctl(args...)
		assert.Equal(t, statusOK, o.status, "%q", args)
		assert.Contains(t, o.stdout, "shmctl", "%q", args)
		assert.Empty(t, o.stderr, "%q", args)
	}
}

func TestVersion(t *testing.T) {
	o := shmctl("version")
	assert.Equal(t, statusOK, o.status)
	assert.Regexp(t, `^shmctl \S+ go\S+ \w+/\w+\n$`, o.stdout)
	o = shmctl("version", "-o", "json")
	assert.Equal(t, statusOK, o.status)
	assert.Contains(t, o.stdout, `"schema": "shmctl/v1"`)
}

func TestNoSuchDirectory(t *testing.T) {
	for _, command := range [][]string{{"ls"}, {"info", "x"}} {
		o := shmctl(append(command, "--dir", filepath.Join(t.TempDir(), "none"))...)
		assert.Equal(t, statusNotFound, o.status)
		assert.Empty(t, o.stdout)
		assert.Contains(t, o.stderr, "none")
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var stdout, stderr bytes.Buffer
	assert.Equal(t, statusInterrupted, run(ctx, []string{"ls", "--dir", dirWith(t, "x")}, &stdout, &stderr))
	assert.Empty(t, stdout.String())
	assert.Empty(t, stderr.String())
}

// dirWith returns a directory with a named segment in it that is none.
func dirWith(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shmwire."+name), []byte("nonsense"), 0o600))
	return dir
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestOutputThatCannotBeWritten(t *testing.T) {
	var stderr bytes.Buffer
	status := run(context.Background(), []string{"version"}, brokenWriter{errors.New("no space left")}, &stderr)
	assert.Equal(t, statusNotFound, status)
	assert.Contains(t, stderr.String(), "no space left")
}

func TestClosedOutput(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"ls", "--dir", t.TempDir()}, {"completion", "bash"}, {"--help"}} {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, r.Close())
		var stderr bytes.Buffer
		assert.Equal(t, statusOK, run(context.Background(), args, w, &stderr), "%q", args)
		assert.NotContains(t, stderr.String(), "pipe", "%q", args)
		require.NoError(t, w.Close())
	}
}

// The whole program, whose standard output is closed by the reader: no signal, no complaint.
func TestClosedOutputOfTheProgram(t *testing.T) {
	out, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, out.Close())
	lifeline, keep, err := os.Pipe()
	require.NoError(t, err)
	defer keep.Close()
	cmd := shmtest.Command(t, "version")
	cmd.Env = append(os.Environ(), "SHMTEST_ROLE=main")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = lifeline, w, &stderr
	assert.NoError(t, cmd.Run())
	assert.Empty(t, stderr.String())
	require.NoError(t, errors.Join(w.Close(), lifeline.Close()))
}

func TestProgramPrints(t *testing.T) {
	child := shmtest.Child(t, "main", "version")
	assert.Contains(t, child.Line(), "shmctl ")
	assert.Zero(t, child.Wait())
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"orders": "orders", "größe 5": "größe 5", "a\tb\nc": `a\tb\nc`, "\x1b[2J": `\x1b[2J`, "\xff": `�`,
	} {
		assert.Equal(t, want, printable(in))
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1000: "1000B", 1024: "1KiB", 1536: "1536B", 256 << 10: "256KiB", 1 << 30: "1GiB", 5 << 50: "5120TiB"} {
		assert.Equal(t, want, bytesText(n))
	}
}
