package ring_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMultiNoEndBeforeAnybodyHasBeen(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for range 5 {
		r.mustFindNothing()
	}
	first := r.receiver()
	shmtest.StillBlocked(t, first, "Receive before the first producer")
	p := r.join()
	shmtest.StillBlocked(t, first, "Receive while a producer lives")
	p.Close()
	require.Equal(t, io.EOF, soon(t, first).err)
}

func TestMultiEndComesWhenAllHaveLeftAndEverythingIsTaken(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		a, b, c := r.join(), r.join(), r.join()
		mustSend(t, a, []byte("a"))
		a.Close()
		mustSend(t, b, []byte("b"))
		r.open(c, 1)
		r.kill(c)
		r.mustReceive([]byte("a"))
		r.mustReceive([]byte("b"))
		r.mustFindNothing() // b lives
		assert.Equal(t, uint64(1), r.c.Stats().Recovered)
		mustSend(t, b, []byte("b again"))
		b.Close()
		r.mustReceive([]byte("b again"))
		for range 3 {
			r.mustEnd()
		}
		require.NoError(t, r.c.Err())
		_, err := r.c.Next(context.Background())
		require.Equal(t, io.EOF, err)
	})
}

func TestMultiEndByDeathAlone(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	shmtest.Watchdog(t, watch)
	p := r.join()
	mustSend(t, p, []byte("last words"))
	r.open(p, 40)
	r.kill(p) // nobody rings
	msg, err := r.c.Receive(context.Background(), nil)
	require.NoError(t, err)
	require.Equal(t, "last words", string(msg))
	_, err = r.c.Receive(context.Background(), nil)
	require.Equal(t, io.EOF, err)
	assert.Equal(t, uint64(1), r.c.Stats().Recovered)
}

func TestMultiNoEndWhileDeathIsInDoubt(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	p, q := r.join(), r.join()
	r.kill(p)
	q.Close()
	cfg := r.cc
	cfg.ProvenDead = nil
	var err error
	r.c, err = ring.NewConsumer(r.cons, r.prod, cfg)
	require.NoError(t, err)
	for range 3 {
		r.mustFindNothing()
	}
}

func TestMultiLaterProducerReopensTheRing(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		for i := range 2 * r.geo.Slots {
			p := r.join()
			mustSend(t, p, []byte{byte(i)})
			if i%2 == 0 {
				p.Close()
			} else {
				r.kill(p)
			}
			r.mustReceive([]byte{byte(i)})
			r.mustEnd()
			r.mustEnd()
		}
		p := r.join()
		r.mustFindNothing()
		mustSend(t, p, []byte("open again"))
		r.mustReceive([]byte("open again"))
		r.mustFindNothing()
	})
}

// Who has heard io.EOF waits again when a producer has come meanwhile.
func TestMultiReceiveAfterTheEndWaitsForALaterProducer(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.join().Close()
	require.Equal(t, io.EOF, soon(t, r.receiver()).err)
	p := r.join()
	again := r.receiver()
	shmtest.StillBlocked(t, again, "Receive while a producer lives")
	mustSend(t, p, []byte("x"))
	require.Equal(t, "x", string(soon(t, again).msg))
}

// The producers hand over to one another, so that one is there at every moment. The consumer looks at one word after the
// other, and the hand-over happens in the middle: under a number that it has passed, or that was not in use when it began.
func TestMultiNoEndDuringAHandOver(t *testing.T) {
	for _, successor := range []int{1, 3} {
		t.Run(fmt.Sprintf("from 2 to %d", successor), func(t *testing.T) {
			r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
			first, second := r.mustBe(1), r.mustBe(2)
			first.Close()
			handed := 0
			r.seats.asked = func(owner int) {
				if owner == 2 && handed == 0 {
					handed++
					r.mustBe(successor)
					r.kill(second)
				}
			}
			r.mustFindNothing()
			require.Equal(t, 1, handed)
			r.mustFindNothing()
		})
	}
}

// The last producer sends and leaves while the consumer, which has seen that nothing is claimed, finds out who has left.
func TestMultiWhatIsSentBeforeTheEndIsTaken(t *testing.T) {
	for last := 1; last <= 3; last++ {
		r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
		var p *ring.Producer
		for owner := 1; owner <= 3; owner++ {
			if q := r.mustBe(owner); owner == last {
				p = q
			} else {
				r.kill(q)
			}
		}
		r.seats.asked = func(int) {
			r.seats.asked = nil
			mustSend(t, p, []byte("and goodbye"))
			p.Close()
		}
		msg, ok, err := r.look()
		if !ok {
			require.NoError(t, err, "the end before the last record")
			msg, ok, err = r.look()
		}
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "and goodbye", string(msg))
		r.mustEnd()
	}
}

