package ring

import (
	"errors"
	"fmt"

	"github.com/shmwire/shmwire/internal/mem"
)

// Owner is what an inspector sees of an owner number of an MPSC ring: who has it, or had it last.
type Owner struct {
	Number     int    // 1 to [Owners]
	Generation uint64 // how often the number has been given out
	Closed     bool   // given back in order; otherwise its owner lives, or died
	PID        uint64 // Config.PID of its producer; of the one before it for a moment after the number was given out
	StartTime  uint64 // Config.StartTime, likewise
	Stats      Stats  // what the producer last shared: when it joined, slept, closed, or went once around
}

// UnfinishedClaim is a claim of an MPSC ring that has been neither committed nor aborted. The consumer gets no further
// than to the first of them, until its owner finishes it or is proven dead.
type UnfinishedClaim struct {
	Owner     int    // who made it
	Position  uint64 // where it starts
	Slots     int    // how much it covers
	Described bool   // a descriptor says so; otherwise only the claim word does, which is of the last claim
}

// lookAtOwners fills in what many producers have in place of one.
func (in *inspector) lookAtOwners(s *Snapshot) {
	s.Owners = in.owners()
	p := s.Producer
	p.Closed, p.Stats = len(s.Owners) > 0, Stats{}
	for i := range s.Owners {
		o := &s.Owners[i]
		p.Closed = p.Closed && o.Closed
		p.Stats.add(o.Stats)
	}
}

// add makes s what two producers of one ring have done together.
func (s *Stats) add(o Stats) {
	s.Records += o.Records
	s.Bytes += o.Bytes
	s.Skips += o.Skips
	s.Waits += o.Waits
	s.Parks += o.Parks
	s.Rings += o.Rings
	s.HighWater = max(s.HighWater, o.HighWater)
	if s.Position == 0 || o.Position != 0 && int64(o.Position-s.Position) > 0 {
		s.Position = o.Position
	}
}

// owners returns the numbers that have been used, lowest first.
func (in *inspector) owners() (all []Owner) {
	for number := 1; number <= Owners; number++ {
		entry := ownerEntry(number)
		// sync(owner) takes over: if it is closed, all of the owner's descriptors, so that none found later is BUSY. Pairs
		// with Producer.leave.
		word := mem.Uint64At(in.producer, entry+ownerWord).Load()
		if word == 0 {
			continue
		}
		all = append(all, Owner{
			Number:     number,
			Generation: word >> 1,
			Closed:     word&ownerClosed != 0,
			PID:        mem.Uint64At(in.producer, entry+ownerPID).Load(),
			StartTime:  mem.Uint64At(in.producer, entry+ownerStart).Load(),
			Stats:      loadStats(mem.Uint64s(in.producer, entry+ownerStats, statsWords)),
		})
	}
	return all
}

// ownerWords returns the sum of all owner words. Each only ever grows, so the sum is the same only if all are.
func (in *inspector) ownerWords() (sum uint64) {
	for number := 1; number <= Owners; number++ {
		sum += mem.Uint64At(in.producer, ownerEntry(number)+ownerWord).Load()
	}
	return sum
}

// positions returns the claim word and the consumer's position, of one moment unless claims come faster than they can
// be read. The claim word is 0 where there is none.
func (in *inspector) positions() (claim, consumer uint64) {
	for range inspections {
		// sync(claim) takes over: that claims before this one have been described. Pairs with Producer.claimFrom.
		claim = in.claimWord()
		if in.consumer != nil {
			consumer = mem.Uint64At(in.consumer, ConsumerPositionOffset).Load()
		}
		if in.claimWord() == claim {
			break
		}
	}
	return claim, consumer
}

func (in *inspector) claimWord() uint64 {
	if in.producer == nil || !in.g.MPSC {
		return 0
	}
	return mem.Uint64At(in.producer, ProducerClaimOffset).Load()
}

// furthest returns the end of claim t without the consumer's position: from what the producers last shared, which is
// not behind it. That is right unless 2^38 slots have been claimed since.
func (in *inspector) furthest(t uint64, s *Snapshot) uint64 {
	at := mem.Uint64At(in.producer, headerStart).Load()
	if shared := s.Producer.Stats.Position; shared != 0 && int64(shared-at) > 0 {
		at = shared
	}
	if claimSlots(t) == 0 {
		return at
	}
	return claimEnd(t, at)
}

// lastClaim is what the claim word says, with the positions rebuilt.
type lastClaim struct {
	word, start, end uint64 // start = end: nothing has ever been claimed
}

// room returns how many slots a record or claim at position at may cover: it ends where the last claim starts or, inside
// of that, where that ends.
func (l lastClaim) room(at uint64) uint64 {
	if before := l.start - at; int64(before) > 0 {
		return before
	}
	return l.end - at
}

// countShared is count on an MPSC ring. It goes from claim to claim, past those that are not finished: what begins
// before the last claim is described, and the extent of that stands in the claim word (I12).
func (in *inspector) countShared(s *Snapshot, before marks) *CorruptError {
	c := in.consumerPosition(s.Producer, s.Consumer, before.consumer)
	s.Consumer.Position, s.Producer.Position = c, c
	last, trouble := in.rebuild(before.claim, c)
	if trouble != nil {
		return trouble
	}
	s.Producer.Position, s.Slots = last.end, last.end-c
	if trouble := ownersTrouble(s, before.closed); trouble != nil {
		return trouble
	}
	for at := c; at != last.end; {
		slots, trouble := in.step(s, at, last)
		if trouble != nil {
			return trouble
		}
		at += slots
	}
	if d := in.word(last.end).Load(); counts(d, last.end, in.walker.lapShift) {
		return &CorruptError{
			Region: "producer", Field: "claim word", Position: last.end, Got: last.word,
			Want: "a claim here, since something is described",
		}
	}
	return nil
}

