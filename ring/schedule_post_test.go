//go:build shmsteps

package ring_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// ledger is what one life of a producer has sent, and what has come of it.
type ledger struct {
	id    int
	begun int  // messages handed to a call
	done  int  // messages whose call said that they were sent
	taken int  // messages that have arrived; the next must be number taken
	over  bool // closed, or proven dead

	leaving bool // in Close
}

// postOffice checks what arrives: everything whose call returned, of one producer in order, whole, once, and nothing else.
type postOffice struct {
	ledgers  []*ledger
	oneByOne bool       // a life's messages all come before those of the next
	got      []delivery // to take back what a killed consumer has not given back
	mayLose  int        // messages that died in the memory of killed consumers
	quit     bool       // the consumer has closed: what was sent since need not arrive
}

type delivery struct {
	end  uint64 // position after it
	from *ledger
}

const (
	letterHeader = 10
	letterAbort  = 0xff // in place of a ledger: whoever finds it has found a claim that was never committed
)

// open starts the ledger of a new life.
func (p *postOffice) open() *ledger {
	b := &ledger{id: len(p.ledgers)}
	p.ledgers = append(p.ledgers, b)
	return b
}

// letter returns the n bytes of message number of a ledger.
func letter(id, number, n int) []byte {
	msg := make([]byte, n)
	msg[4], msg[5] = byte(id), 0
	binary.LittleEndian.PutUint16(msg[6:], uint16(number))
	binary.LittleEndian.PutUint16(msg[8:], uint16(n))
	for i := letterHeader; i < n; i++ {
		msg[i] = byte(id*31 + number*7 + i)
	}
	binary.LittleEndian.PutUint32(msg, crc32.ChecksumIEEE(msg[4:]))
	return msg
}

// abortedLetter returns n bytes for a claim that will not be committed.
func abortedLetter(n int) []byte { return letter(letterAbort, 0, n) }

// take checks a message that ends before position end.
func (p *postOffice) take(msg []byte, end uint64) error {
	if len(msg) < letterHeader {
		return fmt.Errorf("a message of %d bytes, which nobody sent", len(msg))
	}
	id, number := int(msg[4]), int(binary.LittleEndian.Uint16(msg[6:]))
	switch {
	case binary.LittleEndian.Uint32(msg) != crc32.ChecksumIEEE(msg[4:]):
		return fmt.Errorf("a torn message: % x", msg)
	case id == letterAbort:
		return fmt.Errorf("an aborted claim, number %d", number)
	case id >= len(p.ledgers) || !bytes.Equal(msg, letter(id, number, len(msg))):
		return fmt.Errorf("a message that nobody sent: % x", msg)
	}
	b := p.ledgers[id]
	if lost := number - b.taken; lost > 0 && lost <= p.mayLose {
		p.mayLose -= lost
		b.taken += lost
	}
	if number != b.taken {
		return fmt.Errorf("message %d of life %d, want %d (%d begun, %d sent)", number, id, b.taken, b.begun, b.done)
	}
	if number >= b.begun {
		return fmt.Errorf("message %d of life %d, which has begun only %d", number, id, b.begun)
	}
	b.taken++
	p.got = append(p.got, delivery{end, b})
	return p.order(b)
}

// order checks that no life comes after one that came later, or before one that is still owed.
func (p *postOffice) order(b *ledger) error {
	if !p.oneByOne {
		return nil
	}
	for _, other := range p.ledgers {
		if other.id < b.id && other.taken+p.mayLose < other.done || other.id > b.id && other.taken > 0 {
			return fmt.Errorf("life %d arrives while life %d has %d of %d", b.id, other.id, other.taken, other.done)
		}
	}
	return nil
}

// rewind is for a new consumer that begins at position at: what its predecessor took behind that comes again.
func (p *postOffice) rewind(at uint64) {
	for n := len(p.got); n > 0 && int64(p.got[n-1].end-at) > 0; n-- {
		p.got[n-1].from.taken--
		p.got = p.got[:n-1]
	}
}

// ended checks that the end may be told in a call that began when there were so many lives, of which some were alive:
// these have left meanwhile, and nothing is owed by those who have left. Of lives that began later the call may not know.
func (p *postOffice) ended(lives int, alive []*ledger) error {
	for _, b := range alive {
		if !b.over && !b.leaving {
			return fmt.Errorf("the end comes, while life %d goes on", b.id)
		}
	}
	for _, b := range p.ledgers[:lives] {
		if b.over && b.taken+p.mayLose < b.done {
			return fmt.Errorf("the end comes, while life %d has %d of %d", b.id, b.taken, b.done)
		}
	}
	return nil
}

// alive returns the lives that go on.
func (p *postOffice) alive() (list []*ledger) {
	for _, b := range p.ledgers {
		if !b.over && !b.leaving {
			list = append(list, b)
		}
	}
	return list
}

// settle checks, when all is over, that nothing is owed.
func (p *postOffice) settle() error {
	if p.quit {
		return nil
	}
	for _, b := range p.ledgers {
		if missing := b.done - b.taken; missing > p.mayLose {
			return fmt.Errorf("life %d: %d sent, %d arrived", b.id, b.done, b.taken)
		}
		p.mayLose -= max(0, b.done-b.taken)
	}
	return nil
}
