package ring

import (
	"fmt"

	"github.com/shmwire/shmwire/internal/mem"
)

// tenure is how a handle that must be alone on its region finds out that it is not: handles are numbered in the
// region's header, so one that sees another number than its own has been replaced. It looks only where it does
// something slow anyway. The zero tenure, of a handle that may have company, is never over.
type tenure struct {
	word   *mem.Word64 // written by: every handle made on the region, once
	number uint64      // this handle's
}

// makeTenure returns the tenure of the handle for which writeHeader returned number.
func makeTenure(own []byte, number uint64) tenure {
	return tenure{mem.Uint64At(own, headerTenure), number}
}

// successor returns the number of the handle that has taken the region over, or 0.
func (t *tenure) successor() uint64 {
	if t.word == nil {
		return 0
	}
	// sync(tenure) takes over: nothing but the number. Pairs with writeHeader.
	if now := t.word.Load(); now != t.number {
		return now
	}
	return 0
}

// mustBeAlone panics if another handle has been made on the region since this one was: two at once overwrite each
// other's words. After that only Close can be called, which does nothing. Who takes over from a process that is proven
// dead is fine; the panic meets a predecessor that was not.
func (p *Producer) mustBeAlone() {
	if by := p.tenure.successor(); by != 0 {
		p.state = handleClosed
		p.stopWatching()
		panic(fmt.Sprintf("ring: two producers on an SPSC ring: number %d, at position %d, was replaced by number %d", p.tenure.number, p.pos, by))
	}
}

// mustBeAlone is the same for the side that every ring has only once.
func (c *Consumer) mustBeAlone() {
	if by := c.tenure.successor(); by != 0 {
		c.state = handleClosed
		c.stopWatching()
		panic(fmt.Sprintf("ring: two consumers on a ring: number %d, at position %d, was replaced by number %d", c.tenure.number, c.pos, by))
	}
}
