package ring_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A dead owner's number is given out only when the consumer has passed everything that it may have claimed; nobody else's
// claims behind that matter.
func TestMultiDeadNumberIsInQuarantine(t *testing.T) {
	withMany(t, 8, func(t *testing.T, r *crowd) {
		slow, other := r.join(), r.join()
		claim := r.open(slow, 1)
		p := r.mustBe(3)
		r.open(p, 1)
		r.kill(p)
		mustSend(t, other, []byte("behind"))

		refused := ring.OwnersError{Owner: 3, Waiting: 1}
		for range 3 {
			_, err := r.as(3)
			requireOwners(t, err, refused)
			r.mustFindNothing()
		}
		assert.Equal(t, uint64(1<<1), r.owner(3).Load())
		require.Equal(t, 4, r.mustBe(0).Owner(), "the next that is free")

		claim.Commit()
		_, err := r.as(3)
		requireOwners(t, err, refused) // nobody has looked
		r.mustReceive([]byte{0})
		r.mustReceive([]byte("behind"))
		r.mustFindNothing() // and so publishes

		next := r.mustBe(3)
		assert.Equal(t, uint64(2<<1), r.owner(3).Load())
		mustSend(t, next, []byte("second life"))
		r.mustReceive([]byte("second life"))
	})
}

// A dead owner that has claimed nothing which the consumer has not passed waits for nobody.
func TestMultiDeadNumberWithoutClaims(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.kill(r.mustBe(1))
	p := r.mustBe(1)
	assert.Equal(t, uint64(2<<1), r.owner(1).Load())
	mustSend(t, p, nil)
	r.mustReceive([]byte{})
	r.kill(p)
	r.mustBe(1)
}

func TestMultiWithoutHoldADeadNumberIsLost(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.pc.Hold = nil
	r.mustBe(1)
	closed := r.mustBe(2)
	closed.Close()
	for range 2 {
		_, err := r.as(1)
		requireOwners(t, err, ring.OwnersError{Owner: 1, Taken: 1})
		_, err = ring.Join(t.Context(), r.prod, r.cons, ring.Config{Geometry: r.geo, PeerNeverParks: true, Owner: 1})
		requireOwners(t, err, ring.OwnersError{Owner: 1, Taken: 1})
	}
	require.Equal(t, 2, r.mustBe(0).Owner())
}

func TestMultiWhatHoldSays(t *testing.T) {
	broken := errors.New("no such device")
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.pc.Hold = func(int) (func(), bool, error) { return nil, false, broken }
	_, err := r.as(0)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "owner number 1")
	require.NotErrorIs(t, err, ring.ErrOwners)
	_, err = ring.Join(t.Context(), r.prod, r.cons, r.pc)
	require.ErrorIs(t, err, broken)
	assert.Zero(t, r.owner(1).Load())

	var held []int
	released := 0
	r.pc.Hold = func(owner int) (func(), bool, error) {
		held = append(held, owner)
		return func() { released++ }, owner >= 3, nil // somebody else has 1 and 2, and has not said so in the table yet
	}
	p := r.mustBe(0)
	assert.Equal(t, 3, p.Owner())
	assert.Equal(t, []int{1, 2, 3}, held)
	assert.Zero(t, released)
	p.Close()
	p.Close()
	assert.Equal(t, 1, released)
	_, err = r.as(1)
	requireOwners(t, err, ring.OwnersError{Owner: 1, Taken: 1})
}

// Between the proof that a number is free and the lock on it somebody else takes it, claims and dies: the generation has
// changed, so everything starts over, and the new claims are waited for.
func TestMultiNumberThatDiedTwice(t *testing.T) {
	for _, first := range []string{"never used", "closed", "dead"} {
		t.Run(first, func(t *testing.T) {
			r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
			witness := r.mustBe(2)
			switch first {
			case "closed":
				r.mustBe(1).Close()
			case "dead":
				r.kill(r.mustBe(1))
			}
			generation := r.owner(1).Load() >> 1
			late := r.pc
			late.Owner = 1
			attempts := 0
			late.Hold = func(owner int) (func(), bool, error) {
				if attempts++; attempts == 1 {
					p := r.mustBe(1)
					r.open(p, 17)
					r.kill(p)
				}
				return r.seats.hold(owner)
			}
			_, err := ring.NewProducer(r.prod, r.cons, late)
			requireOwners(t, err, ring.OwnersError{Owner: 1, Waiting: 1})
			assert.Equal(t, 1, attempts, "a number in quarantine is not held")
			assert.True(t, r.seats.provenDead(1), "what was held is given back")
			assert.Equal(t, (generation+1)<<1, r.owner(1).Load())

			r.mustFindNothing()
			require.Equal(t, uint64(1), r.c.Stats().Recovered)
			p, err := ring.NewProducer(r.prod, r.cons, late)
			require.NoError(t, err)
			assert.Equal(t, (generation+2)<<1, r.owner(1).Load())
			mustSend(t, p, nil)
			mustSend(t, witness, nil)
			r.mustReceive([]byte{})
			r.mustReceive([]byte{})
		})
	}
}

