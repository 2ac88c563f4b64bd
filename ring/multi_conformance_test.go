package ring_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests have the names of Agrona's many-to-one and Aeron's multi-producer ring buffer tests, and of the tests of
// Aeron's unblocker, where the same thing can be asked of this ring. Unblocking there is stepping over an unfinished
// claim because of a time-out, and zeroing it in the producers' memory; here it is stepping over one whose owner is proven
// dead, and nobody writes anything. The names that both kinds of ring share are in conformance_test.go, which asks them of
// both (bothKinds); those of commit, abort and tryClaim that throw are TestMisusePanicsWithTheValues.
//
// These do not apply:
//
//   - shouldNotUnblockBecauseNotOtherProducersToRaceWith: of the one-to-one ring.
//   - commitThrows… and abortThrowsIllegalArgumentExceptionIfIndexIsInvalid: a Claim is a value that only TryClaim makes.
//   - tryClaimThrows… and …WhenMessageTypeIdInvalid: messages have no types.
//   - shouldProvideCorrelationIds: the ring numbers nothing.
//   - shouldScanForwardForNextCompleteMessage, shouldScanForwardForNextNonCommittedMessage: nothing is ever scanned for;
//     an unfinished claim says how long it is.
//   - shouldUnblockWhenPositionHasCommittedMessageAndTailAtEndOfTermButNotRotated: there are no terms to rotate.
//   - shouldGetSize, shouldCalculateCapacityForBuffer: Geometry says both, and layout_test.go asks it.

func TestMultiShouldNotUnblockWhenEmpty(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		d := r.join()
		r.join()
		r.kill(d) // it has claimed nothing
		at := r.c.Position()
		for range 3 {
			r.mustFindNothing()
		}
		assert.Equal(t, at, r.c.Position())
		assert.Zero(t, r.c.Stats().Recovered)
	})
}

// With header is described here: somebody has claimed behind it.
func TestMultiShouldUnblockMessageWithHeader(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		d, p := r.join(), r.join()
		r.open(d, 1)
		mustSend(t, p, []byte("behind"))
		r.kill(d)
		r.mustReceive([]byte("behind"))
		r.mustFindNothing()
		assert.Equal(t, uint64(1), r.c.Stats().Recovered)
	})
}

func TestMultiShouldUnblockWhenFullWithHeader(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		d, p := r.join(), r.join()
		r.open(d, 1)
		require.Equal(t, r.geo.Slots-1, fill(t, p))
		r.kill(d)
		for i := range r.geo.Slots - 1 {
			r.mustReceive([]byte{byte(i)})
		}
		r.mustFindNothing()
		require.Equal(t, r.geo.Slots, fill(t, p), "the space of the dead is free again")
	})
}

func TestMultiShouldUnblockWhenFullWithoutHeader(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		p, d := r.join(), r.join()
		for i := range r.geo.Slots - 1 {
			mustSend(t, p, []byte{byte(i)})
		}
		r.open(d, 1)
		r.kill(d)
		for i := range r.geo.Slots - 1 {
			r.mustReceive([]byte{byte(i)})
		}
		r.mustFindNothing()
		require.Equal(t, uint64(1), r.c.Stats().Recovered)
		require.Equal(t, r.geo.Slots, fill(t, p), "the space of the dead is free again")
	})
}

// A gap is several claims of which none has written anything.
func TestMultiShouldUnblockGapWithZeros(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		p := r.join()
		for range 3 {
			d := r.join()
			r.open(d, 1)
			r.kill(d)
		}
		mustSend(t, p, []byte("behind"))
		r.mustReceive([]byte("behind"))
		assert.Equal(t, uint64(3), r.c.Stats().Recovered)
	})
}

// Only the dead are stepped over: of a gap that the dead and the slow share, up to the first who lives.
func TestMultiShouldNotUnblockGapWithMessageRaceOnSecondMessageIncreasingTailThenInterrupting(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		d, slow, p := r.join(), r.join(), r.join()
		r.open(d, 1)
		claim := r.open(slow, 1)
		mustSend(t, p, []byte("behind"))
		r.kill(d)
		for range 3 {
			r.mustFindNothing()
		}
		s, ok := r.c.Stalled()
		require.True(t, ok)
		assert.Equal(t, slow.Owner(), s.Owner)
		claim.Commit()
		r.mustReceive(make([]byte, 1))
		r.mustReceive([]byte("behind"))
		assert.Equal(t, uint64(1), r.c.Stats().Recovered)
	})
}

