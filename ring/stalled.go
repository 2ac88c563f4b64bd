package ring

import (
	"fmt"
	"io"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
)

const (
	// examineEvery is how many fruitless looks there are between two at the claim word.
	examineEvery = 64
	// examineLooks bounds one examination, whatever the other side writes meanwhile.
	examineLooks = 1024
	// idleWait limits a sleep when nothing is claimed: somebody may claim and die without ringing.
	idleWait = time.Second
)

// watch is what the consumer of an MPSC ring has to find out who holds it up: claims that are not finished.
type watch struct {
	claim      *mem.Word64  // written by: all producers
	highest    *mem.Word64  // owner number in use; written by: all producers
	owners     []mem.Word64 // the owner table, OwnerBytes/8 words each; written by: each owner
	provenDead func(int) bool
	onStall    func(Stall)
	fruitless  uint64 // looks
	told       uint64 // sleeps of which onStall has heard
	stall      Stall  // Slots = 0: none
	since      time.Time
}

func makeWatch(peer []byte, cfg *Config) *watch {
	if !cfg.MPSC {
		return nil
	}
	return &watch{
		claim:      mem.Uint64At(peer, ProducerClaimOffset),
		highest:    mem.Uint64At(peer, ProducerClosedOffset),
		owners:     mem.Uint64s(peer, ProducerOwnersOffset, (Owners+1)*OwnerBytes/8),
		provenDead: cfg.ProvenDead,
		onStall:    cfg.OnStall,
	}
}

// Stalled returns the unfinished claim that holds the consumer of an MPSC ring up, as it was found last; ok=false means
// that there is none. It is looked for once in 64 calls that find nothing, and before every sleep.
func (c *Consumer) Stalled() (s Stall, ok bool) {
	if c.watch == nil || c.watch.stall.Slots == 0 || c.watch.stall.Position != c.pos || c.ahead != 0 {
		return Stall{}, false // it may have ended since
	}
	return c.watch.stalledNow(), true
}

// stalledNow returns the stall that was found last, as old as it is now.
func (w *watch) stalledNow() Stall {
	s := w.stall
	s.Age = time.Since(w.since)
	return s
}

// findShared goes on where find has found no record: in an MPSC ring somebody may have claimed and died.
func (c *Consumer) findShared() (bool, error) {
	c.watch.fruitless++
	if !c.parking && c.watch.fruitless%examineEvery != 0 {
		return false, nil
	}
	from := c.pos
	found, err := c.examine()
	if !found && c.pos != from {
		c.publishPosition() // I9
	}
	return found, err
}

// examine steps over the claims of the dead at pos and looks for a record behind them. If there is nothing more, and
// never will be, it returns io.EOF.
func (c *Consumer) examine() (bool, error) {
	for range examineLooks {
		d := c.descs[c.pos&c.mask].Load()
		if counts(d, c.pos, c.lapShift) && d&stateMask != stateBusy {
			c.noStall()
			if found, err := c.lookHere(); found || err != nil {
				return found, err
			}
			continue
		}
		h, err := c.holeAt(d)
		switch {
		case err != nil:
			return false, err
		case h.described:
			continue
		case h.slots == 0:
			c.noStall()
			return false, c.end(h.word)
		case c.state&handleDraining != 0 && h.slots > c.drainEnd-c.pos:
			return false, nil
		case !c.stepOver(d, h):
			return false, nil
		}
	}
	return false, nil
}

// hole is what lies at the consumer's position if it is neither a record nor padding.
type hole struct {
	owner, slots uint64 // of the claim that is not finished; slots = 0: nothing is claimed
	word         uint64 // the claim word, if it was looked at
	described    bool   // or else: it has got a descriptor since
}

// holeAt finds out what is the matter at pos, whose descriptor d is BUSY or does not count.
func (c *Consumer) holeAt(d uint64) (hole, error) {
	if counts(d, c.pos, c.lapShift) {
		x := d >> xShift & xMask
		return c.bound(hole{owner: x >> 18, slots: x & claimSlotsMask}, "busy descriptor")
	}
	// sync(claim) takes over: that claims before this one have been described. Pairs with Producer.claimFrom.
	t := c.watch.claim.Load()
	at := c.pos & claimMask
	switch {
	case claimSlots(t) == 0, (claimStart(t)+claimSlots(t))&claimMask == at:
		return hole{word: t}, nil
	case claimStart(t) == at:
		return c.bound(hole{owner: claimOwner(t), slots: claimSlots(t), word: t}, "claim word")
	}
	// The last claim is a later one, so the claim at pos has been described since d was loaded (I12).
	if d = c.descs[c.pos&c.mask].Load(); counts(d, c.pos, c.lapShift) {
		return hole{described: true}, nil
	}
	return hole{}, c.poison("claim word", t, fmt.Sprintf("a claim that starts or ends at %d, since nothing is described there", at))
}

