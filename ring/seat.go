package ring

import (
	"errors"
	"fmt"

	"github.com/shmwire/shmwire/internal/mem"
)

// seat is what a producer of an MPSC ring has besides: its number, and the words it shares with the other producers.
type seat struct {
	owner   uint64
	word    *mem.Word64 // written by: this handle, from join to leave
	left    uint64      // what word becomes at the end
	claim   *mem.Word64 // written by: all producers, by compare-and-swap
	release func()
}

// errNotMPSC is the caller's mistake.
var errNotMPSC = errors.New("ring: join: Geometry.MPSC is not set")

// joiner makes producers of an MPSC ring: everything but a number is there.
type joiner struct {
	own, peer []byte
	cfg       Config
	numbers   *numbers
}

func newJoiner(own, peer []byte, cfg Config) (*joiner, error) {
	if !cfg.MPSC {
		return nil, errNotMPSC
	}
	own, peer, err := producerRegions(own, peer, &cfg)
	if err != nil {
		return nil, err
	}
	j := &joiner{own: own, peer: peer, cfg: cfg}
	j.numbers = newNumbers(own, peer, &j.cfg)
	return j, j.checkStart()
}

// checkStart refuses to begin where the consumer is not: the first claim's position is worked out from the consumer's.
func (j *joiner) checkStart() error {
	// The consumer first: it moves only behind a claim.
	if c := j.numbers.position.Load(); c != j.cfg.Start && claimSlots(j.numbers.claim.Load()) == 0 {
		return fmt.Errorf("ring: start at position %d: the consumer's region says %d, make it first", j.cfg.Start, c)
	}
	return nil
}

// join takes a number that is free now and makes the handle.
func (j *joiner) join() (*Producer, error) {
	s, err := j.numbers.get()
	if err != nil {
		return nil, err
	}
	p := newProducer(j.own, j.peer, &j.cfg)
	p.seat = s
	p.cons = p.consumer.Load()
	p.words = mem.Uint64s(j.own, ownerEntry(int(s.owner))+ownerStats, statsWords)
	if j.cfg.ProvenDead != nil {
		p.longest = boundedWait
	}
	p.shareStats()
	if mem.Uint64At(j.own, headerMagic).Load() != Magic {
		producer, _ := j.cfg.kinds()
		writeHeader(j.own, producer, j.cfg.Geometry, j.cfg.Start)
	}
	p.ring()
	return p, nil
}

// Owner returns the number that the producer of an MPSC ring goes by, and 0 on an SPSC ring.
func (p *Producer) Owner() int {
	if p.seat == nil {
		return 0
	}
	return int(p.seat.owner)
}

// closeShared ends the handle: nothing that it has claimed stays open.
func (p *Producer) closeShared() {
	if p.state&handleOpen != 0 {
		p.abortShared()
	}
	p.state = p.state&^handleOpen | handleClosed
	p.stopWatching()
	p.shareStats()
	p.leave()
	p.ring()
}

// leave gives the number back in order: everything claimed under it has been committed or aborted.
func (p *Producer) leave() {
	// sync(owner) publishes: all descriptors of this owner's claims. Pairs with numbers.try, which gives the number out
	// again at once, and with Consumer.allLeft.
	p.seat.word.Store(p.seat.left)
	p.seat.release()
}
