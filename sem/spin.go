package sem

import (
	"runtime"

	"github.com/shmwire/shmwire/internal/mem"
)

// yieldLooks is how many fruitless looks SpinForever makes before it lets another goroutine run: some 10 µs.
const yieldLooks = 256

// SpinForever calls look until it returns true. It is for a receiver with a processor of its own; look must return
// true also when the wait is to end for another reason. It never sleeps and costs the peer nothing: not even a ring,
// if the peer is told that this side never parks.
func SpinForever(look func() bool) bool {
	for n := 1; ; n++ {
		if look() {
			return true
		}
		mem.Pause(1)
		if n%yieldLooks == 0 {
			runtime.Gosched()
		}
	}
}
