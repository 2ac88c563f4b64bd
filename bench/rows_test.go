package bench_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/shmwire/shmwire/ring"
)

// The ways of waiting, as they stand in the names of benchmarks.
const (
	waitSpin     = "spin"
	waitAdaptive = "adaptive"
	waitFutex    = "futex"
	waitPoller   = "poller"
	waitBlock    = "block" // in the kernel
)

// The placements of the two processes.
const (
	placeSame  = "same"  // both on one processor
	placeAwake = "awake" // a processor each, kept from going idle
	placeIdle  = "idle"  // a processor each, and nothing to do between messages
)

// row is one line of the table.
type row struct {
	stream                     bool // one way, else round trips
	inPlace                    bool // a stream without copies
	transport, wait, placement string
	producers                  int // of a ring with many; 0: it has one
	batch, size                int
}

// idleGap is the time between messages in which processors go idle.
const idleGap = time.Millisecond

// sizesOf returns the sizes of the messages of a transport that is waited for in a certain way. The bare ring has more of
// them where it is compared with rings in C.
func sizesOf(transport, wait string, stream bool) []int {
	switch {
	case transport == "shm-mpsc":
		return []int{64, 1024}
	case stream && (transport == "shm" || transport == "c"):
		return []int{8, 64, 256, 1024, 4096, 65536, 1048576}
	case (transport == "shm" || transport == "c") && wait == waitSpin:
		return []int{8, 64, 256, 1024, 65536, 1048576}
	}
	return []int{64, 1024, 65536, 1048576}
}

// waitsOf returns how the two sides of a transport can wait.
func waitsOf(transport string) []string {
	switch transport {
	case "shm", "conn":
		return []string{waitSpin, waitAdaptive, waitFutex, waitPoller}
	case "c":
		return []string{waitSpin}
	}
	return []string{waitBlock}
}

func transports() []string { return []string{"shm", "conn", "unix", "socketpair", "tcp", "fifo", "c"} }

// batchesOf returns how many messages a transport can publish together. A net.Conn publishes what one Write is given.
func batchesOf(transport string) []int {
	if transport == "shm" || transport == "c" {
		return []int{1, 16, 64}
	}
	return []int{1}
}

func roundTripRows() (rows []row) {
	for _, t := range transports() {
		for _, w := range waitsOf(t) {
			for _, p := range []string{placeSame, placeAwake, placeIdle} {
				for _, n := range sizesOf(t, w, false) {
					rows = append(rows, row{transport: t, wait: w, placement: p, batch: 1, size: n})
				}
			}
		}
	}
	return rows
}

func streamRows() (rows []row) {
	for _, t := range transports() {
		for _, w := range waitsOf(t) {
			for _, b := range batchesOf(t) {
				for _, n := range sizesOf(t, w, true) {
					rows = append(rows, row{stream: true, transport: t, wait: w, placement: placeAwake, batch: b, size: n})
				}
			}
		}
	}
	return append(rows, manyProducersRows()...)
}

func manyProducersRows() (rows []row) {
	for _, k := range []int{1, 2, 4} {
		for _, b := range []int{1, 16} {
			for _, n := range sizesOf("shm-mpsc", waitSpin, true) {
				rows = append(rows, row{
					stream: true, transport: "shm-mpsc", wait: waitSpin, placement: placeAwake, producers: k, batch: b, size: n,
				})
			}
		}
	}
	return rows
}

func inPlaceRows() (rows []row) {
	for _, n := range []int{65536, 1048576} {
		rows = append(rows, row{
			stream: true, inPlace: true, transport: "shm", wait: waitSpin, placement: placeAwake, batch: 1, size: n,
		})
	}
	return rows
}

