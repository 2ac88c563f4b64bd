package ring

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/shmwire/shmwire/internal/mem"
)

// Consumer is the receiving side of a ring. It belongs to one goroutine at a time; a call that finds another one
// waiting panics.
//
// In the terminology of the Go memory model, the commit of a record synchronizes before the call that takes it, and
// the call that gives a slot back synchronizes before the send that fills it anew.
type Consumer struct {
	shape
	pos       uint64 // I2; everything before it has been taken
	ahead     uint64 // the checked descriptor at pos, COMMITTED; 0 if not seen yet
	published uint64 // what the producer knows of pos
	every     uint64 // slots after which it hears at the latest: max(1, N/8)
	expect    int    // bytes of the next record: as many as the last had
	ringer
	state uint8

	position *mem.Word64 // written by: this handle
	closing  *mem.Word64 // the producer's closed word; written by: the producer
	closed   *mem.Word64 // written by: this handle

	sleeper
	watch    *watch // MPSC only
	drainEnd uint64 // with handleDraining: nothing that ends behind it is delivered
	err      error  // why the handle is poisoned

	stats  Stats
	shared uint64
	words  []mem.Word64
	tenure tenure
}

// NewConsumer returns the consumer of the ring whose consumer region is own, which this process may write, and whose
// producer region is peer, which is never written and may be mapped read-only. Both start at a multiple of 128 bytes;
// the ring keeps using them, also for views, until the last call has returned.
//
// With cfg.Resume own has been used by a consumer of the same geometry, which must be proven dead or closed: the new one
// goes on at the position that was published last. So records that the predecessor took without giving them back, or
// gave back without publishing it yet (up to an eighth of the ring), come once more, and none is left out. If the
// predecessor lives after all, it panics when next it sleeps, closes, or has gone once around.
//
// It rings the producer once. The error names the field or region that is impossible.
func NewConsumer(own, peer []byte, cfg Config) (*Consumer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	own, err := checkRegion("consumer", own, cfg.ConsumerBytes())
	if err != nil {
		return nil, err
	}
	if peer, err = checkRegion("producer", peer, cfg.ProducerBytes()); err != nil {
		return nil, err
	}
	at, err := consumerPlace(own, &cfg)
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		shape:     makeShape(peer, cfg.Geometry),
		ringer:    makeRinger(&cfg, peer),
		pos:       at.pos,
		published: at.pos,
		shared:    at.pos,
		every:     max(1, uint64(cfg.Slots)/8),
		position:  mem.Uint64At(own, ConsumerPositionOffset),
		closing:   mem.Uint64At(peer, ProducerClosedOffset),
		closed:    mem.Uint64At(own, ConsumerClosedOffset),
		words:     mem.Uint64s(own, ConsumerStatsOffset, statsWords),
		watch:     makeWatch(peer, &cfg),
	}
	c.sleeper = makeSleeper(&cfg, own, c.lookForRecord, c.shareStats)
	if c.watch != nil {
		c.longest = c.bounded(idleWait)
	}
	if cfg.Resume {
		c.resume()
	} else {
		c.position.Store(at.pos)
	}
	c.closed.Store(0)
	_, kind := cfg.kinds()
	c.tenure = makeTenure(own, writeHeader(own, kind, cfg.Geometry, at.start))
	c.ring()
	return c, nil
}

// Position returns the position after the last record that was given back, in slots since position 0.
func (c *Consumer) Position() uint64 { return c.pos }

// Err returns the [*CorruptError] that ended the handle, or nil.
func (c *Consumer) Err() error { return c.err }

// Stats returns what the handle has done. The numbers are exact.
func (c *Consumer) Stats() Stats {
	s := c.stats
	s.Waits, s.Parks, s.Rings, s.Position = c.waits, c.parked, c.rings, c.pos
	return s
}

// TryReceive takes the next record if there is one now and appends its message to buf[:0]. The result is the caller's;
// it is buf, emptied, when there is no message. ok=false with a nil error means that there is none yet. Errors:
// [io.EOF] once the producer has closed and everything has been taken, ErrCorrupt, [os.ErrClosed] after Close. It
// panics while a [Record] is not released.
func (c *Consumer) TryReceive(buf []byte) (msg []byte, ok bool, err error) {
	if c.ahead == 0 || c.state != 0 {
		if ready, err := c.ready("TryReceive"); !ready {
			return buf[:0], false, err
		}
	}
	n := int(c.ahead >> xShift & xMask)
	msg = append(buf[:0], c.payload(c.pos, n)...)
	c.give(n)
	return msg, true, nil
}

