//go:build shmsteps

package ring_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
)

// The memory of a schedule: every processor has a buffer for what it stores, as on x86, where a store of sync/atomic
// empties it first. Plain stores leave it in any order, as on arm64, and release stores only behind all earlier ones.
// Payload bytes are written at once: that is earlier than a machine may show them, and never later, since a release
// store follows before anybody may look.

// space is one region in a schedule.
type space struct {
	name  string
	all   []byte // the longest region that will be wanted
	bytes []byte // the region of this schedule
	quiet func(off int) bool

	descriptors int // where they start; 0: there are none
	// visible is told of every word that changes for all to see, and says what is wrong with it.
	visible func(off int, was, is uint64) error
}

// write is a store that is not visible to others yet.
type write struct {
	at    *space
	off   int
	size  int
	value uint64
	plain bool
}

// newSpace returns a region of at most n bytes, whose words are those of the schedule that current returns.
func newSpace(t testing.TB, name string, n int, current func() *sched) *space {
	t.Helper()
	sp := &space{name: name, all: mem.AlignedBytes(n), quiet: unprotected}
	t.Cleanup(mem.Intercept(sp.all, func(a mem.Access) uint64 { return current().access(sp, a) }))
	return sp
}

// reset makes the region n zeroed bytes.
func (sp *space) reset(n, descriptors int) {
	sp.bytes, sp.descriptors, sp.visible = sp.all[:n:n], descriptors, nil
	clear(sp.bytes)
}

// unprotected says which words the protocol never reads, or only by who wrote them: what inspectors are told. Steps at
// these would be a waste.
func unprotected(off int) bool {
	switch {
	case off < ring.ProducerClaimOffset, off == ring.ProducerSleepingOffset:
		return true
	case off >= ring.ProducerStatsOffset && off < ring.ProducerOwnersOffset:
		return true
	}
	return false
}

// unprotectedShared is the same for the producer region of an MPSC ring, with what the owner table tells inspectors.
func unprotectedShared(off int) bool {
	if off >= ring.ProducerOwnersOffset && off < ring.MPSCDescriptorsOffset {
		return (off-ring.ProducerOwnersOffset)%ring.OwnerBytes != 0
	}
	return unprotected(off)
}

func (sp *space) word32(off int) *mem.Word32 { return mem.Uint32At(sp.bytes, off) }

// get returns the word as memory has it.
func (sp *space) get(off, size int) uint64 {
	if size == 4 {
		return uint64(binary.NativeEndian.Uint32(sp.bytes[off:]))
	}
	return binary.NativeEndian.Uint64(sp.bytes[off:])
}

// put makes v the word for all to see.
func (sp *space) put(off, size int, v uint64) {
	if size == 4 {
		binary.NativeEndian.PutUint32(sp.bytes[off:], uint32(v))
		return
	}
	binary.NativeEndian.PutUint64(sp.bytes[off:], v)
}

// place names a word.
func (sp *space) place(off int) string {
	switch {
	case off == ring.ProducerParksOffset:
		return sp.name + ".parks"
	case off == ring.ProducerDoorbellOffset:
		return sp.name + ".doorbell"
	case off == ring.ProducerClosedOffset:
		return sp.name + ".closed"
	case off == ring.ConsumerPositionOffset && sp.descriptors == 0:
		return sp.name + ".position"
	case off == ring.ProducerClaimOffset:
		return sp.name + ".claim"
	case off >= sp.descriptors:
		return fmt.Sprintf("%s.descriptor[%d]", sp.name, (off-sp.descriptors)/8)
	}
	return fmt.Sprintf("%s.owner[%d]", sp.name, (off-ring.ProducerOwnersOffset)/ring.OwnerBytes)
}

// access makes an access of the task that runs, or of the schedule itself.
func (s *sched) access(sp *space, a mem.Access) uint64 {
	t := s.now
	if t == nil || sp.quiet(a.Offset) {
		was := sp.get(a.Offset, a.Size)
		if t == nil || !t.dying {
			sp.put(a.Offset, a.Size, result(a, was))
		}
		return was
	}
	if t.dying {
		return sp.get(a.Offset, a.Size) // deferred calls of a dead task change nothing
	}
	t.step()
	was := t.perform(sp, a)
	if s.trace != nil {
		s.tracef(t, "%v %s: %s", a.Kind, sp.place(a.Offset), told(a, was))
	}
	return was
}

func (t *task) perform(sp *space, a mem.Access) (was uint64) {
	switch a.Kind {
	case mem.AccessLoad:
		return t.read(sp, a)
	case mem.AccessStoreRelease, mem.AccessStorePlain:
		was = t.read(sp, a)
		t.buffer = append(t.buffer, write{sp, a.Offset, a.Size, a.Value, a.Kind == mem.AccessStorePlain})
	default:
		t.drainAll()
		was = sp.get(a.Offset, a.Size)
		t.show(write{sp, a.Offset, a.Size, result(a, was), false})
	}
	return was
}

// result returns what a leaves in a word.
func result(a mem.Access, was uint64) uint64 {
	switch a.Kind {
	case mem.AccessLoad:
		return was
	case mem.AccessAdd:
		return was + a.Value
	case mem.AccessCompareAndSwap:
		if was != a.Old {
			return was
		}
	}
	return a.Value
}

// read returns the word as t sees it: its own stores first.
func (t *task) read(sp *space, a mem.Access) uint64 {
	for i := len(t.buffer) - 1; i >= 0; i-- {
		if w := &t.buffer[i]; w.at == sp && w.off == a.Offset {
			return w.value
		}
	}
	return sp.get(a.Offset, a.Size)
}

// show makes a store visible to all.
func (t *task) show(w write) {
	was := w.at.get(w.off, w.size)
	w.at.put(w.off, w.size, w.value)
	if w.at != t.owns {
		t.s.failf("%s writes the other side's region, at %s", t.name, w.at.place(w.off))
	}
	if w.at.visible != nil && was != w.at.get(w.off, w.size) {
		if err := w.at.visible(w.off, was, w.value); err != nil {
			t.s.failf("%s stores %#x to %s: %w", t.name, w.value, w.at.place(w.off), err)
		}
	}
}

func (t *task) drainAll() {
	for _, w := range t.buffer {
		t.show(w)
	}
	t.buffer, t.sure = t.buffer[:0], 0
}

// drainOne makes one store of t visible: the oldest, or a plain one that no earlier store to the same word holds back.
func (t *task) drainOne() {
	i := 0
	if n := len(t.buffer); n > 1 {
		i = t.s.rng.IntN(n)
		for i > 0 && !t.mayOvertake(i) {
			i--
		}
	}
	w := t.buffer[i]
	t.buffer = append(t.buffer[:i], t.buffer[i+1:]...)
	t.s.tracef(t, "%s becomes visible: %#x", w.at.place(w.off), w.value)
	t.show(w)
	t.sure -= oneIf(i < t.sure)
	if t.dying && len(t.buffer) == 0 {
		t.bury()
	}
}

func (t *task) mayOvertake(i int) bool {
	w := &t.buffer[i]
	if !w.plain {
		return false
	}
	for j := range i {
		if t.buffer[j].at == w.at && t.buffer[j].off == w.off {
			return false
		}
	}
	return true
}