func TestMultiCloseAbortsAnOpenClaim(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		p, q := r.join(), r.join()
		claim := r.open(p, r.geo.SlotBytes+1)
		copy(claim.Bytes(), "lost")
		mustSend(t, q, []byte("behind"))
		r.mustFindNothing()
		p.Close()
		claim.Commit() // nothing, and no panic: who closes from elsewhere cannot know
		assert.Panics(t, claim.Commit)
		assert.Zero(t, p.Stats().Records)
		r.mustReceive([]byte("behind"))
		assert.Zero(t, r.c.Stats().Recovered, "nobody has died")
		q.Close()
		r.mustEnd()
	})
}

// Commit and Abort after Close touch nothing: the number may have another bearer, and the slots another claim.
func TestMultiClaimAfterCloseTouchesNothing(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 2, SlotBytes: 16})
	for _, end := range []func(ring.Claim){ring.Claim.Commit, ring.Claim.Abort} {
		p := r.mustBe(1)
		claim := r.open(p, 1)
		p.Close()
		r.mustEnd()
		next := r.mustBe(1)
		require.Equal(t, 2, fill(t, next))
		before := append([]byte(nil), r.prod...)
		end(claim)
		require.Equal(t, before, r.prod)
		r.mustReceive([]byte{0})
		r.mustReceive([]byte{1})
		next.Close()
	}
}

func TestMultiCloseRingsOnceAndGivesTheNumberBackOnce(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	p := r.mustBe(1)
	before := r.data.rings.Load()
	p.Close()
	assert.Equal(t, before+1, r.data.rings.Load())
	r.mustBe(1)
	p.Close() // of a number that has another bearer now
	assert.Equal(t, uint64(2<<1), r.owner(1).Load())
	assert.False(t, r.seats.provenDead(1))
}

func TestMultiClosedConsumerEndsSendersThatNeedSpace(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		p, sleeper := r.join(), r.join()
		n := fill(t, p)
		require.Equal(t, r.geo.Slots, n)
		done := make(chan error, 1)
		go func() { done <- sleeper.Send(context.Background(), nil) }()
		shmtest.Eventually(t, "the producer sleeps", func() bool { return r.space.waits.Load() > 0 })
		r.c.Close()
		require.ErrorIs(t, shmtest.Soon(t, done, "Send"), io.ErrClosedPipe)
		_, err := p.TrySend(nil)
		require.ErrorIs(t, err, io.ErrClosedPipe)
		_, err = p.Claim(context.Background(), 0)
		require.ErrorIs(t, err, io.ErrClosedPipe)
		sent, err := p.SendBatch(context.Background(), [][]byte{nil})
		require.ErrorIs(t, err, io.ErrClosedPipe)
		require.Zero(t, sent)
		p.Close()
	})
}

// The highest number is the producers' word: a wrong one hides the end, or owners above it from the end, and no more.
func TestMultiHighestNumberMayLie(t *testing.T) {
	for _, lie := range []uint64{0, 1, 254, 255, 256, 1 << 32, math.MaxUint64} {
		t.Run(fmt.Sprint(lie), func(t *testing.T) {
			r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
			p, q := r.mustBe(1), r.mustBe(255)
			p.Close()
			highest := r.word(r.prod, ring.ProducerClosedOffset)
			highest.Store(lie)
			mustSend(t, q, []byte("x"))
			r.mustReceive([]byte("x"))
			switch {
			case lie == 0:
				r.mustFindNothing()
				q.Close()
				r.mustFindNothing()
			case lie < 255:
				r.mustEnd()
				q.Close()
			default:
				r.mustFindNothing()
				q.Close()
				r.mustEnd()
			}
			r.mustBe(1).Close()
			r.mustEnd()
			require.NoError(t, r.c.Err())
		})
	}
}

// Owner words of all kinds that nobody can have written do no harm.
func TestMultiOwnerWordsMayLie(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	p := r.mustBe(1)
	for owner := 2; owner <= ring.Owners; owner++ {
		r.owner(owner).Store(uint64(owner) * 0x9e3779b97f4a7c15)
	}
	r.word(r.prod, ring.ProducerClosedOffset).Store(math.MaxUint64)
	mustSend(t, p, []byte("x"))
	r.mustReceive([]byte("x"))
	r.mustFindNothing() // p lives, whatever the others are
	p.Close()
	r.mustEnd()
	for range 5 {
		require.NotNil(t, r.join())
	}
}
