package sys

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxCPUs is how many processors the kernel's mask in x/sys has room for.
const maxCPUs = 1024

// AllowedCPUs returns the numbers of the processors that the calling thread may run on, in rising order.
func AllowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var cpus []int
	for cpu := range maxCPUs {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// PinThread lets the calling thread run on these processors only. The goroutine must be locked to its thread.
func PinThread(cpus ...int) error { return pin(0, cpuSet(cpus)) }

// PinProcess lets every thread of this process run on these processors only; later ones inherit it.
//
// A thread that is started meanwhile by one not yet pinned would escape a single pass over the threads, so passes are
// made until one finds none that is new.
func PinProcess(cpus ...int) error {
	set := cpuSet(cpus)
	pinned := map[int]bool{}
	for fresh := true; fresh; {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		fresh = false
		for _, thread := range threads {
			tid, err := strconv.Atoi(thread.Name())
			if err != nil || pinned[tid] {
				continue
			}
			if err := pin(tid, set); err != nil && !errors.Is(err, ESRCH) { // ESRCH: it has ended
				return err
			}
			pinned[tid], fresh = true, true
		}
	}
	return nil
}

func cpuSet(cpus []int) *unix.CPUSet {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return &set
}

func pin(tid int, set *unix.CPUSet) error {
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(tid, set))
}

// YieldToAll gives the calling thread the lowest priority there is (SCHED_IDLE): it runs only while its processor has
// nothing else to do. The goroutine must be locked to its thread.
func YieldToAll() error {
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_IDLE}, 0))
}
