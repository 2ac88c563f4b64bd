package ring

import "github.com/shmwire/shmwire/internal/mem"

// sendPartShared sends as many of msgs as fit into one claim, which is one compare-and-swap for all of them. Its first
// descriptor is written last (I10); until then the whole claim is one BUSY to everybody else, and if its owner dies it is
// stepped over whole.
func (p *Producer) sendPartShared(msgs [][]byte) (n int, err error) {
	p.need = p.slotsFor(len(msgs[0]))
	for range claimTries {
		t, end, current, err := p.lastClaim()
		if err != nil {
			return 0, err
		}
		if !current {
			continue
		}
		skip, fits := p.room(end, p.need)
		switch {
		case !fits:
			return 0, p.noSpace()
		case skip > 0:
			if p.claimFrom(t, end, skip) {
				p.padClaim(end, skip)
			}
			continue
		}
		count, slots, bytes := p.gather(msgs, end)
		if p.claimFrom(t, end, slots) {
			p.fillBatch(end, msgs[:count])
			p.stats.Records += uint64(count)
			p.stats.Bytes += uint64(bytes)
			p.settle(end+slots, end, descriptor(end, p.lapShift, uint64(len(msgs[0])), stateCommitted))
			return count, nil
		}
	}
	return 0, p.noSpace()
}

// gather returns how many of msgs one claim at position end takes, and how many slots and bytes they have: what is free
// in one piece bounds it, the longest record, so that a batch asks for no more than a message can, and what should be
// published at once; but not the first, which is known to fit.
func (p *Producer) gather(msgs [][]byte, end uint64) (count int, slots uint64, bytes int) {
	limit := min(p.left(end), p.mask+1-(end-p.cons), p.partSlots, p.slotsFor(p.maxRecord))
	for _, msg := range msgs {
		need := p.slotsFor(len(msg))
		if count > 0 && slots+need > limit {
			break
		}
		count++
		slots += need
		bytes += len(msg)
	}
	return count, slots, bytes
}

// fillBatch writes the records of a claim at position at, and all descriptors but the first.
func (p *Producer) fillBatch(at uint64, msgs [][]byte) {
	for i, msg := range msgs {
		copy(p.payload(at, len(msg)), msg)
		if i > 0 {
			// A helper may look at one of these, so each is published by itself; the consumer gets here only behind the first.
			mem.StoreRelease64(&p.descs[at&p.mask], descriptor(at, p.lapShift, uint64(len(msg)), stateCommitted))
		}
		at += p.slotsFor(len(msg))
	}
}
