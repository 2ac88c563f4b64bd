package ring

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/shmwire/shmwire/internal/mem"
)

// Producer is a sending side of a ring. It belongs to one goroutine at a time; a call that finds another one
// waiting panics.
//
// In the terminology of the Go memory model, the commit of a record synchronizes before the call that takes it.
type Producer struct {
	shape
	pos   uint64 // I2; everything before it is published
	limit uint64 // up to here slots are known to be free; pos ≤ limit ≤ cons + N
	ringer
	state uint8

	cons     uint64      // last valid position of the consumer
	rewindAt uint64      // when pos gets here, see whether to go back to the front; limit stops here too
	consumer *mem.Word64 // written by: the consumer
	closing  *mem.Word64 // the consumer's closed word; written by: the consumer
	closed   *mem.Word64 // written by: this handle

	open claim
	sleeper
	seat *seat  // MPSC only
	need uint64 // slots that the running call waits for
	err  error  // why the handle is poisoned

	stats  Stats // the fields counted here; see Stats
	shared uint64
	words  []mem.Word64
	tenure tenure
}

// NewProducer returns the producer of the ring whose producer region is own, which this process may write, and whose
// consumer region is peer, which is never written and may be mapped read-only. own is zeroed memory, or has been
// written only by producers of the same geometry whose last position was cfg.Start and which left no batch unfinished.
// Both start at a multiple of 128 bytes; the ring keeps using them, also for views, until the last call has returned.
//
// With cfg.Resume own has been used by a producer of the same geometry, which may have died at any instruction but must
// be proven dead or closed: the new one goes on behind the last record that was committed, undoes what was not, and
// reopens a closed stream. It takes at most cfg.Slots steps twice. If the predecessor lives after all, it panics when
// next it waits, closes, or asks for space.
//
// On an MPSC ring own is shared with the other producers and belongs to all of them. The handle takes the owner number
// Config.Owner; the error is [ErrOwners] if it cannot have one now, see [Join].
//
// It rings the consumer once. The error names the field or region that is impossible, before anything was written; it is
// a [*CorruptError] if no predecessor can have left the ring so.
func NewProducer(own, peer []byte, cfg Config) (*Producer, error) {
	if cfg.MPSC {
		j, err := newJoiner(own, peer, cfg)
		if err != nil {
			return nil, err
		}
		return j.join()
	}
	own, peer, err := producerRegions(own, peer, &cfg)
	if err != nil {
		return nil, err
	}
	at, err := producerPlace(own, peer, &cfg)
	if err != nil {
		return nil, err
	}
	p := newProducer(own, peer, &cfg)
	p.moveTo(at)
	if cfg.Resume {
		p.resume()
	}
	p.closed.Store(0)
	p.tenure = makeTenure(own, writeHeader(own, KindSPSCProducer, cfg.Geometry, at.start))
	p.ring()
	return p, nil
}

// producerRegions checks what a producer is made of, and cuts the regions to their lengths.
func producerRegions(own, peer []byte, cfg *Config) (_, _ []byte, err error) {
	if err := cfg.validate(); err != nil {
		return nil, nil, err
	}
	if own, err = checkRegion("producer", own, cfg.ProducerBytes()); err != nil {
		return nil, nil, err
	}
	if peer, err = checkRegion("consumer", peer, cfg.ConsumerBytes()); err != nil {
		return nil, nil, err
	}
	return own, peer, nil
}

// newProducer returns a handle at Config.Start that has written nothing.
func newProducer(own, peer []byte, cfg *Config) *Producer {
	p := &Producer{
		shape:    makeShape(own, cfg.Geometry),
		ringer:   makeRinger(cfg, peer),
		pos:      cfg.Start,
		limit:    cfg.Start,
		cons:     cfg.Start,
		shared:   cfg.Start,
		consumer: mem.Uint64At(peer, ConsumerPositionOffset),
		closing:  mem.Uint64At(peer, ConsumerClosedOffset),
		closed:   mem.Uint64At(own, ProducerClosedOffset),
		words:    mem.Uint64s(own, ProducerStatsOffset, statsWords),
	}
	p.rewindAt = p.pos + p.hotSlots
	p.sleeper = makeSleeper(cfg, own, p.lookForSpace, p.shareStats)
	return p
}

// MaxRecord returns the length in bytes of the longest message: [Geometry.MaxRecord].
func (p *Producer) MaxRecord() int { return p.maxRecord }

// Position returns the position after the last record that this handle committed, or padding or aborted claim on an MPSC
// ring, in slots since position 0.
func (p *Producer) Position() uint64 { return p.pos }

// Err returns the [*CorruptError] that ended the handle, or nil.
func (p *Producer) Err() error { return p.err }

// Stats returns what the handle has done. The numbers are exact, except HighWater, which is the highest level seen.
func (p *Producer) Stats() Stats {
	s := p.stats
	s.Waits, s.Parks, s.Rings, s.Position = p.waits, p.parked, p.rings, p.pos
	return s
}

