package ring_test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustClaim claims n bytes.
func mustClaim(t testing.TB, r *rig, n int) ring.Claim {
	t.Helper()
	c, ok, err := r.p.TryClaim(n)
	require.NoError(t, err)
	require.True(t, ok, "no space for %d bytes", n)
	return c
}

func TestTryClaimThrowsIllegalArgumentExceptionIfLengthIsBiggerThanMaxMessageLength(t *testing.T) {
	everywhere(t, 2, func(t *testing.T, r *rig) {
		_, ok, err := r.p.TryClaim(r.p.MaxRecord() + 1)
		requireTooLarge(t, err, r.p.MaxRecord()+1, r.p.MaxRecord())
		require.False(t, ok)
		mustClaim(t, r, r.p.MaxRecord()).Abort()
	})
}

func TestTryClaimThrowsIllegalArgumentExceptionIfLengthIsNegative(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	assert.Contains(t, panicOf(t, func() { _, _, _ = r.p.TryClaim(-6) }), "-6")
	mustClaim(t, r, 0).Abort() // nothing is open
}

func TestTryClaimReturnsInsufficientCapacity(t *testing.T) {
	everywhere(t, 4, func(t *testing.T, r *rig) {
		before := fill(t, r.p)
		for _, n := range []int{0, 1, r.p.MaxRecord()} {
			_, ok, err := r.p.TryClaim(n)
			require.NoError(t, err)
			require.False(t, ok)
		}
		for i := range before {
			mustReceive(t, r.c, []byte{byte(i)})
		}
	})
}

func TestTryClaimReturnsInsufficientCapacityAfterWrap(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		big := message(5, 3*r.geo.SlotBytes)
		reach(t, r, r.geo.Slots-2)
		mustSend(t, r.p, big) // padding of two, three at the start
		for range r.geo.Slots - 5 - 2 {
			mustSend(t, r.p, nil)
		}
		_, ok, err := r.p.TryClaim(3 * r.geo.SlotBytes)
		require.NoError(t, err)
		require.False(t, ok, "two slots are free")
		mustReceive(t, r.c, big)
	})
}

// An index that is none of a claim's is here a Claim that is none of the producer's open ones.
func TestCommitAndAbortThrowIllegalArgumentExceptionIfIndexIsInvalid(t *testing.T) {
	for name, end := range map[string]func(c ring.Claim){"Commit": ring.Claim.Commit, "Abort": ring.Claim.Abort} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
			assert.Contains(t, panicOf(t, func() { end(ring.Claim{}) }), name+" of the zero Claim")
			old := mustClaim(t, r, 1)
			old.Abort()
			now := mustClaim(t, r, 2)
			assert.Contains(t, panicOf(t, func() { end(old) }), name+" of claim 1, which has ended; the last is 2")
			now.Commit() // has not suffered
			mustReceive(t, r.c, []byte{0, 0})
		})
	}
}

func TestEndingAClaimTwiceThrowsIllegalStateException(t *testing.T) {
	ends := map[string]func(c ring.Claim){"Committed": ring.Claim.Commit, "Aborted": ring.Claim.Abort}
	said := map[string]string{"Committed": "which was committed", "Aborted": "which was aborted"}
	for first, f := range ends {
		for second, g := range ends {
			t.Run(second+"IfSpaceWasAlready"+first, func(t *testing.T) {
				r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
				c := mustClaim(t, r, 7)
				f(c)
				assert.Contains(t, panicOf(t, func() { g(c) }), "of claim 1 of 7 bytes, "+said[first])
			})
		}
	}
}

func TestCommitPublishesTheMessage(t *testing.T) {
	everywhere(t, 2, func(t *testing.T, r *rig) {
		at := r.p.Position()
		c := mustClaim(t, r, 5)
		copy(c.Bytes(), "whole")
		before := r.descriptor(at).Load()
		require.NotEqual(t, committed(r.geo, at, 5), before)
		c.Commit()
		require.Equal(t, committed(r.geo, at, 5), r.descriptor(at).Load())
		mustReceive(t, r.c, []byte("whole"))
	})
}

func TestShouldHoldUpPublisherWhenBufferIsFull(t *testing.T) {
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, mode.tweak)
			fill(t, r.p)
			claimed := make(chan error, 1)
			go func() {
				c, err := r.p.Claim(context.Background(), 1)
				if err == nil {
					c.Commit()
				}
				claimed <- err
			}()
			shmtest.StillBlocked(t, claimed, "Claim on a full ring")
			mustReceive(t, r.c, []byte{0})
			require.NoError(t, shmtest.Soon(t, claimed, "Claim"))
		})
	}
}

func TestShouldNotBeAvailableUntilPublished(t *testing.T) {
	everywhere(t, 4, func(t *testing.T, r *rig) {
		c := mustClaim(t, r, 1)
		mustFindNothing(t, r.c)
		assert.Zero(t, mustInspect(t, r).Records)
		assert.Empty(t, mustPeek(t, r, 9, 9))
		c.Commit()
		assert.EqualValues(t, 1, mustInspect(t, r).Records)
		assert.Len(t, mustPeek(t, r, 9, 9), 1)
	})
}

// A batch past the end of the ring goes on at its start.
func TestShouldPublishBatchPastTheEnd(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		reach(t, r, r.geo.Slots-2)
		msgs := batchOf(4, 1, r.geo.SlotBytes)
		n, err := r.p.SendBatch(context.Background(), msgs)
		require.NoError(t, err)
		require.Equal(t, 4, n)
		require.EqualValues(t, 2, r.p.Position()%uint64(r.geo.Slots))
		for _, want := range msgs {
			mustReceive(t, r.c, want)
		}
	})
}

func TestShouldExchangeMessages(t *testing.T) {
	exchangeNumbers(t, func(p *ring.Producer, msg []byte) error { return p.Send(context.Background(), msg) })
}

func TestShouldExchangeMessagesViaTryClaim(t *testing.T) {
	exchangeNumbers(t, func(p *ring.Producer, msg []byte) error {
		c, err := p.Claim(context.Background(), len(msg))
		if err != nil {
			return err
		}
		copy(c.Bytes(), msg)
		if msg[0]%7 == 0 { // given up once, then claimed anew
			c.Abort()
			if c, err = p.Claim(context.Background(), len(msg)); err != nil {
				return err
			}
			copy(c.Bytes(), msg)
		}
		c.Commit()
		return nil
	})
}

// exchangeNumbers has one goroutine send numbers and another check their order.
func exchangeNumbers(t *testing.T, send func(p *ring.Producer, msg []byte) error) {
	t.Helper()
	const count = 5000
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 16, SlotBytes: 16}, mode.tweak)
			sent := make(chan error, 1)
			go func() {
				defer r.p.Close()
				for i := range uint64(count) {
					if err := send(r.p, binary.LittleEndian.AppendUint64(nil, i)); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			shmtest.Watchdog(t, watch)
			next := uint64(0)
			for msg, err := range r.c.Messages(context.Background()) {
				require.NoError(t, err)
				require.Equal(t, next, binary.LittleEndian.Uint64(msg))
				next++
			}
			require.Equal(t, uint64(count), next)
			require.NoError(t, shmtest.Soon(t, sent, "the producer"))
		})
	}
}
