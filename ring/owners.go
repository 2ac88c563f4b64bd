package ring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
)

// ErrOwners is returned when a producer of an MPSC ring gets no number. The error is an [*OwnersError].
var ErrOwners = errors.New("ring: no owner number is free")

// OwnersError says why a producer of an MPSC ring got no number.
type OwnersError struct {
	Owner   int // the number asked for; 0 = any
	Taken   int // numbers that somebody has, as far as is known
	Waiting int // numbers of the dead, whose claims the consumer has not passed yet: to be had later, see [Join]
}

// Error tells the number asked for, and how many are taken and waiting.
func (e *OwnersError) Error() string {
	if e.Owner != 0 {
		return fmt.Sprintf("ring: owner number %d is not free (taken: %d, waiting for the consumer: %d)", e.Owner, e.Taken, e.Waiting)
	}
	return fmt.Sprintf("ring: no owner number is free: %d taken, %d waiting for the consumer, of %d", e.Taken, e.Waiting, Owners)
}

// Unwrap returns [ErrOwners].
func (e *OwnersError) Unwrap() error { return ErrOwners }

// The word of an owner: generation << 1 | closed. 0 has never been used.
const (
	ownerClosed   = 1
	ownerNextStep = 2
)

// Words of an entry of the owner table, as byte offsets in it.
const (
	ownerWord  = 0
	ownerPID   = 8
	ownerStart = 16
	ownerStats = 24
)

// ownerTries is how often a number is tried in a row that others get first.
const ownerTries = 8

// joinPoll is how often Join looks whether the consumer has passed what the dead have claimed.
const joinPoll = time.Millisecond

// ownerEntry returns where the entry of owner starts in the producer region.
func ownerEntry(owner int) int { return ProducerOwnersOffset + owner*OwnerBytes }

// numbers hands out owner numbers (I14): how a producer comes by one.
type numbers struct {
	region   []byte // the producer region
	cfg      *Config
	claim    *mem.Word64
	position *mem.Word64 // the consumer's
	found    [Owners + 1]quarantine
}

// quarantine is what is known of a dead owner's number: nobody may have it before the consumer has passed every claim
// that the dead one can have made, or such a claim would look as if its owner lived.
type quarantine struct {
	word uint64 // the owner's word when it was found dead; 0 = not found
	end  uint64 // of the last claim at a later moment
}

func newNumbers(region, peer []byte, cfg *Config) *numbers {
	return &numbers{
		region:   region,
		cfg:      cfg,
		claim:    mem.Uint64At(region, ProducerClaimOffset),
		position: mem.Uint64At(peer, ConsumerPositionOffset),
	}
}

// get takes a number that is free now. The error is an *OwnersError, or says what is wrong with Hold.
func (n *numbers) get() (*seat, error) {
	first, last := 1, Owners
	if n.cfg.Owner != 0 {
		first, last = n.cfg.Owner, n.cfg.Owner
	}
	none := &OwnersError{Owner: n.cfg.Owner}
	for owner := first; owner <= last; owner++ {
		if s, err := n.try(owner, none); s != nil || err != nil {
			return s, err
		}
	}
	return nil, none
}

// try takes owner if it can be had, and otherwise counts in none why not. A number that was given out while we looked is
// looked at again: its new bearer may be gone already.
func (n *numbers) try(owner int, none *OwnersError) (*seat, error) {
	w := mem.Uint64At(n.region, ownerEntry(owner)+ownerWord)
	// sync(owner) takes over: with the closed bit, everything that its last bearer claimed has ended. Pairs with
	// Producer.leave.
	word := w.Load()
	for range ownerTries {
		free := word == 0 || word&ownerClosed != 0
		if !free && !n.passed(owner, word) {
			break
		}
		s, err := n.take(owner, word)
		if s != nil || err != nil {
			return s, err
		}
		before := word
		if word = w.Load(); word == before {
			break // somebody holds it
		}
	}
	if q := n.found[owner]; q.word != 0 && q.word == word {
		none.Waiting++
	} else {
		none.Taken++
	}
	return nil, nil
}

// passed reports whether owner, which has word, is dead and the consumer has passed all that it can have claimed. The
// order is the protocol's: the word, the proof, the end of the last claim, and only then the consumer; nobody holds the
// number meanwhile.
func (n *numbers) passed(owner int, word uint64) bool {
	q := &n.found[owner]
	if q.word != word {
		*q = quarantine{}
		if n.cfg.Hold == nil || n.cfg.ProvenDead == nil || !n.cfg.ProvenDead(owner) {
			return false
		}
		c := n.position.Load() // before the claim word: the end is not before it
		t := n.claim.Load()
		*q = quarantine{word: word, end: c}
		if claimSlots(t) != 0 {
			q.end = claimEnd(t, c)
		}
	}
	return int64(n.position.Load()-q.end) >= 0
}

// take makes owner ours, unless somebody has been quicker: its word is no longer the one that was looked at.
func (n *numbers) take(owner int, word uint64) (*seat, error) {
	release := func() {}
	if n.cfg.Hold != nil {
		let, ok, err := n.cfg.Hold(owner)
		if err != nil {
			return nil, fmt.Errorf("ring: hold owner number %d: %w", owner, err)
		}
		if !ok {
			return nil, nil
		}
		if let != nil {
			release = let
		}
	}
	n.raise(uint64(owner))
	entry := ownerEntry(owner)
	if n.cfg.Hold != nil {
		n.introduce(entry) // first: who dies in between is not to be taken for its predecessor
	}
	next := word&^ownerClosed + ownerNextStep
	w := mem.Uint64At(n.region, entry+ownerWord)
	// sync(owner) publishes: nothing but that the number is taken, before any claim is made under it. Pairs with try and
	// Consumer.allLeft. A word that has changed means that the number was given out and perhaps died again.
	if !w.CompareAndSwap(word, next) {
		release()
		return nil, nil
	}
	if n.cfg.Hold == nil {
		n.introduce(entry)
	}
	return &seat{owner: uint64(owner), word: w, left: next | ownerClosed, claim: n.claim, release: release}, nil
}

// introduce tells inspectors whose number it is.
func (n *numbers) introduce(entry int) {
	mem.Uint64At(n.region, entry+ownerPID).Store(n.cfg.PID)
	mem.Uint64At(n.region, entry+ownerStart).Store(n.cfg.StartTime)
}

// raise notes that owner numbers up to owner are in use, so that the consumer need not look at all of them.
func (n *numbers) raise(owner uint64) {
	highest := mem.Uint64At(n.region, ProducerClosedOffset)
	for old := highest.Load(); old < owner; old = highest.Load() {
		highest.CompareAndSwap(old, owner)
	}
}

// Join returns a producer of an MPSC ring as [NewProducer] does, and besides waits for the number of a dead producer
// until the consumer has passed everything that it claimed. If all numbers are taken by the living it returns
// [ErrOwners] at once; when ctx ends, its error and ErrOwners both.
func Join(ctx context.Context, own, peer []byte, cfg Config) (*Producer, error) {
	j, err := newJoiner(own, peer, cfg)
	if err != nil {
		return nil, err
	}
	for {
		p, err := j.join()
		var none *OwnersError
		if p != nil || !errors.As(err, &none) || none.Waiting == 0 {
			return p, err
		}
		timer := time.NewTimer(joinPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("join the producers of a ring: %w", errors.Join(ctx.Err(), err))
		}
	}
}
