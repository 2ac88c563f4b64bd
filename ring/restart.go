package ring

import (
	"fmt"
	"math"

	"github.com/shmwire/shmwire/internal/mem"
)

// place is where a handle begins.
type place struct {
	pos   uint64 // its own position
	cons  uint64 // the consumer's
	start uint64 // of the ring, for the header
}

// checkPredecessor returns an error unless the region is unused or was last used for a ring of this kind and shape:
// anywhere else the words that Resume goes by would be something else.
func checkPredecessor(name string, own []byte, kind uint32, g Geometry) error {
	if !used(own) {
		return nil
	}
	gotKind := mem.Uint32At(own, headerKind).Load()
	slots, slotBytes := mem.Uint64At(own, headerSlots).Load(), mem.Uint64At(own, headerSlotBytes).Load()
	if gotKind != kind || slots != uint64(g.Slots) || slotBytes != uint64(g.SlotBytes) {
		return fmt.Errorf("ring: resume: %s region was used for kind %d with %d slots of %d bytes, want kind %d with %d of %d",
			name, gotKind, slots, slotBytes, kind, g.Slots, g.SlotBytes)
	}
	return nil
}

// used reports whether a handle has ever been made on the region.
func used(own []byte) bool { return mem.Uint64At(own, headerMagic).Load() == Magic }

// startOf returns what the region's header says about the ring's start; at if there is none.
func startOf(own []byte, at uint64) uint64 {
	if used(own) {
		return mem.Uint64At(own, headerStart).Load()
	}
	return at
}

// producerPlace returns where a producer of an SPSC ring begins. It writes nothing.
func producerPlace(own, peer []byte, cfg *Config) (place, error) {
	if !cfg.Resume {
		return place{cfg.Start, cfg.Start, cfg.Start}, nil
	}
	if err := checkPredecessor("producer", own, KindSPSCProducer, cfg.Geometry); err != nil {
		return place{}, err
	}
	in, err := newInspector(own, peer, cfg.Geometry)
	if err != nil {
		return place{}, err
	}
	// sync(position) takes over: the slots before it, as in Producer.loadConsumer. A consumer that goes on meanwhile does
	// no harm: what it gives back during the walk stays as it is, since nobody but us would overwrite it.
	c := mem.Uint64At(peer, ConsumerPositionOffset).Load()
	if trouble := in.reachable(c); trouble != nil {
		return place{}, trouble
	}
	w := in.walk(c, nil)
	if w.trouble != nil {
		return place{}, w.trouble
	}
	if n := uint64(cfg.Slots); w.to == math.MaxUint64 && w.to-c == n {
		// No predecessor has left it so (I6), and the padding with which Close leads on would lie on the oldest record.
		return place{}, &CorruptError{
			Region: "producer", Field: "slots", Position: w.to, Got: n, Want: fmt.Sprintf("at most %d before position 2^64-1", n-1),
		}
	}
	return place{w.to, c, startOf(own, w.to)}, nil
}

// moveTo has a handle that has done nothing begin somewhere else.
func (p *Producer) moveTo(at place) {
	p.pos, p.limit, p.shared, p.cons = at.pos, at.pos, at.pos, at.cons
	p.rewindAt = p.pos + p.hotSlots
}

// reachable compares the consumer's position with what the last producer knew of its own, if there was one. A consumer
// that lies about it could otherwise have the new producer begin anywhere.
func (in *inspector) reachable(consumer uint64) *CorruptError {
	p := side(in.producer)
	if p.Stats.Position != 0 || !p.Attached {
		return in.plausible(consumer, p)
	}
	// Nothing has been shared, so the producer has not gone once around since the start. Or it has shared that it was at
	// 0, if it started where that could come to pass.
	start := startOf(in.producer, 0)
	if in.near(start, consumer) || int64(start) < 0 && in.near(0, consumer) {
		return nil
	}
	return in.implausible(start, consumer)
}

// resume makes the region of an SPSC producer ready for the handle, which begins behind the last record that is whole.
//
// A predecessor that died inside a batch, or between a record and the padding before it, has left descriptors of the
// current lap behind its position. Once ours got there, the consumer would take them for records. So all that the
// consumer could look at before we have written it is cleared, first of all, and again by the next one if we die here.
// The consumer meanwhile finds nothing at our position, before and after.
func (p *Producer) resume() {
	for at, end := p.pos, p.cons+p.mask+1; at != end; at++ {
		if d := &p.descs[at&p.mask]; d.Load() != 0 { // memory that was never touched stays so
			// sync(clear) publishes: nothing; it takes away what nobody may find. Pairs with Consumer.lookHere.
			mem.StoreRelease64(d, stateEmpty)
		}
	}
	p.sleeping.Store(0) // a predecessor may have died asleep
	p.shareStats()      // see reachable
}

// consumerPlace returns where a consumer begins. It writes nothing.
func consumerPlace(own []byte, cfg *Config) (place, error) {
	if !cfg.Resume {
		return place{cfg.Start, cfg.Start, cfg.Start}, nil
	}
	_, kind := cfg.kinds()
	if err := checkPredecessor("consumer", own, kind, cfg.Geometry); err != nil {
		return place{}, err
	}
	// sync(resume) takes over: what a predecessor gave back stays given back, and the producer may have overwritten it.
	// Pairs with Consumer.publishPosition of the predecessor.
	c := mem.Uint64At(own, ConsumerPositionOffset).Load()
	return place{c, c, startOf(own, c)}, nil
}

// resume makes the region of a consumer ready for the handle, which begins at the position published last. That stays
// as it is: it is the one word that the producer goes by.
func (c *Consumer) resume() {
	c.sleeping.Store(0) // a predecessor may have died asleep
	c.shareStats()
}
