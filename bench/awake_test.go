package bench_test

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
)

// keeper keeps processors from going idle while slices run: a process that spins on them at a priority at which it
// gets only what nobody else wants.
type keeper struct{ child *shmtest.Process }

func startKeeper(tb testing.TB, cpus cpuPair) (*keeper, error) {
	tb.Helper()
	k := &keeper{shmtest.Child(tb, "awake", strconv.Itoa(cpus[0]), strconv.Itoa(cpus[1]))}
	if line := k.child.Line(); line != "ready" {
		return nil, fmt.Errorf("keep the processors awake: %s", line)
	}
	return k, nil
}

// during runs f while the processors are kept awake.
func (k *keeper) during(f func() error) error {
	if k == nil {
		return f()
	}
	k.child.Send("spin")
	k.child.Line()
	err := f()
	k.child.Send("rest")
	k.child.Line()
	return err
}

// awakeRole spins on the processors named, between a line and the next on its input. It answers each.
func awakeRole(args []string) int {
	runtime.GOMAXPROCS(2 * len(args)) // one more than spin, to hear the next line
	var spinning atomic.Bool
	starts := make([]chan struct{}, len(args))
	var resting sync.WaitGroup
	failed := make(chan error, len(args))
	for i, arg := range args {
		starts[i] = make(chan struct{})
		go keepAwake(arg, starts[i], &spinning, &resting, failed)
	}
	for range args {
		if err := <-failed; err != nil {
			fmt.Println(err)
			return 1
		}
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		spinning.Store(in.Text() == "spin")
		if spinning.Load() {
			resting.Add(len(starts))
			for _, start := range starts {
				start <- struct{}{}
			}
		} else {
			resting.Wait()
		}
		fmt.Println(in.Text())
	}
	return 0
}

// keepAwake is one thread: it spins from each start until told otherwise.
func keepAwake(cpu string, starts <-chan struct{}, spinning *atomic.Bool, resting *sync.WaitGroup, ready chan<- error) {
	runtime.LockOSThread()
	number, err := strconv.Atoi(cpu)
	if err == nil {
		err = sys.PinThread(number)
	}
	if err == nil {
		err = sys.YieldToAll()
	}
	ready <- err
	for range starts {
		for spinning.Load() {
			mem.Pause(16)
		}
		resting.Done()
	}
}