// rebuild bounds claim word t and finds the positions that it means, given the consumer's.
func (in *inspector) rebuild(t, c uint64) (lastClaim, *CorruptError) {
	if claimSlots(t) == 0 {
		return lastClaim{t, c, c}, nil
	}
	end := claimEnd(t, c)
	l := lastClaim{word: t, start: end - claimSlots(t), end: end}
	if end-c > uint64(in.g.Slots) {
		return l, &CorruptError{
			Region: "producer", Field: "claim word", Position: c, Got: t,
			Want: fmt.Sprintf("a claim that ends at most %d slots behind the consumer", in.g.Slots),
		}
	}
	return l, in.bound(l.start, hole{owner: claimOwner(t), slots: claimSlots(t)}, "claim word")
}

// bound bounds a claim at position at as the consumer does.
func (in *inspector) bound(at uint64, h hole, field string) *CorruptError {
	in.walker.pos, in.walker.err = at, nil
	var trouble *CorruptError
	if _, err := in.walker.bound(h, field); errors.As(err, &trouble) {
		return trouble
	}
	return nil
}

// step notes what begins at position at, before the end of the last claim, and returns how many slots it covers.
func (in *inspector) step(s *Snapshot, at uint64, last lastClaim) (uint64, *CorruptError) {
	d := in.word(at).Load()
	switch described := counts(d, at, in.walker.lapShift); {
	case described && d&stateMask == stateBusy:
		x := d >> xShift & xMask
		if at == last.start && x != busyX(last.word) {
			return 0, &CorruptError{
				Region: "producer", Field: "busy descriptor", Position: at, Got: x,
				Want: fmt.Sprintf("%d, as the claim word says", busyX(last.word)),
			}
		}
		return in.unfinished(s, at, hole{owner: x >> 18, slots: x & claimSlotsMask, described: true}, last)
	case described:
		slots, trouble := in.check(at, d, last.room(at))
		if trouble == nil {
			s.count(d)
		}
		return slots, trouble
	case at == last.start:
		return in.unfinished(s, at, hole{owner: claimOwner(last.word), slots: claimSlots(last.word)}, last)
	}
	return 0, &CorruptError{
		Region: "producer", Field: "claim word", Position: at, Got: last.word,
		Want: "a claim that starts or ends here, since nothing is described",
	}
}

// count notes a record or padding described by d.
func (s *Snapshot) count(d uint64) {
	if d&stateMask == stateCommitted {
		s.Records++
		s.Bytes += d >> xShift & xMask
	}
}

// unfinished notes claim h at position at.
func (in *inspector) unfinished(s *Snapshot, at uint64, h hole, last lastClaim) (uint64, *CorruptError) {
	if trouble := in.bound(at, h, "busy descriptor"); trouble != nil {
		return 0, trouble
	}
	if trouble := in.within(at, h.slots, last.room(at)); trouble != nil {
		return 0, trouble
	}
	if trouble := s.mayClaim(int(h.owner), at); trouble != nil {
		return 0, trouble
	}
	s.Unfinished = append(s.Unfinished, UnfinishedClaim{
		Owner: int(h.owner), Position: at, Slots: int(h.slots), Described: h.described,
	})
	return h.slots, nil
}

// mayClaim says what is wrong with an unfinished claim of owner at position at: it has one at a time, and none before it
// has its number or after it has given it back. The number of one that died is not given out again until the consumer
// has passed its claim (I14).
func (s *Snapshot) mayClaim(owner int, at uint64) *CorruptError {
	trouble := &CorruptError{Region: "producer", Field: "owner", Position: at, Got: uint64(owner)}
	for _, u := range s.Unfinished {
		if u.Owner == owner {
			trouble.Want = fmt.Sprintf("another one, which has not left its claim at %d open", u.Position)
			return trouble
		}
	}
	for _, o := range s.Owners {
		if o.Number == owner && !o.Closed {
			return nil
		}
	}
	trouble.Want = "one that has joined and not left"
	return trouble
}

// ownersTrouble says what is wrong with the table of owners. highest is what the ring says of it.
func ownersTrouble(s *Snapshot, highest uint64) *CorruptError {
	trouble := &CorruptError{Region: "producer", Field: "highest owner", Position: s.Consumer.Position, Got: highest}
	if highest > Owners {
		trouble.Want = fmt.Sprintf("at most %d", Owners)
		return trouble
	}
	for _, o := range s.Owners {
		if uint64(o.Number) > highest {
			trouble.Want = fmt.Sprintf("at least %d, which has been used", o.Number)
			return trouble
		}
		// Whatever an owner has shared it had claimed before. 0: nothing shared yet.
		if at := o.Stats.Position; at != 0 && int64(at-s.Producer.Position) > 0 {
			return &CorruptError{
				Region: "consumer", Field: "position", Position: s.Consumer.Position, Got: s.Consumer.Position,
				Want: fmt.Sprintf("%d or more, since owner %d has been at %d", at-s.Slots, o.Number, at),
			}
		}
	}
	return nil
}
