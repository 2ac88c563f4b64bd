package ring_test

import (
	"context"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever is only slow is never overruled: a full ring waits for its first claim, however often the consumer looks, and
// what was sent behind it comes after it, in order.
func TestMultiLateWriteOfASlowOwner(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		slow, fast := r.join(), r.join()
		claim := r.open(slow, 3)
		at := r.c.Position()
		n := fill(t, fast)
		require.Equal(t, r.geo.Slots-1, n)
		for range 20 {
			r.mustFindNothing()
			ok, err := fast.TrySend(nil)
			require.NoError(t, err)
			require.False(t, ok)
		}
		require.Equal(t, at, r.c.Position())
		require.Equal(t, at, r.published())
		copy(claim.Bytes(), "now")
		claim.Commit()
		r.mustReceive([]byte("now"))
		for i := range n {
			r.mustReceive([]byte{byte(i)})
		}
		assert.Zero(t, r.c.Stats().Recovered)
	})
}

// requireStall compares all but the age, which is returned.
func requireStall(t *testing.T, c *ring.Consumer, want ring.Stall) time.Duration {
	t.Helper()
	got, ok := c.Stalled()
	require.True(t, ok, "no stall")
	want.Age = got.Age
	require.Equal(t, want, got)
	return got.Age
}

func requireNoStall(t *testing.T, c *ring.Consumer) {
	t.Helper()
	s, ok := c.Stalled()
	require.False(t, ok, "%+v", s)
	require.Zero(t, s)
}

func TestMultiStalledNamesWhoHoldsTheConsumerUp(t *testing.T) {
	for _, described := range []bool{false, true} {
		r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(8<<36-3))
		a, b := r.join(), r.join()
		requireNoStall(t, r.c)
		r.mustFindNothing()
		requireNoStall(t, r.c)
		mustSend(t, a, []byte("taken"))
		claim := r.open(b, 20)
		if described {
			mustSend(t, a, []byte("behind"))
		}
		r.mustReceive([]byte("taken"))
		requireNoStall(t, r.c)
		r.mustFindNothing()
		want := ring.Stall{Owner: b.Owner(), Position: 8<<36 - 2, Slots: 2}
		age := requireStall(t, r.c, want)
		shmtest.Eventually(t, "the stall grows old", func() bool { return requireStall(t, r.c, want) > age })
		age = requireStall(t, r.c, want)
		r.mustFindNothing()
		require.GreaterOrEqual(t, requireStall(t, r.c, want), age, "looking again must not make it young")
		claim.Commit()
		r.mustReceive(make([]byte, 20))
		requireNoStall(t, r.c)
	}
}

// What was found to hold the consumer up has ended by itself, in between or by death.
func TestMultiStallEnds(t *testing.T) {
	for name, end := range map[string]func(r *crowd, p *ring.Producer, c ring.Claim){
		"commit": func(_ *crowd, _ *ring.Producer, c ring.Claim) { c.Commit() },
		"abort":  func(_ *crowd, _ *ring.Producer, c ring.Claim) { c.Abort() },
		"close":  func(_ *crowd, p *ring.Producer, _ ring.Claim) { p.Close() },
		"death":  func(r *crowd, p *ring.Producer, _ ring.Claim) { r.kill(p) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
			p, witness := r.join(), r.join()
			claim := r.open(p, 1)
			r.mustFindNothing()
			requireStall(t, r.c, ring.Stall{Owner: p.Owner(), Position: 0, Slots: 1})
			end(r, p, claim)
			if name == "commit" {
				v, ok, err := r.c.TryNext()
				require.NoError(t, err)
				require.True(t, ok)
				requireNoStall(t, r.c) // it is not released yet, but it holds nobody up
				v.Release()
			} else {
				r.mustFindNothing()
			}
			requireNoStall(t, r.c)
			later := r.open(witness, 1)
			r.mustFindNothing()
			requireStall(t, r.c, ring.Stall{Owner: witness.Owner(), Position: 1, Slots: 1})
			later.Abort()
		})
	}
}

