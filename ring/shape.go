package ring

import (
	// The compiler makes single instructions of a word's methods only in a package that imports their package itself:
	// mem.Word64 is a name for atomic.Uint64, and without this line each access is a call.
	_ "sync/atomic"

	"github.com/shmwire/shmwire/internal/mem"
)

// shape is what both handles keep privately of the ring's form (I1), with the words and bytes that it leads to.
type shape struct {
	descs     []mem.Word64
	slots     []byte
	mask      uint64 // N − 1
	slotMask  uint64 // S − 1
	slotBytes int
	maxRecord int
	partSlots uint64 // of a batch that are published at once
	hotSlots  uint64 // after so many slots a producer sees whether to go back to the front; 0: never
	hintSlots uint64 // how far ahead a consumer asks for payload
	mpsc      bool
	slotShift uint8 // always used with & 63, so that the compiler needs no test for longer shifts
	lapShift  uint8
}

// hotBytes is how much of a ring an exchange of requests and answers uses: what fits into a core's second-level cache
// many times over.
const hotBytes = 64 << 10

const (
	cacheLine = 64
	// hintLines is how many cache lines a consumer asks for at once, and as many ahead of where it reads.
	hintLines = 8
	// expectLines is how many lines a record may have that a waiting consumer asks for before it is there.
	expectLines = 4
)

func hotSlots(g Geometry) uint64 {
	if n := hotBytes / g.SlotBytes; g.Slots > n {
		return uint64(n)
	}
	return 0 // all of the ring is hot
}

func makeShape(producerRegion []byte, g Geometry) shape {
	at := g.SlotsOffset()
	end := at + g.Slots*g.SlotBytes
	return shape{
		descs:     mem.Uint64s(producerRegion, g.DescriptorsOffset(), g.Slots),
		slots:     producerRegion[at:end:end],
		mask:      uint64(g.Slots - 1),
		slotMask:  uint64(g.SlotBytes - 1),
		slotBytes: g.SlotBytes,
		maxRecord: g.MaxRecord(),
		partSlots: max(64, uint64(g.Slots)/8),
		hotSlots:  hotSlots(g),
		hintSlots: max(1, uint64(hintLines*cacheLine/g.SlotBytes)),
		mpsc:      g.MPSC,
		slotShift: g.slotShift(),
		lapShift:  g.lapShift(),
	}
}

// slotsFor returns how many slots a record of n bytes takes: at least one.
func (s *shape) slotsFor(n int) uint64 {
	return max(1, (uint64(n)+s.slotMask)>>(s.slotShift&63))
}

// left returns how many slots there are from position at to the end of the ring.
func (s *shape) left(at uint64) uint64 { return s.mask + 1 - at&s.mask }

// payload returns the n bytes of the record at position at, which the caller has made sure fit before the end.
func (s *shape) payload(at uint64, n int) []byte {
	from := int(at & s.mask << (s.slotShift & 63))
	return s.slots[from : from+n : from+n]
}

// What a handle is in the middle of; 0 lets every call through.
const (
	handleBusy     uint8 = 1 << iota // a call is waiting
	handleOpen                       // a claim or a view is out
	handleClosed                     // Close was called
	handlePoisoned                   // the other side's region was corrupt
	handleEnded                      // consumer: the final position has been reached
	handleDraining                   // consumer: DrainAtMost was called
)
