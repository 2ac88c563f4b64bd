package sem_test

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shmwire/shmwire/sem"
)

// One process owns the word and rings; another maps the same memory, read-only if it likes, and waits.
func ExampleNewFutexWaiter() {
	region := make([]byte, 64) // in real life the peer's segment
	w, err := sem.NewFutexWaiter(region, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	d := w.Load()
	fmt.Println("value", d, "error", w.Wait(d, time.Millisecond))
	// Output: value 0 error <nil>
}

func ExampleNewFutexDoorbell() {
	region := make([]byte, 64) // in real life our own segment, which the peer maps
	bell, err := sem.NewFutexDoorbell(region, 0, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	w, err := sem.NewFutexWaiter(region, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()

	var data, parks atomic.Uint64
	woken := make(chan struct{})
	go func() { // the sleeper
		defer close(woken)
		for data.Load() == 0 {
			d := w.Load()
			parks.Add(1)
			if data.Load() != 0 {
				return
			}
			if err := w.Wait(d, -1); err != nil {
				fmt.Println(err)
				return
			}
		}
	}()

	rung := parks.Load() - 1 // the waker: attach, and ring once
	bell.Ring()
	data.Store(42) // publish
	if p := parks.Load(); p != rung {
		bell.Ring()
	}
	<-woken
	fmt.Println(data.Load())
	// Output: 42
}

func ExampleNewEventfd() {
	w, err := sem.NewEventfd(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	// w.FD() goes to the peer with SCM_RIGHTS.
	d := w.Load()
	go w.Interrupt()
	fmt.Println(w.Wait(d, -1))
	// Output: <nil>
}

func ExampleNewEventfdDoorbell() {
	w, err := sem.NewEventfd(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()

	fd, err := w.Dup() // in real life received from the peer
	if err != nil {
		fmt.Println(err)
		return
	}
	bell, err := sem.NewEventfdDoorbell(fd)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer bell.Close()

	d := w.Load()
	go bell.Ring()
	fmt.Println(w.Wait(d, -1))
	// Output: <nil>
}
