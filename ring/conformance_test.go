package ring_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests, and those of conformance_*_test.go and drain_test.go and read_test.go, have the names of Agrona's and Aeron's
// ring buffer tests (and of the Disruptor's sequencer tests) where the same thing can be asked of a ring with one producer.
// What cannot be asked:
//
//   - ...MessageTypeIdIsInvalid: a message has no type, and shouldProvideCorrelationIds: a ring counts nothing but slots.
//   - commitPublishesMessageByInvertingTheLengthValue, shouldPutMessageAtTheEndOf...AfterReadUnblocksZeroingOfTheNextHeader:
//     there is no length before the payload and nothing is zeroed; TestCommitPublishesTheMessage and
//     TestShouldPutMessageAtTheEndOfTheBufferWithoutPadding ask what is behind them.
//   - abortMarksUnusedSpaceAsPadding: with one producer an abort leaves no trace, see TestClaimAndAbortTouchNoWordOfTheProtocol.
//   - shouldNotUnblockBecauseNotOtherProducersToRaceWith, the other ...Unblock... tests and the unblockers' tests: there is no
//     unblock. With one producer nobody else is held up by an open claim; a successor drops it, see restart_test.go.
//   - the broadcast tests: a message has one consumer.
//   - shouldHandleLotsOfThreads, tryClaimReturns...AfterPadding, ...CapacityHead and Tail: for rings with many producers.
//   - the lock and cycle tests of Chronicle Queue: there is no lock, no time-out and no file.

func TestShouldWriteToEmptyBuffer(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, r *rig) {
		start := r.p.Position()
		mustSend(t, r.p, []byte("hello"))
		assert.Equal(t, start+1, r.p.Position())
		assert.Equal(t, committed(r.geo, start, 5), r.descriptor(start).Load())
		mustReceive(t, r.c, []byte("hello"))
		mustFindNothing(t, r.c)
	})
}

func TestShouldReadNothingFromEmptyBuffer(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, r *rig) {
		mustFindNothing(t, r.c)
		_, ok, err := r.c.TryNext()
		require.NoError(t, err)
		assert.False(t, ok)
	})
}

func TestShouldReadTwoMessages(t *testing.T) {
	bothKinds(t, 4, func(t *testing.T, r *rig) {
		mustSend(t, r.p, []byte("one"))
		mustSend(t, r.p, []byte("two"))
		mustReceive(t, r.c, []byte("one"))
		mustReceive(t, r.c, []byte("two"))
		mustFindNothing(t, r.c)
	})
}

func TestShouldRejectWriteWhenBufferFull(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, r *rig) {
		start := r.p.Position()
		n := fill(t, r.p)
		if r.geo.MPSC || start+uint64(r.geo.Slots) != 1<<64-1 { // there the last slot of an SPSC ring is kept for Close
			assert.Equal(t, r.geo.Slots, n)
		}
		_, ok, err := r.p.TryClaim(0)
		require.NoError(t, err)
		assert.False(t, ok)
		for i := range n {
			mustReceive(t, r.c, []byte{byte(i)})
		}
		mustSend(t, r.p, []byte("again"))
		mustReceive(t, r.c, []byte("again"))
	})
}

func TestShouldRejectWriteWhenInsufficientSpace(t *testing.T) {
	bothKinds(t, 4, func(t *testing.T, r *rig) {
		// Three messages of half the ring cannot all be there, wherever the end lies.
		big := message(1, r.p.MaxRecord())
		mustSend(t, r.p, big)
		before := r.p.Position()
		rejected := 0
		for range 2 {
			if ok, err := r.p.TrySend(big); !ok {
				require.NoError(t, err)
				rejected++
			}
		}
		require.NotZero(t, rejected)
		assert.LessOrEqual(t, r.p.Position()-before, uint64(r.geo.Slots))
		mustReceive(t, r.c, big)
	})
}

func TestShouldAllowWritingEmptyMessagesWhenCapacityIsMinimal(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, r *rig) {
		for range 5 * r.geo.Slots {
			mustSend(t, r.p, nil)
			mustReceive(t, r.c, nil)
		}
		assert.Zero(t, r.c.Stats().Bytes)
	})
}