// Receive takes the next record, waiting for it as long as it takes, and appends its message to buf[:0]. Errors: those
// of [Consumer.TryReceive]; ctx.Err() and what Config.Stopped returns, in which case nothing was taken.
func (c *Consumer) Receive(ctx context.Context, buf []byte) (msg []byte, err error) {
	if err := ctx.Err(); err != nil {
		return buf[:0], err
	}
	if c.ahead != 0 && c.state == 0 { // TryReceive without its call
		n := int(c.ahead >> xShift & xMask)
		msg = append(buf[:0], c.payload(c.pos, n)...)
		if !c.advance(n) || c.pos-c.published >= c.every { // give without its call
			c.publishPosition()
		}
		return msg, nil
	}
	for {
		if msg, ok, err := c.TryReceive(buf); ok || err != nil {
			return msg, err
		}
		if err := c.await(ctx); err != nil {
			return buf[:0], err
		}
	}
}

// DrainAtMost bounds what is still delivered to records that lie within the next so many slots; after that the Try
// methods say ok=false. It is for a peer that is gone, whose region nevertheless may be rewritten for ever. A later
// call can only lower the bound. Unlike the other methods it may be called from Config.Stopped.
func (c *Consumer) DrainAtMost(slots uint64) {
	if c.state&handleDraining == 0 || slots < c.drainEnd-c.pos {
		c.drainEnd = c.pos + slots
	}
	c.state |= handleDraining
}

// Close tells the producer that nothing more will be read. It rings whether the producer sleeps or not; a second call
// does nothing.
func (c *Consumer) Close() {
	if c.state&handleBusy != 0 {
		c.misuse("Close")
	}
	if c.state&handleClosed != 0 {
		return
	}
	c.mustBeAlone()
	c.state |= handleClosed
	c.stopWatching()
	c.shareStats()
	c.position.Store(c.pos)
	// sync(no-reader) publishes: nothing; the word by itself ends the producer's wait. Pairs with Producer.space.
	c.closed.Store(max(1, c.pos+1))
	c.ring()
}

// ready reports whether there is a record at pos, described by ahead, for a call that may go on.
func (c *Consumer) ready(op string) (bool, error) {
	if err := c.usable(op); err != nil {
		return false, err
	}
	return c.find()
}

// find looks for a record at pos. Before it says that there is none, everything taken has been given back (I9).
func (c *Consumer) find() (bool, error) {
	if found, err := c.lookHere(); found || err != nil {
		return found, err
	}
	if c.pos != c.published {
		c.publishPosition()
	}
	if c.watch != nil {
		return c.findShared()
	}
	// sync(close) takes over: whatever was committed is visible now, so a look that finds nothing is final. Pairs with
	// Producer.Close.
	closed := c.closing.Load()
	if closed == 0 {
		return false, nil
	}
	if found, err := c.lookHere(); found || err != nil {
		return found, err
	}
	switch {
	case closed-1 == c.pos:
		c.state |= handleEnded
		return false, io.EOF
	case c.held():
		return false, nil
	}
	return false, c.poison("final position", closed-1, fmt.Sprintf("%d, where no record is", c.pos))
}

// lookHere looks at the descriptor at pos and, if that is a padding, at the one behind it. With one producer more steps
// than these two cannot come, since a padding ends at index 0, where none may start (I4); with many an aborted claim is a
// padding too, and a ring's worth of them is the limit.
func (c *Consumer) lookHere() (bool, error) {
	for from := c.pos; c.pos-from <= c.mask; {
		// sync(commit) takes over: the payload of the record at pos, and the descriptors of its batch. Pairs with
		// Producer.put and Producer.TrySend.
		d := c.descs[c.pos&c.mask].Load()
		if !counts(d, c.pos, c.lapShift) || c.mpsc && d&stateMask == stateBusy {
			return false, nil
		}
		slots, err := c.check(d)
		if err != nil {
			return false, err
		}
		if c.state&handleDraining != 0 && slots > c.drainEnd-c.pos {
			return false, nil
		}
		if d&stateMask == stateCommitted {
			c.ahead = d
			return true, nil
		}
		c.pos += slots
		c.stats.Skips++
	}
	return false, nil
}

// held reports whether there is something at pos that DrainAtMost holds back.
func (c *Consumer) held() bool {
	return c.state&handleDraining != 0 && counts(c.descs[c.pos&c.mask].Load(), c.pos, c.lapShift)
}

// check bounds everything that descriptor d, which counts for pos, says (I4), and returns the slots it covers.
func (c *Consumer) check(d uint64) (slots uint64, err error) {
	x, left := d>>xShift&xMask, c.left(c.pos)
	switch d & stateMask {
	case stateCommitted:
		if x > uint64(c.maxRecord) {
			return 0, c.poison("record length", x, fmt.Sprintf("at most %d", c.maxRecord))
		}
		if slots = c.slotsFor(int(x)); slots > left {
			return 0, c.poison("record length", x, fmt.Sprintf("at most %d slots of %d bytes", left, c.slotBytes))
		}
		return slots, nil
	case stateSkip:
		if c.mpsc {
			return c.checkAborted(x, left)
		}
		if left > c.mask {
			return 0, c.poison("skip", x, "no padding at the start of the ring")
		}
		if x != left {
			return 0, c.poison("skip", x, fmt.Sprintf("the %d slots left", left))
		}
		return x, nil
	}
	return 0, c.poison("descriptor state", d&stateMask, "EMPTY (0), COMMITTED (2) or SKIP (3)")
}

