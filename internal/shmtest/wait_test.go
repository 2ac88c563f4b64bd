package shmtest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder is a testing.TB that notes a failure instead of failing.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	panic(r)
}

// failure returns what f reports as its failure, "" for none.
func failure(t *testing.T, f func(t testing.TB)) (msg string) {
	t.Helper()
	r := &recorder{TB: t}
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
		msg = r.failure
	}()
	f(r)
	return
}

func TestStillBlocked(t *testing.T) {
	silent, full, closed := make(chan int), make(chan int, 1), make(chan int)
	full <- 7
	close(closed)
	tests := []struct {
		name string
		ch   chan int
		want string
	}{
		{"nothing arrives", silent, ""},
		{"a value arrives", full, "recv: got 7 (open true)"},
		{"closed", closed, "recv: got 0 (open false)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := failure(t, func(t testing.TB) { shmtest.StillBlocked(t, tt.ch, "recv") })
			if tt.want == "" {
				assert.Empty(t, got)
				return
			}
			assert.Contains(t, got, tt.want)
		})
	}
}

func TestSoon(t *testing.T) {
	ch := make(chan string)
	go func() { ch <- "word" }()
	assert.Equal(t, "word", shmtest.Soon(t, ch, "word"))
	close(ch)
	assert.Empty(t, shmtest.Soon(t, ch, "end"))
}

func TestSoonLosesPatience(t *testing.T) {
	t.Setenv("SHMTEST_PATIENCE", "20ms")
	msg := failure(t, func(t testing.TB) { shmtest.Soon(t, make(chan int), "an answer") })
	assert.Contains(t, msg, "an answer: nothing within 20ms")
	assert.Contains(t, msg, "TestSoonLosesPatience", "stacks of all goroutines")
}

func TestEventuallyLosesPatience(t *testing.T) {
	t.Setenv("SHMTEST_PATIENCE", "20ms")
	msg := failure(t, func(t testing.TB) { shmtest.Eventually(t, "the end", func() bool { return false }) })
	assert.Contains(t, msg, "the end: still not so after 20ms")
	assert.Contains(t, msg, "TestEventuallyLosesPatience", "stacks of all goroutines")
}

func TestEventuallyAsksAgain(t *testing.T) {
	asked := 0
	shmtest.Eventually(t, "third time", func() bool { asked++; return asked == 3 })
	assert.Equal(t, 3, asked)
}

// TestBitten is the test that TestWatchdog watches.
func TestBitten(t *testing.T) {
	if os.Getenv("SHMTEST_BITTEN") == "" {
		t.Skip("runs as a child of TestWatchdog only")
	}
	shmtest.Watchdog(t, time.Millisecond)
	select {}
}

func TestWatchdog(t *testing.T) {
	shmtest.Watchdog(t, time.Hour) // this one does nothing
	out, status := runSelf(t, "SHMTEST_BITTEN=1", "-test.run=^TestBitten$")
	assert.Equal(t, 2, status)
	assert.Regexp(t, `watchdog: TestBitten still runs after \d+ms`, out) // longer under an emulator
	assert.Contains(t, out, "shmtest_test.TestBitten(", "stacks of all goroutines")
}

func TestRandRepeats(t *testing.T) {
	t.Setenv("SHMTEST_SEED", "42")
	a, b := shmtest.Rand(t), shmtest.Rand(t)
	for range 100 {
		assert.Equal(t, a.Uint64(), b.Uint64())
	}
	t.Setenv("SHMTEST_SEED", "x")
	assert.Contains(t, failure(t, func(t testing.TB) { shmtest.Rand(t) }), "SHMTEST_SEED")
	t.Setenv("SHMTEST_SEED", "")
	assert.NotEqual(t, shmtest.Rand(t).Uint64(), shmtest.Rand(t).Uint64())
}

func TestSocketPath(t *testing.T) {
	var path string
	t.Run("short and fresh "+strings.Repeat("x", 100), func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir())
		path = shmtest.SocketPath(t)
		assert.Less(t, len(path), 104)
		assert.NotEqual(t, path, shmtest.SocketPath(t))
		require.NoFileExists(t, path)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	})
	assert.NoFileExists(t, path, "removed with its test")
}