// The interrupt comes between the look and the step: what has been committed by then is not stepped over.
func TestMultiShouldNotUnblockGapWithMessageRaceWhenScanForwardTakesAnInterrupt(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		d, p := r.join(), r.join()
		claim := r.open(d, 4)
		mustSend(t, p, []byte("behind"))
		r.seats.asked = func(int) {
			r.seats.asked = nil
			copy(claim.Bytes(), "just")
			claim.Commit()
			r.kill(d)
		}
		r.mustReceive([]byte("just"))
		r.mustReceive([]byte("behind"))
		assert.Zero(t, r.c.Stats().Recovered)
	})
}

func TestMultiTryClaimReturnsIndexAtWhichEncodedMessageStartsAfterPadding(t *testing.T) {
	for _, start := range eightAt(6) {
		r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(start))
		p := r.join()
		claim := r.open(p, 40) // padding at 6, 7; slots 8, 9, 10
		assert.Equal(t, desc(r.geo, start, 2, 3), r.descriptor(start).Load(), "the padding is a claim of its own")
		assert.Equal(t, claimWord(start+2, 3, p.Owner()), r.word(r.prod, ring.ProducerClaimOffset).Load())
		copy(claim.Bytes(), message(1, 40))
		claim.Commit()
		assert.Equal(t, message(1, 40), r.prod[r.geo.SlotsOffset():][:40])
		assert.Equal(t, committed(r.geo, start+2, 40), r.descriptor(start+2).Load())
		assert.Equal(t, start+5, p.Position())
		r.mustReceive(message(1, 40))
	}
}

// Head is the consumer: so much is not given back that neither the end nor the start has room.
func TestMultiTryClaimReturnsInsufficientCapacityHead(t *testing.T) {
	for _, start := range eightAt(0) {
		r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(start))
		p := r.join()
		for range 3 {
			mustSend(t, p, message(1, 32)) // 0 … 5
		}
		r.mustReceive(message(1, 32)) // 0, 1 are free, and 6, 7
		before := r.word(r.prod, ring.ProducerClaimOffset).Load()
		_, ok, err := p.TryClaim(33)
		require.NoError(t, err)
		require.False(t, ok)
		assert.Equal(t, before, r.word(r.prod, ring.ProducerClaimOffset).Load(), "not even a padding is claimed")
		r.open(p, 32).Abort()
		r.open(p, 32).Abort()
	}
}

// Tail is the end of the claims.
func TestMultiTryClaimReturnsInsufficientCapacityTail(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		p, q := r.join(), r.join()
		var claims []ring.Claim
		for range r.geo.Slots {
			d := r.join()
			claims = append(claims, r.open(d, 1))
		}
		for _, full := range []*ring.Producer{p, q} {
			_, ok, err := full.TryClaim(0)
			require.NoError(t, err)
			require.False(t, ok, "what is claimed is not free, committed or not")
		}
		for _, c := range claims {
			c.Abort()
		}
	})
}

func TestMultiTryClaimShouldReturnFullWhenNoSpaceAtEndOrStartOfBuffer(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(2))
	p, q := r.join(), r.join()
	mustSend(t, p, message(1, 64)) // 2 … 5
	mustSend(t, q, message(2, 17)) // 6, 7
	for _, n := range []int{33, 64} {
		_, ok, err := p.TryClaim(n)
		require.NoError(t, err)
		require.False(t, ok)
	}
	c := r.open(p, 32) // 8, 9
	c.Abort()
}

func TestMultiWriteMustNotOverwriteUnreadMessageWhenNoSpaceAtEndOrStartOfBuffer(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		p, q := r.join(), r.join()
		first := message(1, r.geo.SlotBytes)
		mustSend(t, p, first)
		n := fill(t, q)
		for _, msg := range [][]byte{nil, first} {
			ok, err := p.TrySend(msg)
			require.NoError(t, err)
			require.False(t, ok)
		}
		r.mustReceive(first)
		for i := range n {
			r.mustReceive([]byte{byte(i)})
		}
		r.mustFindNothing()
	})
}