// One sleep is one report, with an age that grows; deaths cannot be proven here, and yet the consumer wakes up to tell.
func TestMultiOnStallHearsOfEverySleepOnce(t *testing.T) {
	for _, proof := range []func(int) bool{nil, func(int) bool { return false }} {
		var r *crowd
		var told []ring.Stall
		var claim ring.Claim
		w := &recorder{}
		w.onWait = func() error {
			switch len(w.timeouts) {
			case 3:
				claim = r.open(r.join(), 33)
			case 8:
				claim.Commit()
			}
			return nil
		}
		r = newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
		cfg := r.cc
		cfg.Waiter, cfg.ProvenDead = w, proof
		cfg.OnStall = func(s ring.Stall) { told = append(told, s) }
		var err error
		r.c, err = ring.NewConsumer(r.cons, r.prod, cfg)
		require.NoError(t, err)
		_, err = r.c.Receive(context.Background(), nil)
		require.NoError(t, err)

		const idle, ahead = time.Second, 50 * time.Millisecond
		assert.Equal(t, []time.Duration{idle, idle, idle, ahead, ahead, ahead, ahead, ahead}, w.timeouts)
		require.Len(t, told, 6, "once when it was found, and once in every sleep that followed")
		for i, s := range told {
			assert.Equal(t, ring.Stall{Owner: 1, Position: 0, Slots: 3, Age: s.Age}, s)
			assert.GreaterOrEqual(t, s.Age, told[max(0, i-1)].Age)
		}
	}
}

// With nobody to prove a death and nobody to tell, there is nothing to wake up for.
func TestMultiConsumerWithoutProofSleepsUntilItIsRung(t *testing.T) {
	w := &recorder{}
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	p := r.join()
	w.onWait = func() error { mustSend(t, p, nil); return nil }
	cfg := r.cc
	cfg.Waiter, cfg.ProvenDead = w, nil
	c, err := ring.NewConsumer(r.cons, r.prod, cfg)
	require.NoError(t, err)
	_, err = c.Receive(context.Background(), nil)
	require.NoError(t, err)
	assert.Equal(t, []time.Duration{-1}, w.timeouts)
}

// A sleeping producer wakes up by itself once in a while too.
func TestMultiSleepOfAProducerIsBounded(t *testing.T) {
	var r *crowd
	w := &recorder{}
	r = newCrowd(t, ring.Geometry{Slots: 2, SlotBytes: 16})
	w.onWait = func() error { r.mustReceive([]byte{0}); return nil }
	r.pc.Waiter = w
	p := r.join()
	require.Equal(t, 2, fill(t, p))
	require.NoError(t, p.Send(context.Background(), nil))
	assert.Equal(t, []time.Duration{50 * time.Millisecond}, w.timeouts)
}

// gap.pml: the consumer sleeps, a dead claim lies ahead, and a producer without space has nothing to publish: it rings.
func TestMultiProducerWithoutSpaceRingsASleeper(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	d, p := r.join(), r.join()
	r.open(d, 17)
	r.kill(d)
	require.Equal(t, 2, fill(t, p))
	for _, call := range []func() (bool, error){
		func() (bool, error) { return p.TrySend(nil) },
		func() (bool, error) { _, ok, err := p.TryClaim(0); return ok, err },
	} {
		before := r.data.rings.Load()
		r.word(r.cons, ring.ConsumerParksOffset).Add(1)
		ok, err := call()
		require.NoError(t, err)
		require.False(t, ok)
		assert.Equal(t, before+1, r.data.rings.Load())
	}
}

// An abort and a padding are publications: they ring too, because the consumer may step over them to a record.
func TestMultiAbortAndPaddingRing(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(7))
	p := r.join()
	mustSend(t, p, nil)           // answers what was announced before it came
	mustReceive(t, r.c, nil)      // at 8
	before := r.data.rings.Load() // from here on nobody is asleep
	claim := r.open(p, 50)        // 8 … 11
	r.word(r.cons, ring.ConsumerParksOffset).Add(1)
	claim.Abort()
	assert.Equal(t, before+1, r.data.rings.Load(), "abort")
	r.mustFindNothing()
	r.open(p, 17).Abort() // 12, 13
	r.mustFindNothing()
	r.word(r.cons, ring.ConsumerParksOffset).Add(1)
	r.open(p, 64) // padding 14, 15
	assert.Equal(t, before+2, r.data.rings.Load(), "padding")
}

// What DrainAtMost allows is not exceeded by stepping over the dead either.
func TestMultiDrainAtMostCountsTheDead(t *testing.T) {
	withMany(t, 8, func(t *testing.T, r *crowd) {
		p := r.join()
		mustSend(t, p, []byte("a"))
		d := r.join()
		for (r.c.Position()+1)%uint64(r.geo.Slots) > uint64(r.geo.Slots)-4 { // the dead claim must not need a padding
			r.mustReceive([]byte("a"))
			mustSend(t, p, []byte("a"))
		}
		r.claimAs(d.Owner(), 4)
		r.kill(d)
		mustSend(t, p, []byte("b"))
		r.c.DrainAtMost(3)
		r.mustReceive([]byte("a"))
		at := r.c.Position()
		r.mustFindNothing()
		assert.Equal(t, at, r.c.Position())
		assert.Zero(t, r.c.Stats().Recovered)
	})
}
