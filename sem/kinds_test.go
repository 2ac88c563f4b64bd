package sem_test

import (
	"os"
	"testing"

	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/require"
)

// kind is one way to wait, for the suites that all of them must pass.
type kind struct {
	name string
	// exact: a ring has arrived when Ring returns, and a ring or interrupt from before Load leaves nothing behind.
	exact bool
	// restless: a signal may end a Wait with a timeout early. (The kernel restarts a futex wait only without one; the
	// runtime's preemption signal does it now and then.)
	restless bool
	// slow: every Wait takes a millisecond, since nobody tells the throttle of its success.
	slow bool
	open func(t testing.TB) (sem.Doorbell, sem.Waiter)
}

func kinds() []kind {
	return append(osKinds(), []kind{
		{name: "relay", exact: true, open: openRelay},
		{name: "relay fed by a pipe", open: openPipe},
		{name: "throttle", exact: true, open: openThrottle},
		{name: "throttle in a storm", exact: true, slow: true, open: openStorm},
	}...)
}

// forEachKind runs a test on each kind with a fresh doorbell and waiter, which it closes.
func forEachKind(t *testing.T, test func(t *testing.T, k kind, bell sem.Doorbell, w sem.Waiter)) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			bell, w := k.open(t)
			test(t, k, bell, w)
		})
	}
}

func closeAtEnd(t testing.TB, w sem.Waiter) {
	t.Cleanup(func() { require.NoError(t, w.Close()) })
}

type relayBell struct{ relay *sem.Relay }

func (b relayBell) Ring() { b.relay.Wake() }

func openRelay(t testing.TB) (sem.Doorbell, sem.Waiter) {
	r := sem.NewRelay()
	closeAtEnd(t, r)
	return relayBell{r}, r
}

// byteBell rings as a control socket does: one byte.
type byteBell struct {
	t testing.TB
	w *os.File
}

func (b byteBell) Ring() {
	if _, err := b.w.Write([]byte{0}); err != nil {
		b.t.Errorf("ring by pipe: %v", err)
	}
}

func openPipe(t testing.TB) (sem.Doorbell, sem.Waiter) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	relay := sem.NewRelay()
	closeAtEnd(t, relay)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 64)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
			relay.Wake()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, w.Close())
		<-ended
		require.NoError(t, r.Close())
	})
	return byteBell{t, w}, relay
}

func openThrottle(t testing.TB) (sem.Doorbell, sem.Waiter) {
	r := sem.NewRelay()
	th := sem.NewThrottle(r)
	closeAtEnd(t, th)
	return relayBell{r}, th
}

func openStorm(t testing.TB) (sem.Doorbell, sem.Waiter) {
	r := sem.NewRelay()
	th := sem.NewThrottle(r)
	closeAtEnd(t, th)
	storm(t, th, r)
	return relayBell{r}, th
}

// storm brings a throttle to the point where its next Wait is slowed.
func storm(t testing.TB, th *sem.Throttle, r *sem.Relay) {
	t.Helper()
	for range 1001 {
		v := th.Load()
		r.Wake()
		require.NoError(t, th.Wait(v, -1))
		th.Woke(false)
	}
	require.Zero(t, th.Throttled())
}
