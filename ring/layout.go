package ring

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/shmwire/shmwire/internal/mem"
)

// Layout of the two regions; every offset is in bytes and part of the wire format. Everything that somebody polls or
// that two processes write at different times stands alone on [mem.LineBytes] bytes. The parks, doorbell, closed and
// stats words lie at the same offsets in both regions.
//
//	producer region                              consumer region
//	    0  header: magic version kind                0  header: magic version kind
//	       slots slot-bytes start tenure                slots slot-bytes start tenure
//	  128  claim word (MPSC; zero in SPSC)         128  consumer position
//	  256  parks u64 | sleeping u32                256  parks u64 | sleeping u32
//	  384  doorbell u32                            384  doorbell u32
//	  512  closed u64 (MPSC: highest owner)        512  closed u64
//	  640  stats, 32 words of 8 bytes (SPSC)       640  stats, 32 words of 8 bytes
//	  896  owner table, 256 × 128 bytes (MPSC)     896  end
//	    D  descriptors, N × 8 bytes, padded to a multiple of 128
//	    E  slots, N × S bytes, padded to a multiple of 128
//
// In an SPSC ring D is 896; in an MPSC ring it is 896 + 256·128 = 33664. A header, which is for inspectors only:
//
//	 0  magic u64, stored last      16  slots u64           40  tenure u64: how many handles have
//	 8  version u32                 24  slot-bytes u64          been made on the region
//	12  kind u32                    32  start u64
//
// A descriptor, of which the one at index i belongs to the slot at index i:
//
//	bits  63 … 28     27 … 2     1 … 0
//	      lap (36)    X (26)     state (2)
//
//	state 0 EMPTY      nothing
//	      1 BUSY       X = owner (8) | slots (18)   MPSC only
//	      2 COMMITTED  X = length in bytes
//	      3 SKIP       X = slots to step over
//
// An entry of the owner table:
//
//	 0  generation << 1 | closed: 0 = never used; odd = free again; even = an owner, alive or dead
//	 8  pid, for inspectors
//	16  when that process started, for inspectors
//	24  stats of the owner, as at 640 of an SPSC ring, 13 words
//
// The claim word describes the last claim, whose position is given modulo 2^38 (0 slots: there has been none):
//
//	bits  63 … 26        25 … 8        7 … 0
//	      start (38)     slots (18)    owner (8)
const (
	HeaderOffset = 0 // both regions

	ProducerClaimOffset    = 128 // MPSC: the last claim
	ProducerParksOffset    = 256 // u64, how often a producer announced that it sleeps; never reset
	ProducerSleepingOffset = 264 // u32, how many sleep now; for inspectors only
	ProducerDoorbellOffset = 384 // u32, the word that the producer rings: data has come
	ProducerClosedOffset   = 512 // u64, SPSC: 0 = open, else final position + 1; MPSC: the highest owner number used so far
	ProducerStatsOffset    = 640 // SPSC: 32 u64 words, in the order of the fields of [Stats]
	ProducerOwnersOffset   = 896 // MPSC only: Owners+1 entries of OwnerBytes; entry 0 is unused

	ConsumerPositionOffset = 128 // u64, everything before it has been given back
	ConsumerParksOffset    = 256 // u64, how often the consumer announced that it sleeps; never reset
	ConsumerSleepingOffset = 264 // u32, whether it sleeps now; for inspectors only
	ConsumerDoorbellOffset = 384 // u32, the word that the consumer rings: space has come
	ConsumerClosedOffset   = 512 // u64, 0 = reading, anything else = no longer reading
	ConsumerStatsOffset    = 640 // 32 u64 words, in the order of the fields of [Stats]

	Owners     = 255 // owner numbers of an MPSC ring are 1…Owners
	OwnerBytes = 128 // generation and closed bit, pid, start time, stats

	// ProducerDescriptorsOffset is where the descriptors of an SPSC ring start.
	ProducerDescriptorsOffset = 896
	// MPSCDescriptorsOffset is where the descriptors of an MPSC ring start.
	MPSCDescriptorsOffset = ProducerOwnersOffset + (Owners+1)*OwnerBytes

	consumerBytes = 896
)

// Words of a region header, as byte offsets in it.
const (
	headerMagic     = 0  // u64, stored last
	headerVersion   = 8  // u32
	headerKind      = 12 // u32
	headerSlots     = 16 // u64
	headerSlotBytes = 24 // u64
	headerStart     = 32 // u64
	headerTenure    = 40 // u64, how many handles have been made on the region
)

// Values of a region header.
const (
	Magic   uint64 = 0x676e697265726977 // "wirering" in the byte order of a little-endian machine
	Version uint32 = 1

	KindSPSCProducer uint32 = 1
	KindSPSCConsumer uint32 = 2
	KindMPSCProducer uint32 = 3
	KindMPSCConsumer uint32 = 4
)

// Limits of a [Geometry] and of a record.
const (
	MinSlots     = 2
	MaxSlots     = 1 << 37 // also bounded by int: no 32-bit process gets near it
	MinSlotBytes = 16
	MaxSlotBytes = 4096

	maxRecordSlots = 1<<18 - 1 // the slots field of a claim has 18 bits
	maxRecordBytes = 1<<26 - 1 // the X field of a descriptor has 26 bits
)

