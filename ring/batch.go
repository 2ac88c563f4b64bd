package ring

import (
	"context"

	"github.com/shmwire/shmwire/internal/mem"
)

// batch is a sequence of records written but not published: the descriptors of all but the first are in place, and
// the consumer cannot look past the first, which is kept here and written last (I10).
type batch struct {
	end   uint64 // position after the last record; everything from the producer's position to here is in hand
	first uint64 // the descriptor that publishes the batch; 0 if nothing is in hand
	count int    // records
	bytes int
	skips uint64
}

// SendBatch sends copies of msgs as one record each, in order, and returns how many are committed. Records become
// visible together: one atomic store publishes all that fit into an eighth of the ring (64 slots at least; on an MPSC ring
// no more than the longest record takes), so that the consumer of a larger batch works while the rest is written. When
// space runs out, what is in hand is published and SendBatch waits. All lengths are checked first, so [ErrTooLarge] means
// n = 0; the other errors are those of [Producer.Send], and the first n messages have been sent then.
func (p *Producer) SendBatch(ctx context.Context, msgs [][]byte) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := p.usable("SendBatch"); err != nil {
		return 0, err
	}
	for _, msg := range msgs {
		if len(msg) > p.maxRecord {
			return 0, &TooLargeError{Got: len(msg), Max: p.maxRecord}
		}
	}
	for n < len(msgs) {
		sent, err := p.sendSome(msgs[n:])
		n += sent
		if err != nil || n == len(msgs) {
			return n, err
		}
		if p.seat != nil && sent > 0 {
			continue // more parts may fit
		}
		// Space has run out, at once or behind what was just published: sendPart has left need at what the next one takes.
		if err := p.await(ctx); err != nil {
			return n, err
		}
	}
	return n, nil
}

// sendSome sends as many of msgs as there is space for, on either kind of ring.
func (p *Producer) sendSome(msgs [][]byte) (n int, err error) {
	if p.seat != nil {
		return p.sendPartShared(msgs)
	}
	return p.sendPart(msgs)
}

// sendPart publishes as many of msgs as there is space for.
func (p *Producer) sendPart(msgs [][]byte) (n int, err error) {
	b := batch{end: p.pos}
	for _, msg := range msgs {
		if b.end-p.pos >= p.partSlots {
			p.flush(&b)
			n += b.count
			b = batch{end: p.pos}
		}
		// One slot that is known to be free needs no further question; anything else does.
		var skip uint64
		need := uint64(1)
		if len(msg) > p.slotBytes || p.limit == b.end {
			skip, need = p.span(b.end, len(msg))
			ok, spaceErr := p.space(b.end, need)
			if !ok {
				p.need, err = need, spaceErr
				break
			}
		}
		p.add(&b, msg, skip, need)
	}
	p.flush(&b)
	return n + b.count, err
}

// add writes a record, and the padding before it, behind what is in hand.
func (p *Producer) add(b *batch, msg []byte, skip, need uint64) {
	at := b.end
	if skip > 0 {
		p.inner(b, at, descriptor(at, p.lapShift, skip, stateSkip))
		b.skips++
		at += skip
	}
	copy(p.payload(at, len(msg)), msg)
	p.inner(b, at, descriptor(at, p.lapShift, uint64(len(msg)), stateCommitted))
	b.end += need
	b.count++
	b.bytes += len(msg)
}

// inner writes a descriptor unless it is the first, by a plain store: the first one's store publishes it.
func (p *Producer) inner(b *batch, at, word uint64) {
	if b.first == 0 {
		b.first = word
		return
	}
	mem.StorePlain64(&p.descs[at&p.mask], word)
}

// flush publishes what is in hand and wakes the consumer if it sleeps.
func (p *Producer) flush(b *batch) {
	if b.count == 0 {
		return
	}
	from := p.pos
	p.pos = b.end
	p.stats.Records += uint64(b.count)
	p.stats.Bytes += uint64(b.bytes)
	p.stats.Skips += b.skips
	p.put(from, b.first)
}
