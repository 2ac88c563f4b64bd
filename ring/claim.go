package ring

import (
	"context"
	"fmt"
)

// Claim is space for one record, to be written in place. It is open until Commit, Abort or the producer's Close; the
// producer can do nothing else in the meantime. On an SPSC ring nothing shared has been touched before Commit; on an MPSC
// ring everything that others send later waits for it, until the process has died at the latest.
type Claim struct {
	p      *Producer
	serial uint64
}

// claim is what a producer knows of its open claim.
type claim struct {
	serial uint64 // of the last claim made
	skip   uint64 // slots of padding before it
	at     uint64 // position of the record, behind the padding
	length int    // bytes
	end    string // how the last claim ended, for the panic of a caller who has forgotten
}

// TryClaim claims space for a record of n bytes if there is some now; ok=false with a nil error means that there is
// none. The errors are those of [Producer.TrySend]. It panics if n is negative or a claim is open.
func (p *Producer) TryClaim(n int) (c Claim, ok bool, err error) {
	if n < 0 {
		panic(fmt.Sprintf("ring: claim of %d bytes", n))
	}
	if err := p.usable("TryClaim"); err != nil {
		return Claim{}, false, err
	}
	skip, at, ok, err := p.reserveClaim(n)
	if !ok {
		return Claim{}, false, err
	}
	p.open = claim{serial: p.open.serial + 1, skip: skip, at: at, length: n}
	p.state = handleOpen
	return Claim{p, p.open.serial}, true, nil
}

// reserveClaim gets the space of a claim, on either kind of ring, behind skip slots of padding.
func (p *Producer) reserveClaim(n int) (skip, at uint64, ok bool, err error) {
	if p.seat == nil {
		skip, err = p.reserve(n)
		return skip, p.pos + skip, err == nil && p.limit-p.pos >= p.need, err
	}
	if n > p.maxRecord {
		return 0, 0, false, &TooLargeError{Got: n, Max: p.maxRecord}
	}
	at, ok, err = p.claimSlots(p.slotsFor(n))
	return 0, at, ok, err
}

// Claim claims space for a record of n bytes, waiting for it as long as it takes. The errors are those of
// [Producer.Send]. It panics if n is negative or a claim is open.
func (p *Producer) Claim(ctx context.Context, n int) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, err
	}
	for {
		if c, ok, err := p.TryClaim(n); ok || err != nil {
			return c, err
		}
		if err := p.await(ctx); err != nil {
			return Claim{}, err
		}
	}
}

// Bytes returns the claimed bytes, to be written until Commit or Abort. They hold whatever was there before.
// It panics after either.
func (c Claim) Bytes() []byte {
	c.check("Bytes")
	return c.p.payload(c.p.open.at, c.p.open.length)
}

// Commit sends the claimed bytes as one record. After the producer's Close it does nothing; after Commit or Abort it
// panics.
func (c Claim) Commit() {
	p := c.p
	if !c.finish("Commit", "committed") {
		return
	}
	if p.seat != nil {
		p.commitShared(p.open.at, p.slotsFor(p.open.length), p.open.length)
		return
	}
	p.commit(p.open.skip, p.open.length)
}

// Abort gives the space back, on an SPSC ring as if it had never been claimed, on an MPSC ring as padding. After the
// producer's Close it does nothing; after Commit or Abort it panics.
func (c Claim) Abort() {
	if c.finish("Abort", "aborted") && c.p.seat != nil {
		c.p.abortShared()
	}
}

// finish ends the claim and reports whether the producer is still open.
func (c Claim) finish(op, end string) bool {
	c.check(op)
	p := c.p
	open := p.state&handleOpen != 0
	p.state &^= handleOpen
	p.open.end = end
	return open
}

// check panics unless c is the last claim and has not ended by its own methods.
func (c Claim) check(op string) {
	p := c.p
	switch {
	case p == nil:
		panic(fmt.Sprintf("ring: %s of the zero Claim", op))
	case p.open.serial != c.serial:
		panic(fmt.Sprintf("ring: %s of claim %d, which has ended; the last is %d", op, c.serial, p.open.serial))
	case p.open.end != "":
		panic(fmt.Sprintf("ring: %s of claim %d of %d bytes, which was %s", op, c.serial, p.open.length, p.open.end))
	}
}