// TrySend sends a copy of msg as one record if there is space for it now. ok=false with a nil error means that there
// is none. Errors: ErrTooLarge, ErrCorrupt, [os.ErrClosed] after Close, [io.ErrClosedPipe] when there is no space and
// the consumer has closed.
func (p *Producer) TrySend(msg []byte) (ok bool, err error) {
	at, slots := p.pos, p.slotsFor(len(msg))
	i := at & p.mask
	// limit says that the slots are free (I5); on an MPSC ring it never does. They must end before the ring does (I4).
	if p.state != 0 || len(msg) > p.maxRecord || p.limit-at < slots || i+slots > p.mask+1 {
		return p.trySend(msg)
	}
	copy(p.slots[i<<(p.slotShift&63):], msg)
	p.pos = at + slots
	p.stats.Records++
	p.stats.Bytes += uint64(len(msg))
	// sync(commit) publishes: the payload above. Pairs with Consumer.lookHere. sync(park): as in ringer.publish, which this
	// is, by hand: a call less is a tenth of the whole.
	w, word := &p.descs[i], descriptor(at, p.lapShift, uint64(len(msg)), stateCommitted)
	if !p.fenced {
		mem.StoreRelease64(w, word)
		return true, nil
	}
	w.Store(word)
	if parks := p.ringer.parks.Load(); parks != p.rung {
		p.ringFor(parks)
	}
	return true, nil
}

func (p *Producer) trySend(msg []byte) (bool, error) {
	if err := p.usable("TrySend"); err != nil {
		return false, err
	}
	if p.seat != nil {
		return p.trySendShared(msg)
	}
	skip, err := p.reserve(len(msg))
	if err != nil || p.limit-p.pos < p.need {
		return false, err
	}
	copy(p.payload(p.pos+skip, len(msg)), msg)
	p.commit(skip, len(msg))
	return true, nil
}

// Send sends a copy of msg as one record, waiting for space as long as it takes. A nil error means that the record
// is committed. Errors: those of [Producer.TrySend]; ctx.Err() and what Config.Stopped returns, in which case nothing
// was sent.
func (p *Producer) Send(ctx context.Context, msg []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		if ok, err := p.TrySend(msg); ok || err != nil {
			return err
		}
		if err := p.await(ctx); err != nil {
			return err
		}
	}
}

// Close marks the end of the stream: the consumer gets [io.EOF] after the last committed record, on an MPSC ring when
// all producers have gone and everything has been taken. An open claim is given up. Close rings the consumer whether it sleeps or not; a second call does nothing. It needs no space and
// does not wait.
func (p *Producer) Close() {
	if p.state&handleBusy != 0 {
		p.misuse("Close")
	}
	if p.state&handleClosed != 0 {
		return
	}
	p.mustBeAlone()
	if p.seat != nil {
		p.closeShared()
		return
	}
	if p.pos == math.MaxUint64 {
		// The closed word cannot say 2^64−1 + 1. One padding leads to position 0; space kept a slot free for it (I6).
		p.put(p.pos, descriptor(p.pos, p.lapShift, 1, stateSkip))
		p.pos = 0
	}
	p.state = p.state&^handleOpen | handleClosed
	p.stopWatching()
	p.shareStats()
	// sync(close) publishes: no descriptor follows. Pairs with Consumer.find, which looks for a record once more after
	// it has seen this word.
	p.closed.Store(p.pos + 1)
	p.ring()
}

// put stores a descriptor that ends a flush.
//
// sync(commit) publishes: the payloads written before, and the descriptors behind this one. Pairs with Consumer.lookHere.
func (p *Producer) put(at, word uint64) { p.publish(&p.descs[at&p.mask], word) }

// commit publishes the record of n bytes at pos + skip whose payload has been written.
func (p *Producer) commit(skip uint64, n int) {
	at := p.pos + skip
	word := descriptor(at, p.lapShift, uint64(n), stateCommitted)
	p.stats.Records++
	p.stats.Bytes += uint64(n)
	if skip == 0 {
		p.pos = at + p.slotsFor(n)
		p.put(at, word)
		return
	}
	// The consumer cannot look past the descriptor at pos, so the record's own goes first and the SKIP publishes both.
	mem.StorePlain64(&p.descs[at&p.mask], word)
	from := p.pos
	p.pos = at + p.slotsFor(n)
	p.stats.Skips++
	p.put(from, descriptor(from, p.lapShift, skip, stateSkip))
}