// Whoever is as slow as one can be, and finds the number free at last although others had it in between, takes it.
func TestMultiNumberThatWasTakenAndClosedInBetween(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	attempts := 0
	late := r.pc
	late.Owner = 1
	late.Hold = func(owner int) (func(), bool, error) {
		if attempts++; attempts <= 2 {
			r.mustBe(1).Close()
		}
		return r.seats.hold(owner)
	}
	p, err := ring.NewProducer(r.prod, r.cons, late)
	require.NoError(t, err)
	assert.Equal(t, 1, p.Owner())
	assert.Equal(t, 3, attempts)
	assert.Equal(t, uint64(3<<1), r.owner(1).Load())
}

// Many want one number at once, closed or dead: never have two of them got it.
func TestMultiRaceForOneNumber(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	for _, hold := range []bool{true, false} {
		t.Run(fmt.Sprintf("hold=%t", hold), func(t *testing.T) {
			shmtest.Watchdog(t, watch)
			r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
			if !hold {
				r.pc.Hold, r.pc.ProvenDead = nil, nil
			}
			for round := range rounds {
				const newcomers = 4
				var all sync.WaitGroup
				got := make(chan *ring.Producer, newcomers)
				for range newcomers {
					all.Go(func() {
						p, err := r.as(1)
						if err == nil {
							got <- p
						} else {
							assert.ErrorIs(t, err, ring.ErrOwners)
						}
					})
				}
				all.Wait()
				require.Len(t, got, 1, "round %d", round)
				require.Equal(t, uint64(round+1)<<1, r.owner(1).Load())
				if p := <-got; hold && round%2 == 0 {
					r.open(p, 1)
					r.kill(p)
					r.mustEnd() // passes the claim
				} else {
					p.Close()
				}
			}
		})
	}
}

func TestMultiJoinWaitsForTheConsumer(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.open(r.mustBe(5), 20)
	r.seats.die(5)
	r.pc.Owner = 5

	ctx, cancel := context.WithCancel(context.Background())
	type result struct {
		p   *ring.Producer
		err error
	}
	join := func() <-chan result {
		ch := make(chan result, 1)
		go func() {
			p, err := ring.Join(ctx, r.prod, r.cons, r.pc)
			ch <- result{p, err}
		}()
		return ch
	}
	ended := join()
	shmtest.StillBlocked(t, ended, "Join without a consumer that looks")
	cancel()
	got := shmtest.Soon(t, ended, "Join")
	require.Nil(t, got.p)
	require.ErrorIs(t, got.err, context.Canceled)
	requireOwners(t, got.err, ring.OwnersError{Owner: 5, Waiting: 1})
	require.True(t, r.seats.provenDead(5), "who waits holds nothing")

	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	waiting := join()
	shmtest.StillBlocked(t, waiting, "Join")
	r.mustEnd()
	got = shmtest.Soon(t, waiting, "Join")
	require.NoError(t, got.err)
	require.Equal(t, 5, got.p.Owner())
	mustSend(t, got.p, []byte("second life"))
	r.mustReceive([]byte("second life"))
}

// Two wait for the number of one dead owner: one gets it, and the other hears that it is taken.
func TestMultiTwoJoinOneNumber(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for range 20 {
		d := r.mustBe(7)
		r.open(d, 1)
		r.kill(d)
		cfg := r.pc
		cfg.Owner = 7
		got := make(chan *ring.Producer, 2)
		for range 2 {
			go func() {
				p, err := ring.Join(context.Background(), r.prod, r.cons, cfg)
				if err != nil {
					assert.ErrorIs(t, err, ring.ErrOwners)
				}
				got <- p
			}()
		}
		r.mustEnd()
		a, b := shmtest.Soon(t, got, "Join"), shmtest.Soon(t, got, "Join")
		require.True(t, (a == nil) != (b == nil), "%v %v", a, b)
		if a == nil {
			a = b
		}
		a.Close()
	}
}

// With all numbers taken by the living Join does not wait.
func TestMultiJoinDoesNotWaitForTheLiving(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for range ring.Owners {
		r.join()
	}
	_, err := ring.Join(context.Background(), r.prod, r.cons, r.pc)
	requireOwners(t, err, ring.OwnersError{Taken: 255})
}
