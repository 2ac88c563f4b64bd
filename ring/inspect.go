package ring

import (
	"errors"
	"fmt"
	"math"

	"github.com/shmwire/shmwire/internal/mem"
)

// ErrNoRing is returned by [ReadHeader] for a region that has no ring's header: nobody has made a handle on it yet, or
// it is something else.
var ErrNoRing = errors.New("ring: no ring header")

// ErrForeign is returned by [ReadHeader] for the header of a ring of a version or kind that this package does not know.
var ErrForeign = errors.New("ring: unknown version or kind of ring")

// RegionHeader is what a region says about its ring. It is for inspectors: nothing that sends or receives believes it.
type RegionHeader struct {
	Kind     uint32 // KindSPSCProducer, KindSPSCConsumer, KindMPSCProducer or KindMPSCConsumer
	Geometry        // valid, but not compared with the size of any region
	Start    uint64 // position of the first slot
}

// ReadHeader returns the header at the start of a region that other processes may be writing. Errors: [ErrNoRing],
// [ErrForeign], a [*GeometryError], or that the region is too short or misaligned.
func ReadHeader(region []byte) (RegionHeader, error) {
	region, err := checkRegion("inspected", region, consumerBytes)
	if err != nil {
		return RegionHeader{}, err
	}
	// sync(region-header) takes over: the words below. Pairs with writeHeader.
	if got := mem.Uint64At(region, headerMagic).Load(); got != Magic {
		return RegionHeader{}, fmt.Errorf("%w: magic is %#x, want %#x", ErrNoRing, got, Magic)
	}
	version, kind := mem.Uint32At(region, headerVersion).Load(), mem.Uint32At(region, headerKind).Load()
	if version != Version || kind < KindSPSCProducer || kind > KindMPSCConsumer {
		return RegionHeader{}, fmt.Errorf("%w: version %d, kind %d", ErrForeign, version, kind)
	}
	h := RegionHeader{
		Kind: kind,
		Geometry: Geometry{
			Slots:     clampInt(mem.Uint64At(region, headerSlots).Load()),
			SlotBytes: clampInt(mem.Uint64At(region, headerSlotBytes).Load()),
			MPSC:      kind >= KindMPSCProducer,
		},
		Start: mem.Uint64At(region, headerStart).Load(),
	}
	return h, h.Validate()
}

// clampInt returns v, or the largest int, which is no power of two and so never valid.
func clampInt(v uint64) int { return int(min(v, math.MaxInt)) }

// Side is what an inspector sees of one side of a ring, in that side's own region. The producers of an MPSC ring are one
// side; [Snapshot.Owners] tells them apart.
type Side struct {
	Attached bool   // a handle has been made on the region; otherwise the rest is 0 but for Position
	Position uint64 // the consumer's as published, the producer's as its descriptors or the claim word show it
	Closed   bool   // the handle was closed; of an MPSC ring: some have joined, and all have left in order
	Parks    uint64 // sleeps announced since the region was new
	Sleeping uint32 // how many sleep now
	Doorbell uint32 // how often it rang since the region was new, modulo 2^32
	Stats    Stats  // what the side last shared, see [SharedStats]; of an MPSC ring: those of Owners together
}

// Snapshot is a look at a ring from outside.
type Snapshot struct {
	Geometry
	Producer *Side // nil if its region was not given
	Consumer *Side // nil if its region was not given

	// What waits to be taken; 0 unless both regions were given.
	Records uint64 // messages
	Bytes   uint64 // their payload
	Slots   uint64 // slots between the positions, paddings and what the last slots leave unused included

	// Of an MPSC ring only, the second like what waits.
	Owners     []Owner           // who has, or last had, each number that was ever used; lowest number first
	Unfinished []UnfinishedClaim // what the consumer waits for, in its order; at most one of each owner

	// Settled says that neither the consumer's position nor the producer's closed word changed during the look, nor the
	// claim word or an owner's word of an MPSC ring, so that the positions and counts belong to one moment. On a busy ring
	// they may not: then records counted here may have been taken meanwhile. Claims may be committed all the same.
	Settled bool

	// Trouble is the first thing that the protocol rules out, nil if nothing is wrong. It is looked for in settled
	// snapshots only.
	Trouble *CorruptError
}