// reserve makes sure that n bytes can be a record, sets need to the slots for it and the padding before it, and looks
// for them. The caller finds them free if limit − pos ≥ need.
func (p *Producer) reserve(n int) (skip uint64, err error) {
	if n > p.maxRecord {
		return 0, &TooLargeError{Got: n, Max: p.maxRecord}
	}
	skip, p.need = p.span(p.pos, n)
	if skip == 0 && p.hotSlots != 0 && int64(p.pos-p.rewindAt) >= 0 {
		if skip, err = p.rewind(); err != nil {
			return 0, err
		}
		p.need += skip
	}
	_, err = p.space(p.pos, p.need)
	return skip, err
}

// rewind returns how many slots to skip, up to the end of the ring, so that the next record lies at the front again; 0
// is none. It does so once in hotBytes, if the consumer has taken everything: then the front has been used a moment ago
// and lies in the caches, and in memory that both sides have touched, while the slots ahead have not for a whole lap.
// Exchanges of requests and answers so stay within hotBytes; a stream goes round.
func (p *Producer) rewind() (skip uint64, err error) {
	p.rewindAt = p.pos + p.hotSlots
	if err := p.loadConsumer(); err != nil || p.cons != p.pos || p.need > p.pos&p.mask {
		return 0, err
	}
	skip = p.left(p.pos)
	p.rewindAt += skip
	return skip, nil
}

// span returns the padding before a record of n bytes at position at, and the slots for both. At most 2·N/2 − 1, so
// an empty ring always has them.
func (p *Producer) span(at uint64, n int) (skip, need uint64) {
	need = p.slotsFor(n)
	if left := p.left(at); need > left {
		return left, left + need
	}
	return 0, need
}

// space reports whether need slots from position at are free. It asks the consumer's region only if it seems not. When
// they are not free, everything committed has been made visible and answered before it says so (I9).
func (p *Producer) space(at, need uint64) (bool, error) {
	if p.limit-at >= need {
		return true, nil
	}
	if err := p.loadConsumer(); err != nil {
		return false, err
	}
	p.extend(at, need)
	p.stats.HighWater = max(p.stats.HighWater, at-p.cons)
	if p.pos != p.shared {
		p.shareStats()
	}
	if p.limit-at >= need {
		return true, nil
	}
	// sync(no-reader) takes over: nothing but the fact. Pairs with Consumer.Close.
	if p.closing.Load() != 0 {
		return false, io.ErrClosedPipe
	}
	p.answer()
	return false, nil
}

// loadConsumer asks the consumer's region how far it is.
func (p *Producer) loadConsumer() error {
	p.mustBeAlone()
	// sync(position) takes over: the slots before it, which the consumer no longer reads. Pairs with Consumer.publishPosition.
	c := p.consumer.Load()
	if c-p.cons > p.pos-p.cons {
		return p.poison("position", c, fmt.Sprintf("%d to %d", p.cons, p.pos))
	}
	p.cons = c
	return nil
}

// extend moves limit to the end of the free slots. Near position 2^64 it grants records one by one instead, because
// one that ended at 2^64−1 exactly must leave a slot free behind it (I6).
func (p *Producer) extend(at, need uint64) {
	free := p.mask + 1 - (at - p.cons)
	top := math.MaxUint64 - at
	switch {
	case free < top:
		p.limit = at + free
	case need > free || need == top && need == free:
		p.limit = at
	default:
		p.limit = at + need
	}
	// Where pos reaches rewindAt, or a record lies across it, the next one is to come by reserve.
	if stop := p.rewindAt - at; p.hotSlots != 0 && int64(stop) > 0 && stop < p.limit-at {
		p.limit = at + max(stop, min(need, p.limit-at))
	}
}

func (p *Producer) lookForSpace() bool {
	if p.seat != nil {
		return p.lookForRoom()
	}
	ok, err := p.space(p.pos, p.need)
	return ok || err != nil // the caller asks again and gets the error
}

// await waits until there are need slots, or anything else to hear of.
func (p *Producer) await(ctx context.Context) error {
	p.state |= handleBusy
	err := p.wait(ctx)
	p.state &^= handleBusy
	return err
}

// usable returns nil if a call may go on, and panics if the caller must not have made it.
func (p *Producer) usable(op string) error {
	switch {
	case p.state == 0:
		return nil
	case p.state&(handleBusy|handleOpen) != 0:
		p.misuse(op)
	case p.state&handlePoisoned != 0:
		return p.err
	}
	return os.ErrClosed
}

func (p *Producer) misuse(op string) {
	if p.state&handleBusy != 0 {
		panic(fmt.Sprintf("ring: %s at position %d while another call on the producer waits", op, p.pos))
	}
	panic(fmt.Sprintf("ring: %s at position %d while a claim of %d bytes is open", op, p.pos, p.open.length))
}

func (p *Producer) poison(field string, got uint64, want string) error {
	p.err = &CorruptError{Region: "consumer", Field: field, Position: p.pos, Got: got, Want: want}
	p.state |= handlePoisoned
	return p.err
}

func (p *Producer) shareStats() {
	s := p.Stats()
	shareStats(p.words, &s)
	p.shared = p.pos
}
