package sem_test

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/shmwire/shmwire/sem"
)

// The control goroutine of a connection reads doorbell bytes and passes them on.
func ExampleNewRelay() {
	var data atomic.Uint64
	relay := sem.NewRelay()
	defer relay.Close()

	go func() {
		data.Store(42)
		relay.Wake()
	}()

	for data.Load() == 0 {
		d := relay.Load()
		if data.Load() != 0 { // look again: it may have come meanwhile
			break
		}
		if err := relay.Wait(d, -1); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(data.Load())
	// Output: 42
}

// Close and deadlines set a flag of their own and interrupt the sleeper, who looks at the flag.
func ExampleWaiter() {
	var w sem.Waiter = sem.NewRelay()
	d := w.Load()
	w.Interrupt()
	fmt.Println(w.Wait(d, -1))
	fmt.Println(w.Wait(w.Load(), time.Millisecond))
	w.Close()
	fmt.Println(errors.Is(w.Wait(w.Load(), -1), os.ErrClosed))
	// Output:
	// <nil>
	// <nil>
	// true
}

func ExampleNewThrottle() {
	relay := sem.NewRelay()
	w := sem.NewThrottle(relay)
	defer w.Close()

	for range 1010 { // a peer that rings for nothing
		d := w.Load()
		relay.Wake()
		if err := w.Wait(d, -1); err != nil {
			fmt.Println(err)
			return
		}
		w.Woke(false) // the look found nothing
	}
	fmt.Println(w.Throttled(), "waits began with a pause")
	// Output: 9 waits began with a pause
}

func ExampleNewAdaptive() {
	a := sem.NewAdaptive()
	found := a.Spin(func() bool { return true })
	fmt.Println(found, "- no success yet, so no spinning yet: sleep at once")
	// Output: false - no success yet, so no spinning yet: sleep at once
}

func ExampleSpinForever() {
	var data atomic.Uint64
	go data.Store(42)
	sem.SpinForever(func() bool { return data.Load() != 0 })
	fmt.Println(data.Load())
	// Output: 42
}