// Geometry is the shape of a ring. Both sides must use the same one; it is agreed beforehand, by a handshake or in a
// segment's header, and never taken from a region.
type Geometry struct {
	Slots     int // a power of two, [MinSlots] … [MaxSlots]
	SlotBytes int // a power of two, [MinSlotBytes] … [MaxSlotBytes]

	// MPSC says that many producers share the ring and its producer region, up to [Owners] at a time. The default is one.
	MPSC bool
}

// GeometryError tells which field of a [Geometry] is impossible.
type GeometryError struct {
	Field string // "Slots" or "SlotBytes"
	Got   int
	Want  string
}

// Error tells field, got and want.
func (e *GeometryError) Error() string {
	return fmt.Sprintf("ring: geometry: %s is %d, want %s", e.Field, e.Got, e.Want)
}

// Validate returns a [*GeometryError] if g cannot be the shape of a ring in this process: a field out of range or no
// power of two, or regions so large that their size is no int.
func (g Geometry) Validate() error {
	if g.SlotBytes < MinSlotBytes || g.SlotBytes > MaxSlotBytes || !powerOfTwo(g.SlotBytes) {
		return &GeometryError{"SlotBytes", g.SlotBytes, "a power of two from 16 to 4096"}
	}
	if g.Slots < MinSlots || uint64(g.Slots) > MaxSlots || !powerOfTwo(g.Slots) {
		return &GeometryError{"Slots", g.Slots, "a power of two from 2 to 2^37"}
	}
	// At most 2^37·(8+4096) and a few lines more: no overflow here, in 64 bits.
	if g.producerBytes() > math.MaxInt {
		return &GeometryError{"Slots", g.Slots, fmt.Sprintf("a region that can be addressed, not %d bytes", g.producerBytes())}
	}
	return nil
}

// ProducerBytes returns the size in bytes of the producer region, a multiple of 128. g must be valid.
func (g Geometry) ProducerBytes() int { return int(g.producerBytes()) }

// ConsumerBytes returns the size in bytes of the consumer region, a multiple of 128.
func (g Geometry) ConsumerBytes() int { return consumerBytes }

// MaxRecord returns the length in bytes of the longest record: min(N/2·S, (2^18−1)·S, 2^26−1) for N slots of S bytes,
// so that a record and the padding before it always fit. g must be valid.
func (g Geometry) MaxRecord() int {
	return min(g.Slots/2*g.SlotBytes, maxRecordSlots*g.SlotBytes, maxRecordBytes)
}

func (g Geometry) producerBytes() uint64 {
	return uint64(g.DescriptorsOffset()) + lines(uint64(g.Slots)*8) + lines(uint64(g.Slots)*uint64(g.SlotBytes))
}

// DescriptorsOffset returns where the descriptors start in the producer region.
func (g Geometry) DescriptorsOffset() int {
	if g.MPSC {
		return MPSCDescriptorsOffset
	}
	return ProducerDescriptorsOffset
}

// SlotsOffset returns where the slots start in the producer region. g must be valid.
func (g Geometry) SlotsOffset() int {
	return g.DescriptorsOffset() + int(lines(uint64(g.Slots)*8))
}

// kinds returns what the headers of the two regions say.
func (g Geometry) kinds() (producer, consumer uint32) {
	if g.MPSC {
		return KindMPSCProducer, KindMPSCConsumer
	}
	return KindSPSCProducer, KindSPSCConsumer
}

func (g Geometry) slotShift() uint8 { return uint8(bits.TrailingZeros(uint(g.SlotBytes))) }
func (g Geometry) lapShift() uint8  { return uint8(bits.TrailingZeros(uint(g.Slots))) }

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

// lines rounds n bytes up to whole lines.
func lines(n uint64) uint64 { return (n + mem.LineBytes - 1) &^ (mem.LineBytes - 1) }

// HeapRegion returns n zeroed bytes of this process's memory that start where a region must, for a ring between
// goroutines and for tests.
func HeapRegion(n int) []byte { return mem.AlignedBytes(n) }

// checkRegion returns b cut to its n bytes, or an error if it is too short or does not start on a line.
func checkRegion(name string, b []byte, n int) ([]byte, error) {
	if len(b) < n {
		return nil, fmt.Errorf("ring: %s region has %d bytes, want %d", name, len(b), n)
	}
	if !mem.Aligned(b, mem.LineBytes) {
		return nil, fmt.Errorf("ring: %s region does not start at a multiple of %d bytes", name, mem.LineBytes)
	}
	return b[:n:n], nil
}

// writeHeader describes the region for inspectors, magic last. Nobody relies on it: the other side may not have
// written its own yet, and what a peer says about itself proves nothing. It returns the handle's tenure: handles on one
// region are numbered, so that one finds out that it has been replaced.
func writeHeader(region []byte, kind uint32, g Geometry, start uint64) (tenure uint64) {
	mem.Uint32At(region, headerVersion).Store(Version)
	mem.Uint32At(region, headerKind).Store(kind)
	mem.Uint64At(region, headerSlots).Store(uint64(g.Slots))
	mem.Uint64At(region, headerSlotBytes).Store(uint64(g.SlotBytes))
	mem.Uint64At(region, headerStart).Store(start)
	tenure = mem.Uint64At(region, headerTenure).Add(1)
	mem.Uint64At(region, headerMagic).Store(Magic)
	return tenure
}