// inspections is how often Inspect looks at a ring that moves before it says so.
const inspections = 16

// Inspect looks at a ring of geometry g that other processes use, or used before they died. It only loads: both regions
// may be mapped read-only. It believes nothing: whatever the regions hold and however they change meanwhile, it takes
// at most g.Slots steps for each of at most 16 looks, and one for each possible owner of an MPSC ring, never touches a
// payload, and never panics.
//
// Either region may be nil if its memory cannot be had. Without the consumer's the producer's position is found from
// what the producer last shared; without the producer's it is unknown, and what waits is unknown without either.
//
// The error is for regions that are too short or misaligned, and for an impossible g.
func Inspect(producer, consumer []byte, g Geometry) (Snapshot, error) {
	in, err := newInspector(producer, consumer, g)
	if err != nil {
		return Snapshot{}, err
	}
	for range inspections {
		if s := in.look(); s.Settled {
			return s, nil
		}
	}
	return in.look(), nil
}

// inspector holds the regions of one Inspect. The consumer in it is never more than arithmetic: it has no words to
// write, and check is all that is used of it.
type inspector struct {
	producer, consumer []byte
	g                  Geometry
	walker             Consumer
}

func newInspector(producer, consumer []byte, g Geometry) (*inspector, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	in := &inspector{producer: producer, consumer: consumer, g: g}
	if producer != nil {
		region, err := checkRegion("producer", producer, g.ProducerBytes())
		if err != nil {
			return nil, err
		}
		in.walker.shape = makeShape(region, g)
	}
	if consumer != nil {
		if _, err := checkRegion("consumer", consumer, g.ConsumerBytes()); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// look makes one snapshot. What it finds wrong counts only if nothing has moved from its beginning to its end: until
// the consumer publishes a new position, the producer cannot touch a descriptor between the two (I5).
func (in *inspector) look() Snapshot {
	before := in.marks() // before anything else is read: what is read must not be older
	s := Snapshot{Geometry: in.g, Producer: side(in.producer), Consumer: side(in.consumer)}
	if in.producer != nil && in.g.MPSC {
		in.lookAtOwners(&s)
	}
	switch {
	case in.producer != nil && in.consumer != nil && in.g.MPSC:
		s.Trouble = in.countShared(&s, before)
	case in.producer != nil && in.consumer != nil:
		s.Trouble = in.count(&s, before.closed)
	case in.producer != nil && in.g.MPSC:
		s.Producer.Position = in.furthest(before.claim, &s)
	case in.producer != nil:
		s.Producer.Position = in.walk(s.Producer.Stats.Position, nil).to
	case in.consumer != nil:
		s.Consumer.Position = before.consumer
	}
	if s.Settled = in.marks() == before; !s.Settled {
		s.Trouble = nil
	}
	return s
}

// marks are the words whose change during a look unsettles it.
type marks struct{ claim, consumer, closed, shared, owners uint64 }

func (in *inspector) marks() (m marks) {
	m.claim, m.consumer = in.positions()
	if in.producer != nil {
		m.closed = mem.Uint64At(in.producer, ProducerClosedOffset).Load()
		m.shared = SharedStats(in.producer).Position
	}
	if in.producer != nil && in.g.MPSC {
		m.owners = in.ownerWords()
	}
	return m
}

// side reads the words that both regions have in the same places.
func side(region []byte) *Side {
	if region == nil {
		return nil
	}
	return &Side{
		Attached: mem.Uint64At(region, headerMagic).Load() == Magic,
		Closed:   mem.Uint64At(region, ProducerClosedOffset).Load() != 0,
		Parks:    mem.Uint64At(region, ProducerParksOffset).Load(),
		Sleeping: mem.Uint32At(region, ProducerSleepingOffset).Load(),
		Doorbell: mem.Uint32At(region, ProducerDoorbellOffset).Load(),
		Stats:    SharedStats(region),
	}
}

// consumerPosition is what the consumer published or, before there is one, where it will start.
func (in *inspector) consumerPosition(p, c *Side, published uint64) uint64 {
	if !c.Attached && p.Attached {
		return mem.Uint64At(in.producer, headerStart).Load()
	}
	return published
}

// count goes from the consumer's position to the producer's and fills in what lies between.
func (in *inspector) count(s *Snapshot, closed uint64) *CorruptError {
	published := mem.Uint64At(in.consumer, ConsumerPositionOffset).Load()
	s.Consumer.Position = in.consumerPosition(s.Producer, s.Consumer, published)
	w := in.walk(s.Consumer.Position, s.Producer)
	s.Producer.Position, s.Slots = w.to, w.to-s.Consumer.Position
	s.Records, s.Bytes = w.records, w.bytes
	if w.trouble == nil && closed != 0 && closed-1 != w.to {
		// The closed word was loaded before the walk, so every descriptor was there.
		return &CorruptError{
			Region: "producer", Field: "final position", Position: s.Consumer.Position, Got: closed - 1,
			Want: fmt.Sprint(w.to),
		}
	}
	return w.trouble
}

// walked is what lies between a position and the producer's.
type walked struct {
	to             uint64
	records, bytes uint64
	trouble        *CorruptError
}

// walk goes from record to record as a consumer at position from would, but for at most a ring. If p is given, what it
// shared must fit.
func (in *inspector) walk(from uint64, p *Side) walked {
	w := walked{to: from, trouble: in.plausible(from, p)}
	if w.trouble == nil {
		w.to, w.trouble = in.each(from, func(_, d uint64) bool {
			w.records++
			w.bytes += d >> xShift & xMask
			return true
		})
	}
	return w
}

// each calls f with the position and the descriptor of every record from position from on, for at most a ring and while f
// returns true. It returns the position where it stopped, and why if that is something impossible.
func (in *inspector) each(from uint64, f func(at, d uint64) bool) (to uint64, trouble *CorruptError) {
	for to, n := from, uint64(in.g.Slots); ; {
		if to-from >= n {
			return to, nil
		}
		d := in.word(to).Load()
		if !counts(d, to, in.walker.lapShift) {
			return to, nil
		}
		slots, trouble := in.check(to, d, n-(to-from))
		if trouble != nil || d&stateMask == stateCommitted && !f(to, d) {
			return to, trouble
		}
		to += slots
	}
}

func (in *inspector) word(at uint64) *mem.Word64 { return &in.walker.descs[at&in.walker.mask] }

// check bounds descriptor d at position at as the consumer does, and by the slots that are free for it (I2).
func (in *inspector) check(at, d, free uint64) (uint64, *CorruptError) {
	in.walker.pos, in.walker.err = at, nil
	slots, err := in.walker.check(d)
	if trouble := (*CorruptError)(nil); errors.As(err, &trouble) {
		return 0, trouble
	}
	return slots, in.within(at, slots, free)
}

// within says what is wrong with so many slots from position at, of which some were free for them or had been claimed.
func (in *inspector) within(at, slots, free uint64) *CorruptError {
	if slots <= free {
		return nil
	}
	word := "free"
	if in.g.MPSC {
		word = "claimed"
	}
	return &CorruptError{
		Region: "producer", Field: "slots", Position: at, Got: slots,
		Want: fmt.Sprintf("at most the %d that were %s", free, word),
	}
}

// plausible compares the consumer's position with what the producer last shared, which is at most two rings old. A
// position far ahead of the producer looks like an empty ring otherwise.
func (in *inspector) plausible(consumer uint64, p *Side) *CorruptError {
	if p == nil || p.Stats.Position == 0 { // nothing shared yet
		return nil
	}
	if in.near(p.Stats.Position, consumer) {
		return nil
	}
	return in.implausible(p.Stats.Position, consumer)
}

// near reports whether the consumer can be at a position if the producer last said that it is at shared.
func (in *inspector) near(shared, consumer uint64) bool {
	n := uint64(in.g.Slots)
	return shared-consumer <= n || consumer-shared <= 2*n
}

func (in *inspector) implausible(shared, consumer uint64) *CorruptError {
	n := uint64(in.g.Slots)
	return &CorruptError{
		Region: "consumer", Field: "position", Position: consumer, Got: consumer,
		Want: fmt.Sprintf("%d to %d, since the producer has been at %d", shared-n, shared+2*n, shared),
	}
}