func TestShouldInsertPaddingRecordPlusMessageOnBufferWrap(t *testing.T) {
	for i := range 2 * len(geometries) {
		geo := geometries[i/2]
		geo.MPSC = i%2 == 1
		if geo.Slots < 4 {
			continue
		}
		for before := 1; before < geo.Slots; before++ {
			r := newRig(t, geo)
			for i := range before {
				mustSend(t, r.p, []byte{byte(i)})
				mustReceive(t, r.c, []byte{byte(i)})
			}
			big := message(7, geo.MaxRecord())
			left := uint64(geo.Slots - before)
			at := r.p.Position()
			mustSend(t, r.p, big)
			wantAt, wantSkips := at, uint64(0)
			if left < uint64(geo.Slots/2) {
				wantAt, wantSkips = at+left, 1
				assert.Equal(t, desc(geo, at, left, 3), r.descriptor(at).Load(), "the SKIP")
			}
			assert.Equal(t, committed(geo, wantAt, uint64(len(big))), r.descriptor(wantAt).Load())
			assert.Equal(t, wantAt+uint64(geo.Slots/2), r.p.Position())
			mustReceive(t, r.c, big)
			assert.Equal(t, r.p.Position(), r.c.Position())
			assert.Equal(t, wantSkips, r.p.Stats().Skips)
			assert.Equal(t, wantSkips, r.c.Stats().Skips)
		}
	}
}

// Whoever is woken by a padding or a batch finds everything that it publishes.
func TestRingComesAfterEverythingPublishedByIt(t *testing.T) {
	h := &hook{}
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(6), func(p, _ *ring.Config) { p.Doorbell = h })
	big, small := message(1, 64), []byte("small")
	rung := 0
	h.ring = func() {
		rung++
		mustReceive(t, r.c, big)
	}
	mustSend(t, r.p, big) // padding 6, 7; slots 8 … 11; the first publication rings
	require.Equal(t, 1, rung)
	h.ring = func() {
		rung++
		mustReceive(t, r.c, small)
		mustReceive(t, r.c, big)
	}
	r.word(r.cons, ring.ConsumerParksOffset).Add(1)
	n, err := r.p.SendBatch(context.Background(), [][]byte{small, big}) // 12; padding 13 … 15; 16 … 19
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, 2, rung)
}

func TestShouldWriteMessageAfterInsertedPaddingIsConsumedThusMakeEnoughContiguousSpace(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	small, big := []byte("s"), message(1, 64)
	for range 6 {
		mustSend(t, r.p, small)
		mustReceive(t, r.c, small)
	}
	mustSend(t, r.p, big) // SKIP 6, 7; slots 8 … 11
	ok, err := r.p.TrySend(big)
	require.NoError(t, err)
	require.False(t, ok, "slots 12 … 15 would be used, of which 14, 15 are the padding of this lap")
	mustReceive(t, r.c, big)
	mustSend(t, r.p, big)
	mustReceive(t, r.c, big)
}

func TestShouldThrowExceptionWhenMaxMessageSizeExceeded(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, r *rig) {
		longest := message(0, r.p.MaxRecord())
		tooLong := append(longest, 0)
		_, err := r.p.TrySend(tooLong)
		requireTooLarge(t, err, len(tooLong), len(longest))
		requireTooLarge(t, r.p.Send(context.Background(), tooLong), len(tooLong), len(longest))
		_, _, err = r.p.TryClaim(len(tooLong))
		requireTooLarge(t, err, len(tooLong), len(longest))
		_, err = r.p.Claim(context.Background(), len(tooLong))
		requireTooLarge(t, err, len(tooLong), len(longest))
		n, err := r.p.SendBatch(context.Background(), [][]byte{[]byte("a"), tooLong})
		requireTooLarge(t, err, len(tooLong), len(longest))
		assert.Zero(t, n)
		mustFindNothing(t, r.c)
		require.NoError(t, r.p.Err())
		mustSend(t, r.p, longest)
		mustReceive(t, r.c, longest)
	})
}