// bound checks what a word of the producers says about a claim at pos.
func (c *Consumer) bound(h hole, field string) (hole, error) {
	left := c.left(c.pos)
	switch {
	case h.slots == 0 || h.slots > left:
		return hole{}, c.poison(field, h.slots, fmt.Sprintf("1 to %d slots", left))
	case h.owner == 0:
		return hole{}, c.poison(field, h.owner, "an owner number from 1 to 255")
	}
	return h, nil
}

// stepOver steps over h, whose descriptor was d, if its owner is proven dead, and reports whether the look goes on.
// Whoever is only slow is waited for, however long it takes.
func (c *Consumer) stepOver(d uint64, h hole) bool {
	if c.watch.provenDead == nil || !c.watch.provenDead(int(h.owner)) {
		c.stalled(h)
		return false
	}
	// It may have committed just before it died, or its claim may have been described. If not, nobody will now.
	if c.descs[c.pos&c.mask].Load() == d {
		c.pos += h.slots
		c.stats.Recovered++
		c.noStall()
	}
	return true
}

// stalled notes that h holds us up, and since when, and tells those who want to know before each sleep.
func (c *Consumer) stalled(h hole) {
	w := c.watch
	if w.stall.Slots == 0 || w.stall.Position != c.pos || w.stall.Owner != int(h.owner) {
		w.since = time.Now()
	}
	w.stall = Stall{Owner: int(h.owner), Position: c.pos, Slots: int(h.slots)}
	c.longest = c.bounded(boundedWait)
	if w.onStall == nil || c.parking && w.told == c.parked {
		return
	}
	w.told = c.parked
	w.onStall(w.stalledNow())
}

func (c *Consumer) noStall() {
	c.watch.stall = Stall{}
	c.longest = c.bounded(idleWait)
}

// bounded returns how long a sleep may be, 0 for ever: nobody rings when a producer claims or dies. If deaths cannot be
// proven and nobody wants to hear of stalls, there is nothing to wake up for.
func (c *Consumer) bounded(d time.Duration) time.Duration {
	if c.watch.provenDead == nil && c.watch.onStall == nil {
		return 0
	}
	return d
}

// end returns io.EOF if nothing will come behind claim t, which ends at pos: there have been owners, and all have left or
// are dead. Those who left have claimed nothing since, so if the last claim is still t, nothing has been claimed at all.
func (c *Consumer) end(t uint64) error {
	if !c.allLeft() || c.watch.claim.Load() != t {
		return nil
	}
	c.watch.fruitless = examineEvery - 1 // the next call hears of it too, at once
	return io.EOF
}

// allLeft reports whether at least one owner has been, and at one moment none was.
//
// One look at each word is not enough: somebody may join under a number that has been passed, and only then the last one
// of those before leave. A word changes with everybody who joins or leaves and never changes back, so if a second round
// finds the words of the first, all of them were so in between.
func (c *Consumer) allLeft() bool {
	highest := min(c.watch.highest.Load(), Owners)
	var sum, again uint64
	for owner := 1; owner <= int(highest); owner++ {
		word := c.ownerWord(owner)
		if word != 0 && word&ownerClosed == 0 && (c.watch.provenDead == nil || !c.watch.provenDead(owner)) {
			return false
		}
		sum += word
	}
	for owner := 1; owner <= int(highest); owner++ {
		again += c.ownerWord(owner)
	}
	return sum != 0 && sum == again && min(c.watch.highest.Load(), Owners) == highest
}

func (c *Consumer) ownerWord(owner int) uint64 {
	// sync(owner) takes over: if it is closed, all of the owner's claims and descriptors. Pairs with Producer.leave.
	return c.watch.owners[owner*OwnerBytes/8].Load()
}
