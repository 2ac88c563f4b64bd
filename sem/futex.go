package sem

import (
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/sys"
)

const (
	// futexAll wakes every sleeper of a word.
	futexAll = math.MaxInt32

	// longestSleep bounds one futex wait. Another process that maps the word can move our thread to a futex of its own
	// (FUTEX_REQUEUE), where no wake-up of ours finds it; then the wait ends by itself, and with it Interrupt and
	// Close. Waking once a second costs nothing that can be measured.
	longestSleep = time.Second
)

// FutexWaiter waits on a 32-bit doorbell word that another process, or another goroutine, rings with a
// [FutexDoorbell]. It only reads the word, so the memory may be mapped read-only.
//
// A waiting goroutine holds an OS thread. Wait returns after one second at the latest.
type FutexWaiter struct {
	private
	word  *atomic.Uint32 // the ringer's
	limit time.Duration  // longestSleep; < 0 (none) in tests that must notice a lost wake-up
}

var _ Waiter = (*FutexWaiter)(nil)

// NewFutexWaiter returns a waiter on the doorbell word at byte offset off of region: the peer's word, in the peer's
// memory. region must stay mapped until Close has returned.
//
// The error Is [errors.ErrUnsupported] where there are no futexes. A word outside the region or not aligned to 4 bytes
// panics.
func NewFutexWaiter(region []byte, off int) (*FutexWaiter, error) {
	if err := sys.FutexSupported(); err != nil {
		return nil, fmt.Errorf("make futex waiter: %w", err)
	}
	return &FutexWaiter{word: mem.Uint32At(region, off), limit: longestSleep}, nil
}

// Load returns the value of the doorbell word; 0 after Close.
func (w *FutexWaiter) Load() uint32 {
	if !w.enter() {
		return 0
	}
	defer w.leave()
	w.note()
	return w.word.Load()
}

func (w *FutexWaiter) value() uint32 {
	if !w.enter() { // closed: the memory may be gone
		return 0
	}
	defer w.leave()
	return w.word.Load()
}

// Wait sleeps while the doorbell word has this value.
func (w *FutexWaiter) Wait(value uint32, timeout time.Duration) error {
	if !w.enter() {
		return os.ErrClosed
	}
	defer w.leave()
	if w.limit >= 0 && (timeout < 0 || timeout > w.limit) {
		timeout = w.limit
	}
	if !w.interrupted() {
		// From here to the sleep an interrupt is not seen; that is why Interrupt goes on waking.
		if err := sys.FutexWait(w.word, value, timeout); err != nil {
			return fmt.Errorf("wait for doorbell: %w", err)
		}
	}
	if w.closed.Load() {
		return os.ErrClosed
	}
	return nil
}

// Interrupt ends a Wait. It returns when the Wait under way, if there is one, has come back from its sleep.
func (w *FutexWaiter) Interrupt() { w.wake(w.interrupt()) }

// Close makes Load return 0 and Wait fail. When it returns, the region may be unmapped. The error is always nil.
func (w *FutexWaiter) Close() error {
	w.wake(w.close())
	return nil
}

// wake repeats the wake-up until the Load or Wait of this turn is over. Once is not enough: it may be about to sleep.
func (w *FutexWaiter) wake(turn uint32) {
	for pause := time.Microsecond; turn&1 == 1 && w.turn.Load() == turn; pause = min(2*pause, time.Millisecond) {
		// An error means that the word is unmapped, so nobody sleeps on it.
		_, _ = sys.FutexWake(w.word, futexAll)
		time.Sleep(pause)
	}
}

// FutexDoorbell rings a 32-bit word in this process's own memory, on which the peer waits with a [FutexWaiter].
// Any number of goroutines may ring it.
type FutexDoorbell struct {
	word *atomic.Uint32
	wake int
}

var _ Doorbell = (*FutexDoorbell)(nil)

// NewFutexDoorbell returns the doorbell whose word stands at byte offset off of region, which must be mapped writable
// as long as the doorbell is used. With all = false a ring wakes one sleeper: right where there is one legitimate
// sleeper, because a hostile peer can put thousands of threads on the word. With all = true it wakes all.
//
// The error Is [errors.ErrUnsupported] where there are no futexes. A word outside the region or not aligned to 4 bytes
// panics.
func NewFutexDoorbell(region []byte, off int, all bool) (*FutexDoorbell, error) {
	if err := sys.FutexSupported(); err != nil {
		return nil, fmt.Errorf("make futex doorbell: %w", err)
	}
	wake := 1
	if all {
		wake = futexAll
	}
	return &FutexDoorbell{word: mem.Uint32At(region, off), wake: wake}, nil
}

// Ring changes the word and wakes.
func (b *FutexDoorbell) Ring() {
	// The new value takes the ring to a sleeper between its Load and its sleep (W1): the kernel compares before it
	// lets FUTEX_WAIT sleep. The wake-up is for those asleep.
	b.word.Add(1)
	// It cannot fail on a word that we have just written.
	_, _ = sys.FutexWake(b.word, b.wake)
}