func requireTooLarge(t *testing.T, err error, got, limit int) {
	t.Helper()
	var e *ring.TooLargeError
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, ring.ErrTooLarge)
	require.Equal(t, ring.TooLargeError{Got: got, Max: limit}, *e)
}

func TestTryClaimReturnsOffsetAtWhichMessageBodyCanBeWritten(t *testing.T) {
	bothKinds(t, 4, func(t *testing.T, r *rig) {
		for i := range 4 * r.geo.Slots {
			want := message(uint32(i), i%(r.p.MaxRecord()+1))
			c, ok, err := r.p.TryClaim(len(want))
			require.NoError(t, err)
			require.True(t, ok)
			require.Len(t, c.Bytes(), len(want))
			require.Equal(t, len(want), cap(c.Bytes()))
			copy(c.Bytes(), want)
			mustFindNothing(t, r.c)
			c.Commit()
			mustReceive(t, r.c, want)
		}
	})
}

func TestShouldNotReadSingleMessagePartWayThroughWriting(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, r *rig) {
		c, _, err := r.p.TryClaim(3)
		require.NoError(t, err)
		copy(c.Bytes(), "abc")
		mustFindNothing(t, r.c)
		c.Commit()
		mustReceive(t, r.c, []byte("abc"))
	})
}

func TestClaimAndAbortTouchNoWordOfTheProtocol(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for range 6 {
		mustSend(t, r.p, []byte("x"))
		mustReceive(t, r.c, []byte("x"))
	}
	// All of the region but the stats, which nobody acts on, and the slots.
	words := func() []byte { return append(bytes.Clone(r.prod[:640]), r.prod[896:1024]...) }
	before := words()
	cons := bytes.Clone(r.cons)
	pos := r.p.Position()
	for range 20 {
		c, ok, err := r.p.TryClaim(64) // needs a padding
		require.NoError(t, err)
		require.True(t, ok)
		c.Abort()
	}
	assert.Equal(t, pos, r.p.Position())
	assert.True(t, bytes.Equal(before, words()), "producer region changed")
	assert.True(t, bytes.Equal(cons, r.cons), "consumer region changed")
	mustFindNothing(t, r.c)
	mustSend(t, r.p, []byte("after"))
	mustReceive(t, r.c, []byte("after"))
}

func TestMisusePanicsWithTheValues(t *testing.T) {
	ctx := context.Background()
	claimed := func(r *rig) ring.Claim { c, _, _ := r.p.TryClaim(3); return c }
	viewed := func(r *rig) ring.Record { _, _ = r.p.TrySend([]byte("abc")); v, _, _ := r.c.TryNext(); return v }
	for _, tt := range []struct {
		name, want string
		do         func(r *rig)
	}{
		{"negative claim", "-1", func(r *rig) { _, _, _ = r.p.TryClaim(-1) }},
		{"negative blocking claim", "-7", func(r *rig) { _, _ = r.p.Claim(ctx, -7) }},
		{"second claim", "claim of 3 bytes", func(r *rig) { claimed(r); _, _, _ = r.p.TryClaim(1) }},
		{"send during claim", "claim of 3 bytes", func(r *rig) { claimed(r); _, _ = r.p.TrySend(nil) }},
		{"batch during claim", "claim of 3 bytes", func(r *rig) { claimed(r); _, _ = r.p.SendBatch(ctx, [][]byte{{1}}) }},
		{"double commit", "was committed", func(r *rig) { c := claimed(r); c.Commit(); c.Commit() }},
		{"commit after abort", "was aborted", func(r *rig) { c := claimed(r); c.Abort(); c.Commit() }},
		{"abort after commit", "was committed", func(r *rig) { c := claimed(r); c.Commit(); c.Abort() }},
		{"bytes after commit", "was committed", func(r *rig) { c := claimed(r); c.Commit(); c.Bytes() }},
		{"old claim", "claim 1", func(r *rig) { c := claimed(r); c.Abort(); claimed(r); c.Commit() }},
		{"zero claim", "zero Claim", func(*rig) { ring.Claim{}.Commit() }},
		{"second view", "position 0 is not released", func(r *rig) { viewed(r); _, _, _ = r.c.TryNext() }},
		{"receive during view", "position 0 is not released", func(r *rig) { viewed(r); _, _, _ = r.c.TryReceive(nil) }},
		{"double release", "position 0", func(r *rig) { v := viewed(r); v.Release(); v.Release() }},
		{"bytes after release", "position 0", func(r *rig) { v := viewed(r); v.Release(); v.Bytes() }},
		{"old view", "position 0", func(r *rig) { v := viewed(r); v.Release(); viewed(r); v.Release() }},
		{"zero record", "zero Record", func(*rig) { ring.Record{}.Bytes() }},
	} {
		for _, mpsc := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/mpsc=%t", tt.name, mpsc), func(t *testing.T) {
				r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16, MPSC: mpsc})
				defer func() {
					got := recover()
					require.NotNil(t, got, "no panic")
					assert.Contains(t, got, tt.want)
				}()
				tt.do(r)
			})
		}
	}
}

