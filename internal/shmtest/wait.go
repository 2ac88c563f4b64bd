package shmtest

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// patienceEnv names the environment variable that overrides how long tests wait, for very slow machines ("1m").
const patienceEnv = "SHMTEST_PATIENCE"

// patience returns how long a test waits for something that must happen: long enough for a loaded machine.
func patience() time.Duration {
	if d, err := time.ParseDuration(os.Getenv(patienceEnv)); err == nil {
		return d
	}
	return 10 * time.Second * slowness()
}

// slowness returns how many times as long as usual things may take: emulated processes start slowly.
func slowness() time.Duration {
	if os.Getenv(runnerEnv) != "" {
		return 6
	}
	return 1
}

// Watchdog ends the process with exit status 2 and the stacks of all goroutines unless the test ends within d (six
// times that under an emulator). It is for tests that may hang where no channel can be watched.
func Watchdog(t testing.TB, d time.Duration) {
	t.Helper()
	name := t.Name()
	d *= slowness()
	timer := time.AfterFunc(d, func() {
		fmt.Fprintf(os.Stderr, "shmtest: watchdog: %s still runs after %v\n%s", name, d, goroutines())
		os.Exit(2)
	})
	t.Cleanup(func() { timer.Stop() })
}

// StillBlocked fails the test if something arrives on ch (or ch is closed) within 50 ms: whoever would send is blocked.
func StillBlocked[T any](t testing.TB, ch <-chan T, what string) {
	t.Helper()
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case v, ok := <-ch:
		t.Fatalf("%s: got %v (open %t); want it still blocked", what, v, ok)
	case <-timer.C:
	}
}

// Soon returns what arrives on ch, the zero value if ch is closed. It fails the test with the stacks of all goroutines
// if nothing arrives within 10 s. It must be called from the test's goroutine.
func Soon[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(patience())
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		t.Fatalf("%s: nothing within %v\n%s", what, patience(), goroutines())
		panic("unreachable")
	}
}

// Eventually returns once cond is true; it asks again and again, in the caller's goroutine. It fails the test with the
// stacks of all goroutines if cond is still false after 10 s. It must be called from the test's goroutine.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !poll(patience(), cond) {
		t.Fatalf("%s: still not so after %v\n%s", what, patience(), goroutines())
	}
}

// poll asks cond, ever more slowly, until it is true or d has passed, and reports the last answer.
func poll(d time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(d)
	for pause := 100 * time.Microsecond; !cond(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// goroutines returns the stacks of all goroutines.
func goroutines() []byte {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return buf[:n]
		}
		buf = make([]byte, 2*len(buf))
	}
}
