package ring

import (
	"context"
	"fmt"
	"io"
	"iter"
)

// Record is a view of the next record where it lies in the ring, without a copy. It is open until Release; the
// consumer takes nothing else in the meantime. The other side can still write these bytes if it is hostile: what must
// not change between a check and a use has to be copied ([Consumer.Receive]).
type Record struct {
	c  *Consumer
	at uint64
	n  int
}

// TryNext returns the next record if there is one now; ok=false with a nil error means that there is none yet. The
// errors are those of [Consumer.TryReceive]. It panics while another Record is not released.
func (c *Consumer) TryNext() (r Record, ok bool, err error) {
	if c.ahead == 0 || c.state != 0 {
		if ready, err := c.ready("TryNext"); !ready {
			return Record{}, false, err
		}
	}
	c.state |= handleOpen
	return Record{c, c.pos, int(c.ahead >> xShift & xMask)}, true, nil
}

// Next returns the next record, waiting for it as long as it takes. The errors are those of [Consumer.Receive]. It
// panics while another Record is not released.
func (c *Consumer) Next(ctx context.Context) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	for {
		if r, ok, err := c.TryNext(); ok || err != nil {
			return r, err
		}
		if err := c.await(ctx); err != nil {
			return Record{}, err
		}
	}
}

// Messages returns an iterator over the records' bytes, each valid until the next turn, when it is released. The last
// pair has the error that ended it, those of [Consumer.Next]; [io.EOF] is not passed on, the loop just ends.
func (c *Consumer) Messages(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for c.yieldNext(ctx, yield) {
		}
	}
}

// Bytes returns the message. It is read-only, in memory that may be mapped so, and valid until Release. It panics
// after Release.
func (r Record) Bytes() []byte {
	r.check("Bytes")
	return r.c.payload(r.at, r.n)
}

// Release gives the record's slots back. After the consumer's Close it does nothing; it panics if the record has been
// released.
func (r Record) Release() {
	r.check("Release")
	c := r.c
	c.state &^= handleOpen
	if c.state&handleClosed == 0 {
		c.give(r.n)
	}
}

// check panics unless r is the open view. Positions only grow, so an old one can never look open again.
func (r Record) check(op string) {
	if r.c == nil {
		panic(fmt.Sprintf("ring: %s of the zero Record", op))
	}
	if r.c.state&handleOpen == 0 || r.c.pos != r.at {
		panic(fmt.Sprintf("ring: %s of the record at position %d, which was released; the consumer is at %d", op, r.at, r.c.pos))
	}
}

// yieldNext hands out one record and releases it whatever the loop's body does, and reports whether to go on.
func (c *Consumer) yieldNext(ctx context.Context, yield func([]byte, error) bool) bool {
	r, err := c.Next(ctx)
	if err == io.EOF {
		return false
	}
	if err != nil {
		yield(nil, err)
		return false
	}
	defer r.Release()
	return yield(r.Bytes(), nil)
}