func TestNextIsAViewUntilRelease(t *testing.T) {
	bothKinds(t, 4, func(t *testing.T, r *rig) {
		for i := range 3 * r.geo.Slots {
			want := message(uint32(i), i%(r.p.MaxRecord()+1))
			mustSend(t, r.p, want)
			v, ok, err := r.c.TryNext()
			require.NoError(t, err)
			require.True(t, ok)
			require.True(t, bytes.Equal(want, v.Bytes()))
			require.Equal(t, len(want), cap(v.Bytes()))
			pos := r.c.Position()
			v.Release()
			require.Greater(t, r.c.Position()-pos, uint64(0))
		}
	})
}

func TestReceiveAppendsToTheEmptiedBuffer(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	buf := append(make([]byte, 0, 32), "old contents"...)
	mustSend(t, r.p, []byte("new"))
	got, ok, err := r.c.TryReceive(buf)
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, "new", string(got))
	assert.Equal(t, 32, cap(got), "the same memory")
	got, ok, err = r.c.TryReceive(got)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Empty(t, got)
	assert.Equal(t, 32, cap(got), "kept when there is nothing")
}

func TestMessagesIterates(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for _, s := range []string{"a", "b", "c", "d"} {
		mustSend(t, r.p, []byte(s))
	}
	r.p.Close()
	var got []string
	for msg, err := range r.c.Messages(context.Background()) {
		require.NoError(t, err)
		if got = append(got, string(msg)); len(got) == 2 {
			break
		}
	}
	for msg, err := range r.c.Messages(context.Background()) {
		require.NoError(t, err)
		got = append(got, string(msg))
	}
	assert.Equal(t, []string{"a", "b", "c", "d"}, got)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range r.c.Messages(ctx) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestStatsAreExact(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for range 3 {
		mustSend(t, r.p, message(0, 40)) // 3 slots: 0, 3, then a padding of 2 and 8
		mustReceive(t, r.c, message(0, 40))
	}
	p, c := r.p.Stats(), r.c.Stats()
	assert.Equal(t, []uint64{3, 120, 1, 11}, []uint64{p.Records, p.Bytes, p.Skips, p.Position})
	assert.Equal(t, []uint64{3, 120, 1, 11}, []uint64{c.Records, c.Bytes, c.Skips, c.Position})
	n := fill(t, r.p)
	p = r.p.Stats()
	assert.Equal(t, uint64(3+n), p.Records)
	assert.Equal(t, uint64(8), p.HighWater)
	r.p.Close()
	r.c.Close()
	assert.Equal(t, r.p.Stats().Records, ring.SharedStats(r.prod).Records)
	assert.Equal(t, r.c.Stats().Bytes, ring.SharedStats(r.cons).Bytes)
	assert.Equal(t, r.p.Position(), ring.SharedStats(r.prod).Position)
}