// name is the row's name below that of its benchmark.
func (r row) name() string {
	switch {
	case r.inPlace:
		return fmt.Sprintf("transport=%s/wait=%s/size=%d", r.transport, r.wait, r.size)
	case r.producers > 0:
		return fmt.Sprintf("transport=%s/wait=%s/producers=%d/batch=%d/size=%d", r.transport, r.wait, r.producers, r.batch, r.size)
	case r.stream:
		return fmt.Sprintf("transport=%s/wait=%s/batch=%d/size=%d", r.transport, r.wait, r.batch, r.size)
	}
	return fmt.Sprintf("transport=%s/wait=%s/placement=%s/size=%d", r.transport, r.wait, r.placement, r.size)
}

// ring is the size of the rings in bytes.
func (r row) ring() int { return max(256<<10, 4*r.size) }

// slot is the size of the rings' slots in bytes: the default of a connection, or the least that there is.
func (r row) slot() int {
	if r.size <= ring.MinSlotBytes {
		return ring.MinSlotBytes
	}
	return slotBytes
}

// senseless returns why the row measures nothing, or "".
func (r row) senseless() string {
	switch {
	case r.wait == waitSpin && r.placement == placeSame:
		return "two that spin on one processor wait for each other's time slice to end"
	case r.wait == waitSpin && r.placement == placeIdle:
		return "a processor on which somebody spins is not idle: see placement=awake"
	}
	return ""
}

// cpus returns where the two processes run, or why that cannot be.
func (r row) cpus(allowed []int) (cpus cpuPair, reason string) {
	if r.placement == placeSame {
		return cpuPair{allowed[0], allowed[0]}, ""
	}
	if len(allowed) < 2 {
		return cpus, "needs two processors"
	}
	return cpuPair{allowed[0], allowed[1]}, ""
}

func (r row) gap() time.Duration {
	if r.placement == placeIdle {
		return idleGap
	}
	return 0
}

// spec is the row's link.
func (r row) spec() spec {
	return spec{
		Transport: r.transport, Wait: r.wait, Size: r.size, Batch: r.batch, Ring: r.ring(), Slot: r.slot(),
		InPlace: r.inPlace, Producers: r.producers,
	}
}

// comparedWith are the baselines of a row.
func (r row) comparedWith() (names []string) {
	names = r.comparedWithAnySize()
	if fixedSize(r.size) && !r.inPlace && (r.transport == "shm" || r.transport == "shm-mpsc") && (r.stream || r.wait == waitSpin) {
		names = append(names, "cfixed")
	}
	return names
}

// fixedSize reports whether the C reference has code compiled for messages of that size.
func fixedSize(size int) bool { return size == 8 || size == 64 }

func (r row) comparedWithAnySize() (names []string) {
	if r.transport != "unix" && r.producers <= 1 {
		names = append(names, "unix")
	}
	ours := slices.Contains([]string{"shm", "conn", "c"}, r.transport)
	switch {
	case r.inPlace:
		names = append(names, "cinplace")
	case r.producers > 0:
		names = append(names, r.comparedWithMany()...)
	case r.stream && ours:
		names = append(names, "cring")
		if r.transport == "shm" && r.batch > 1 {
			names = append(names, "cbatch")
		}
	case !r.stream && ours && r.placement == placeAwake && (r.wait == waitSpin || r.wait == waitAdaptive):
		// Who parks at once is a hundred times slower, and hundredths say nothing.
		names = append(names, "pingpong")
		if r.transport != "c" && r.wait == waitSpin {
			names = append(names, "cring", "cslot")
		}
	}
	return names
}

// command is what the C reference calls one of the row's baselines.
func (r row) command(baseline string) string {
	switch {
	case baseline == "cinplace":
		return "inplace"
	case baseline == "ccas" || baseline == "ccasbatch" || baseline == "cfixed" && r.producers > 0:
		return "mpsc"
	case r.stream:
		return "stream"
	case baseline == "cslot" || baseline == "cfixed":
		return "slottrip"
	}
	return "roundtrip"
}

// comparedWithMany are the baselines of many producers. Those that have one themselves say nothing beside several.
func (r row) comparedWithMany() (names []string) {
	if r.producers == 1 {
		names = append(names, "cring")
	}
	names = append(names, "ccas")
	if r.batch > 1 {
		names = append(names, "ccasbatch")
	}
	return names
}