// checkAborted bounds a SKIP of an MPSC ring, which covers an aborted claim or padding.
func (c *Consumer) checkAborted(slots, left uint64) (uint64, error) {
	if slots == 0 || slots > left {
		return 0, c.poison("skip", slots, fmt.Sprintf("1 to %d slots", left))
	}
	return slots, nil
}

// give gives back the record of n bytes at pos. The producer hears of it now if there is nothing to take behind it, and
// otherwise once in N/8 slots.
func (c *Consumer) give(n int) {
	if !c.advance(n) || c.pos-c.published >= c.every {
		c.publishPosition()
	}
}

// advance takes the record of n bytes at pos and reports whether there is something to take behind it.
func (c *Consumer) advance(n int) (more bool) {
	c.stats.Records++
	c.stats.Bytes += uint64(n)
	c.expect = n
	from := c.pos
	c.pos += c.slotsFor(n)
	c.ahead = 0
	// sync(commit) takes over, as in lookHere.
	d := c.descs[c.pos&c.mask].Load()
	if !ready(d, c.pos, c.lapShift) {
		return false
	}
	if d&stateMask == stateCommitted && c.sound(d) {
		c.ahead = d
	}
	if from^c.pos >= c.hintSlots {
		c.lookAhead(c.pos - from)
	}
	return true
}

// sound reports whether COMMITTED descriptor d at pos passes check, without saying what is wrong if it does not.
func (c *Consumer) sound(d uint64) bool {
	n := int(d >> xShift & xMask)
	return n <= c.slotBytes || n <= c.maxRecord && c.slotsFor(n) <= c.left(c.pos)
}

// lookAhead asks for the lines of a record some way ahead, if there is one, so that they come while those before it are
// read: the processor itself sees only a few records ahead, and takes each line from another one, which takes as long
// as reading it ten times. Where the record is, is guessed: where it would be if all were as long as the last. It is a
// hint, from which nothing follows; and it is not given where nothing has been written yet, since it would take the line
// away from the producer.
func (c *Consumer) lookAhead(slots uint64) {
	at := c.pos + (c.hintSlots+slots-1)/slots*slots
	if ready(c.descs[at&c.mask].Load(), at, c.lapShift) {
		mem.PrefetchLines(&c.slots[at&c.mask<<(c.slotShift&63)], hintLines)
	}
}

func (c *Consumer) publishPosition() {
	c.published = c.pos
	if c.pos-c.shared > c.mask {
		c.shareStats()
	}
	// sync(position) publishes: we no longer read the slots before it. Pairs with Producer.space.
	c.publish(c.position, c.pos)
}

// lookForRecord is find for a wait: paddings stepped over count as found too.
func (c *Consumer) lookForRecord() bool {
	from := c.pos
	// The producer takes the lines away from us when it writes a record, the payload's and the descriptor's. Asked for
	// before the descriptor is looked at, the first come back together with the last and not after it. A long record takes
	// so long to write that its first lines would be taken from under the producer's hands.
	if c.expect <= expectLines*cacheLine {
		mem.PrefetchLines(&c.slots[from&c.mask<<(c.slotShift&63)], (c.expect+cacheLine-1)/cacheLine)
	}
	found, err := c.find()
	return found || err != nil || c.pos != from // the caller asks again and gets the error
}

// await waits until there is a record, or anything else to hear of.
func (c *Consumer) await(ctx context.Context) error {
	c.state |= handleBusy
	err := c.wait(ctx)
	c.state &^= handleBusy
	return err
}

// usable returns nil if a call may go on, and panics if the caller must not have made it.
func (c *Consumer) usable(op string) error {
	switch {
	case c.state&^handleDraining == 0:
		return nil
	case c.state&handlePoisoned != 0:
		return c.err
	case c.state&handleClosed != 0:
		return os.ErrClosed
	case c.state&(handleBusy|handleOpen) != 0:
		c.misuse(op)
	}
	return io.EOF
}

func (c *Consumer) misuse(op string) {
	if c.state&handleBusy != 0 {
		panic(fmt.Sprintf("ring: %s at position %d while another call on the consumer waits", op, c.pos))
	}
	panic(fmt.Sprintf("ring: %s while the record at position %d is not released", op, c.pos))
}

func (c *Consumer) poison(field string, got uint64, want string) error {
	c.err = &CorruptError{Region: "producer", Field: field, Position: c.pos, Got: got, Want: want}
	c.state |= handlePoisoned
	return c.err
}

func (c *Consumer) shareStats() {
	c.mustBeAlone()
	s := c.Stats()
	shareStats(c.words, &s)
	c.shared = c.pos
}