// The claim is as long as the rest of the ring, and so is the hole; the next message lies at the front.
func TestMultiShouldPutMessageAtTheEndOfTheBufferWithoutPaddingAfterReadUnblocks(t *testing.T) {
	for _, start := range eightAt(4) {
		r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(start))
		d, p := r.join(), r.join()
		r.open(d, 33) // 4, 5, 6
		r.kill(d)
		r.mustFindNothing()
		mustSend(t, p, []byte("7"))
		assert.Equal(t, committed(r.geo, start+3, 1), r.descriptor(start+3).Load())
		assert.Zero(t, p.Stats().Skips)
		mustSend(t, p, message(1, 64))
		assert.Equal(t, committed(r.geo, start+4, 64), r.descriptor(start+4).Load())
		r.mustReceive([]byte("7"))
		r.mustReceive(message(1, 64))
	}
}

func TestMultiAbortMarksUnusedSpaceAsPadding(t *testing.T) {
	for _, start := range eightAt(3) {
		r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(start))
		p := r.join()
		r.open(p, 40).Abort()
		assert.Equal(t, desc(r.geo, start, 3, 3), r.descriptor(start).Load())
		assert.Equal(t, start+3, p.Position())
		assert.Zero(t, p.Stats().Records)
		r.mustFindNothing()
		assert.Equal(t, start+3, r.c.Position())
	}
}

func TestMultiShouldReceivePublishedMessageWithInterleavedAbort(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		p, q := r.join(), r.join()
		for i := range 4 * r.geo.Slots {
			first, second, third := message(uint32(i), 1), message(uint32(i), 2), []byte("gone")
			mustSend(t, p, first)
			c := r.open(q, len(third))
			copy(c.Bytes(), third)
			c.Abort()
			mustSend(t, p, second)
			r.mustReceive(first)
			r.mustReceive(second)
		}
	})
}

// Of the unblocker: a finished message is none of its business.
func TestMultiShouldTakeNoActionWhenMessageIsComplete(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		d := r.join()
		mustSend(t, d, []byte("x"))
		r.kill(d)
		r.mustReceive([]byte("x"))
		r.mustEnd()
		assert.Zero(t, r.c.Stats().Recovered)
	})
}

// The claim that covers the rest of the ring, and what is claimed behind it at the front.
func TestMultiShouldPatchToEndOfPartition(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		n := uint64(r.geo.Slots)
		left := n - r.c.Position()%n
		d, p := r.join(), r.join()
		r.claimAs(d.Owner(), left)
		r.kill(d)
		if left == n {
			r.mustFindNothing()
		}
		mustSend(t, p, []byte("at the front"))
		r.mustReceive([]byte("at the front"))
		assert.Equal(t, uint64(1), r.c.Position()%n)
		assert.Equal(t, uint64(1), r.c.Stats().Recovered)
	})
}

// Several goroutines, messages of every length, by Send and by Claim: per producer everything arrives once, in order.
func TestMultiShouldExchangeMessages(t *testing.T) {
	exchangeMany(t, func(p *ring.Producer, msg []byte) error { return p.Send(context.Background(), msg) })
}

func TestMultiShouldExchangeMessagesViaTryClaim(t *testing.T) {
	exchangeMany(t, func(p *ring.Producer, msg []byte) error {
		c, err := p.Claim(context.Background(), len(msg))
		if err != nil {
			return err
		}
		copy(c.Bytes(), msg)
		if msg[5]%5 == 0 { // every fifth is given up first
			c.Abort()
			return p.Send(context.Background(), msg)
		}
		c.Commit()
		return nil
	})
}

func exchangeMany(t *testing.T, send func(p *ring.Producer, msg []byte) error) {
	t.Helper()
	shmtest.Watchdog(t, 2*watch)
	const producers = 3
	each := 4000
	if testing.Short() {
		each = 500
	}
	r := newCrowd(t, ring.Geometry{Slots: 16, SlotBytes: 64}, startAt(-uint64(each)))
	var senders sync.WaitGroup
	for range producers {
		p, rng := r.join(), shmtest.Rand(t)
		senders.Go(func() {
			defer p.Close()
			for i := range each {
				msg := message(uint32(i)<<8|uint32(p.Owner()), 12+rng.IntN(p.MaxRecord()-11))
				if err := send(p, msg); err != nil {
					assert.NoError(t, err)
					return
				}
			}
		})
	}
	next := map[uint32]uint32{}
	for msg, err := range r.c.Messages(context.Background()) {
		require.NoError(t, err)
		number := binary.LittleEndian.Uint32(msg[4:])
		who := number & 255
		require.NoError(t, checkMessage(msg, next[who]<<8|who), "producer %d", who)
		next[who]++
	}
	senders.Wait()
	for who := uint32(1); who <= producers; who++ {
		require.Equal(t, each, int(next[who]), fmt.Sprint("producer ", who))
	}
}
