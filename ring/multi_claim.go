package ring

import (
	"fmt"
	"io"
)

// claimTries is how often a producer tries to get the next claim before it says that it found no space. Whoever fails
// was beaten by somebody who got on.
const claimTries = 1024

// claimSlots claims need slots in a row that begin at position at. ok=false with a nil error means that there is no
// space for them; then everything has been made visible and answered (I9), but padding may have been committed.
func (p *Producer) claimSlots(need uint64) (at uint64, ok bool, err error) {
	p.need = need
	for range claimTries {
		t, end, current, err := p.lastClaim()
		if err != nil {
			return 0, false, err
		}
		if !current {
			continue
		}
		skip, fits := p.room(end, need)
		switch {
		case !fits:
			return 0, false, p.noSpace()
		case skip == 0:
			if p.claimFrom(t, end, need) {
				return end, true, nil
			}
		case p.claimFrom(t, end, skip):
			p.padClaim(end, skip)
		}
	}
	return 0, false, p.noSpace()
}

// farthest is how far no consumer gets between two looks of a producer: at a thousand million slots a second it takes 146
// years. A lie beyond it could lead so far that it looks like going back.
const farthest = 1 << 62

// lastClaim returns the claim word and the position after what it claims, which is described when it returns: before
// any claim succeeds the one before it is, so only the last can be without a descriptor, and its extent and owner stand
// in the claim word (I12). current=false means that the word changed meanwhile.
//
// The order is the protocol's: the word, the consumer's position from shared memory, the descriptor, and the word again.
// Without the second look at it, or with an older position, a producer that was stopped in between would describe a
// claim long gone over a live record.
func (p *Producer) lastClaim() (t, end uint64, current bool, err error) {
	// sync(claim) takes over: the order of claims, nothing else. Pairs with claimFrom.
	t = p.seat.claim.Load()
	// sync(position) takes over: the slots before it, which the consumer no longer reads. Pairs with Consumer.publishPosition.
	c := p.consumer.Load()
	end = p.pos // nobody has claimed anything, so it is where the ring starts, and the consumer is there too
	if claimSlots(t) != 0 {
		end = claimEnd(t, c)
	}
	start := end - claimSlots(t)
	w := &p.descs[start&p.mask]
	d := w.Load()
	if p.seat.claim.Load() != t {
		return t, 0, false, nil
	}
	if err := p.accept(c, t, end); err != nil || claimSlots(t) == 0 {
		return t, end, err == nil, err
	}
	if !counts(d, start, p.lapShift) {
		// sync(help) publishes: who claimed these slots, and how many. If it fails, the owner or another helper has been
		// quicker. Pairs with Consumer.examine, which finds the extent of a claim here once the claim word has moved on.
		w.CompareAndSwap(d, descriptor(start, p.lapShift, busyX(t), stateBusy))
	}
	return t, end, true, nil
}

// accept bounds the consumer's position c by the one seen before and by the end of the last claim t, which is at position
// end if c is true.
func (p *Producer) accept(c, t, end uint64) error {
	if c-p.cons >= farthest || end-c > p.mask+1 {
		if claimSlots(t) != 0 {
			end = claimEnd(t, p.cons) // what follows from c means nothing
		}
		first := p.cons
		if n := p.mask + 1; end-first > n {
			first = end - n
		}
		return p.poison("position", c, fmt.Sprintf("%d to %d", first, end))
	}
	p.cons = c
	p.stats.HighWater = max(p.stats.HighWater, end-c)
	return nil
}

// room returns the padding that a record of need slots needs behind end, and whether there is space for both.
func (p *Producer) room(end, need uint64) (skip uint64, fits bool) {
	if left := p.left(end); need > left {
		skip = left
	}
	return skip, end-p.cons+skip+need <= p.mask+1
}

// claimFrom claims n slots behind claim t, which ends at position end, unless somebody else has claimed meanwhile.
func (p *Producer) claimFrom(t, end, n uint64) bool {
	// sync(claim) publishes: that the slots are ours; nothing in them. Pairs with lastClaim and Consumer.examine.
	return p.seat.claim.CompareAndSwap(t, claimOf(end, n, p.seat.owner))
}

// padClaim ends a claim of padding.
func (p *Producer) padClaim(at, n uint64) {
	p.stats.Skips++
	p.settle(at+n, at, descriptor(at, p.lapShift, n, stateSkip))
}

// settle ends a claim: the descriptor at its start publishes it, and position end is behind it.
func (p *Producer) settle(end, at, word uint64) {
	p.pos, p.limit = end, end // the fast path of TrySend is for one producer
	p.put(at, word)
	if end-p.shared > p.mask {
		p.shareStats() // inspectors are to see it once in a lap, also if it never waits
	}
}

// noSpace returns what the caller must hear of beside ok=false.
func (p *Producer) noSpace() error {
	if p.pos != p.shared {
		p.shareStats()
	}
	// sync(no-reader) takes over: nothing but the fact. Pairs with Consumer.Close.
	if p.closing.Load() != 0 {
		return io.ErrClosedPipe
	}
	p.answer()
	return nil
}

// lookForRoom reports whether there is space for what the running call waits for, or something to hear of.
func (p *Producer) lookForRoom() bool {
	_, end, current, err := p.lastClaim()
	if err != nil || !current {
		return true // somebody claims, so it is worth another try
	}
	if _, fits := p.room(end, p.need); fits {
		return true
	}
	return p.noSpace() != nil
}

// trySendShared is trySend on an MPSC ring.
func (p *Producer) trySendShared(msg []byte) (bool, error) {
	if len(msg) > p.maxRecord {
		return false, &TooLargeError{Got: len(msg), Max: p.maxRecord}
	}
	need := p.slotsFor(len(msg))
	at, ok, err := p.claimSlots(need)
	if !ok {
		return false, err
	}
	copy(p.payload(at, len(msg)), msg)
	p.commitShared(at, need, len(msg))
	return true, nil
}

// commitShared publishes the record of n bytes in the claim of so many slots at position at.
func (p *Producer) commitShared(at, slots uint64, n int) {
	p.stats.Records++
	p.stats.Bytes += uint64(n)
	p.settle(at+slots, at, descriptor(at, p.lapShift, uint64(n), stateCommitted))
}

// abortShared gives up the open claim: its slots become padding, since others may have claimed behind it.
func (p *Producer) abortShared() {
	slots := p.slotsFor(p.open.length)
	p.stats.Skips++
	p.settle(p.open.at+slots, p.open.at, descriptor(p.open.at, p.lapShift, slots, stateSkip))
}
