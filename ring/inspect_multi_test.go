package ring_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (r *crowd) inspect() ring.Snapshot {
	r.t.Helper()
	s, err := ring.Inspect(r.prod, r.cons, r.geo)
	require.NoError(r.t, err)
	return s
}

// sharedPosition returns the word of how far an owner last said it was.
func (r *crowd) sharedPosition(owner int) *mem.Word64 {
	return mem.Uint64At(r.prod, ring.ProducerOwnersOffset+owner*ring.OwnerBytes+24+7*8)
}

func claimBy(t testing.TB, p *ring.Producer, n int) ring.Claim {
	t.Helper()
	c, ok, err := p.TryClaim(n)
	require.NoError(t, err)
	require.True(t, ok, "no space for a claim of %d bytes", n)
	return c
}

func TestReadHeaderOfManyProducers(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(13))
	_, err := ring.ReadHeader(r.prod)
	assert.ErrorIs(t, err, ring.ErrNoRing)
	r.join()
	for kind, region := range map[uint32][]byte{ring.KindMPSCProducer: r.prod, ring.KindMPSCConsumer: r.cons} {
		h, err := ring.ReadHeader(region)
		require.NoError(t, err)
		assert.True(t, h.MPSC)
		assert.Equal(t, ring.RegionHeader{Kind: kind, Geometry: r.geo, Start: 13}, h)
	}
}

func TestInspectTellsOwners(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.pc.PID, r.pc.StartTime = 4711, 99
	a := r.join()
	r.pc.PID, r.pc.Owner = 4712, 200
	b := r.join()
	for range 20 { // more than a lap, so that the numbers are shared
		mustSend(t, b, []byte("0123456789"))
		mustReceive(t, r.c, []byte("0123456789"))
	}
	b.Close()
	b = r.join()
	mustSend(t, a, nil)
	a.Close()

	s := r.inspect()
	require.Nil(t, s.Trouble)
	require.Len(t, s.Owners, 2)
	first, second := s.Owners[0], s.Owners[1]
	assert.Equal(t, ring.Stats{Records: 1, HighWater: 0, Position: 21, Rings: first.Stats.Rings}, first.Stats)
	first.Stats, second.Stats = ring.Stats{}, ring.Stats{}
	assert.Equal(t, ring.Owner{Number: 1, Generation: 1, Closed: true, PID: 4711, StartTime: 99}, first)
	assert.Equal(t, ring.Owner{Number: 200, Generation: 2, PID: 4712, StartTime: 99}, second)
	assert.True(t, s.Producer.Attached)
	assert.False(t, s.Producer.Closed, "one has not left")
	b.Close()
	assert.True(t, r.inspect().Producer.Closed)
}

// Who never waits is seen all the same, once in a lap.
func TestInspectSeesProducersThatNeverWait(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	a, b := r.join(), r.join()
	for range 100 {
		for _, p := range []*ring.Producer{a, b} {
			mustSend(t, p, []byte("0123456789"))
			mustReceive(t, r.c, []byte("0123456789"))
		}
	}
	s := r.inspect()
	for _, o := range s.Owners {
		assert.LessOrEqual(t, s.Producer.Position-o.Stats.Position, uint64(2*8))
		assert.Greater(t, o.Stats.Records, uint64(90))
		assert.Equal(t, o.Stats.Records*10, o.Stats.Bytes)
	}
	assert.Equal(t, s.Owners[0].Stats.Records+s.Owners[1].Stats.Records, s.Producer.Stats.Records)
}

// A claim is seen from the moment it is made: first in the claim word alone, then in a descriptor that somebody else
// wrote, until the consumer steps over it or its owner commits.
func TestInspectSeesUnfinishedClaims(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 16, SlotBytes: 16}, startAt(100))
	a, b, c := r.join(), r.join(), r.join()
	mustSend(t, c, []byte("first"))
	slow := claimBy(t, a, 40)
	assert.Equal(t, []ring.UnfinishedClaim{{Owner: 1, Position: 101, Slots: 3}}, r.inspect().Unfinished)
	claimBy(t, b, 20)
	assert.Equal(t, []ring.UnfinishedClaim{
		{Owner: 1, Position: 101, Slots: 3, Described: true},
		{Owner: 2, Position: 104, Slots: 2},
	}, r.inspect().Unfinished)
	mustSend(t, c, []byte("behind"))

	r.kill(b)
	mustReceive(t, r.c, []byte("first"))
	mustFindNothing(t, r.c)
	s := r.inspect()
	assert.Equal(t, []uint64{101, 107}, []uint64{s.Consumer.Position, s.Producer.Position})
	assert.Equal(t, []uint64{1, 6, 6}, []uint64{s.Records, s.Bytes, s.Slots})
	assert.Len(t, s.Unfinished, 2)
	assert.False(t, s.Owners[1].Closed)

	slow.Commit()
	assert.Equal(t, []ring.UnfinishedClaim{{Owner: 2, Position: 104, Slots: 2, Described: true}}, r.inspect().Unfinished)
	_, err := r.c.Receive(context.Background(), nil)
	require.NoError(t, err)
	msg, err := r.c.Receive(context.Background(), nil)
	require.NoError(t, err)
	assert.Equal(t, "behind", string(msg))
	r.c.Close()
	s = r.inspect()
	assert.Nil(t, s.Trouble)
	assert.Empty(t, s.Unfinished)
	assert.EqualValues(t, 1, s.Consumer.Stats.Recovered)
	assert.EqualValues(t, 107, s.Consumer.Position)
}

func TestInspectOneRegionOfManyProducers(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(1<<40))
	s, err := ring.Inspect(r.prod, nil, r.geo)
	require.NoError(t, err)
	assert.Zero(t, s.Producer.Position)
	p := r.join()
	for i := range 30 {
		s, err := ring.Inspect(r.prod, nil, r.geo)
		require.NoError(t, err)
		assert.Nil(t, s.Consumer)
		assert.Equal(t, p.Position(), s.Producer.Position)
		assert.Len(t, s.Owners, 1)
		mustSend(t, p, make([]byte, i%17))
		mustReceive(t, r.c, make([]byte, i%17))
	}
	s, err = ring.Inspect(nil, r.cons, r.geo)
	require.NoError(t, err)
	assert.Nil(t, s.Producer)
	assert.Empty(t, s.Owners)
	assert.Equal(t, r.c.Position(), s.Consumer.Position)
}

// The ring of the troubles below has 8 slots; both positions are 13 at first, index 5, and owner 1 has claimed and sent.
func TestInspectFindsTroubleWithManyProducers(t *testing.T) {
	const highestAt, claimAt = ring.ProducerClosedOffset, ring.ProducerClaimOffset
	for _, tt := range []struct {
		name          string
		spoil         func(r *crowd)
		region, field string
	}{
		{"nothing described", func(r *crowd) { r.descriptor(13).Store(0) }, "producer", "claim word"},
		{"described beyond the last claim", func(r *crowd) { r.descriptor(16).Store(desc(r.geo, 16, 1, 2)) }, "producer", "claim word"},
		{"claim beyond a ring", func(r *crowd) { r.word(r.prod, claimAt).Store(claimWord(24, 1, 1)) }, "producer", "claim word"},
		{"claim behind", func(r *crowd) { r.word(r.prod, claimAt).Store(claimWord(9, 1, 1)) }, "producer", "claim word"},
		{"claim over the end", func(r *crowd) { r.word(r.prod, claimAt).Store(claimWord(14, 3, 1)) }, "producer", "claim word"},
		{"claim of nobody", func(r *crowd) { r.word(r.prod, claimAt).Store(claimWord(15, 1, 0)) }, "producer", "claim word"},
		{"claim of somebody unknown", func(r *crowd) {
			r.descriptor(15).Store(0)
			r.word(r.prod, claimAt).Store(claimWord(15, 1, 9))
		}, "producer", "owner"},
		{"claim of somebody who has left", func(r *crowd) {
			r.descriptor(15).Store(0)
			r.owner(1).Add(1)
		}, "producer", "owner"},
		{"two claims of one owner", func(r *crowd) {
			r.descriptor(14).Store(desc(r.geo, 14, 1<<18|1, 1))
			r.descriptor(15).Store(desc(r.geo, 15, 1<<18|1, 1))
		}, "producer", "owner"},
		{"claim described otherwise", func(r *crowd) { r.descriptor(15).Store(desc(r.geo, 15, 2<<18|1, 1)) }, "producer", "busy descriptor"},
		{"busy with nothing", func(r *crowd) { r.descriptor(13).Store(desc(r.geo, 13, 1<<18, 1)) }, "producer", "busy descriptor"},
		{"busy over the end", func(r *crowd) { r.descriptor(13).Store(desc(r.geo, 13, 1<<18|4, 1)) }, "producer", "busy descriptor"},
		{"nobody is busy", func(r *crowd) { r.descriptor(13).Store(desc(r.geo, 13, 1, 1)) }, "producer", "busy descriptor"},
		{"busy over the last claim", func(r *crowd) { r.descriptor(13).Store(desc(r.geo, 13, 1<<18|3, 1)) }, "producer", "slots"},
		{"skip of nothing", func(r *crowd) { r.descriptor(14).Store(desc(r.geo, 14, 0, 3)) }, "producer", "skip"},
		{"skip over the end", func(r *crowd) { r.descriptor(14).Store(desc(r.geo, 14, 3, 3)) }, "producer", "skip"},
		{"skip over the last claim", func(r *crowd) { r.descriptor(13).Store(desc(r.geo, 13, 3, 3)) }, "producer", "slots"},
		{"record too long", func(r *crowd) { r.descriptor(14).Store(desc(r.geo, 14, 65, 2)) }, "producer", "record length"},
		{"record over the last claim", func(r *crowd) { r.descriptor(14).Store(desc(r.geo, 14, 17, 2)) }, "producer", "slots"},
		{"record longer than its claim", func(r *crowd) {
			r.word(r.prod, claimAt).Store(claimWord(14, 1, 1))
			r.descriptor(14).Store(desc(r.geo, 14, 17, 2))
		}, "producer", "slots"},
		{"owner beyond the highest", func(r *crowd) { r.owner(3).Store(2) }, "producer", "highest owner"},
		{"no such owner", func(r *crowd) { r.word(r.prod, highestAt).Store(256) }, "producer", "highest owner"},
		{"owner ahead of the ring", func(r *crowd) { r.sharedPosition(1).Store(17) }, "consumer", "position"},
		{"consumer behind", func(r *crowd) { r.word(r.cons, ring.ConsumerPositionOffset).Store(7) }, "producer", "claim word"},
		{"consumer ahead", func(r *crowd) { r.word(r.cons, ring.ConsumerPositionOffset).Store(17) }, "producer", "claim word"},
		{"consumer 2^38 behind", func(r *crowd) {
			r.sharedPosition(1).Store(16)
			r.word(r.cons, ring.ConsumerPositionOffset).Add(^uint64(1<<38 - 1))
		}, "consumer", "position"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(13))
			p := r.join()
			for range 3 {
				mustSend(t, p, nil)
			}
			s := r.inspect()
			require.Nil(t, s.Trouble)
			require.EqualValues(t, 3, s.Records)
			tt.spoil(r)
			s = r.inspect()
			require.NotNil(t, s.Trouble)
			assert.Equal(t, tt.region, s.Trouble.Region, "%v", s.Trouble)
			assert.Equal(t, tt.field, s.Trouble.Field, "%v", s.Trouble)
			assert.NotEmpty(t, s.Trouble.Want)
			assert.LessOrEqual(t, s.Slots, uint64(8))
			assert.Equal(t, s.Slots, s.Producer.Position-s.Consumer.Position)
			assert.True(t, s.Settled)
		})
	}
}

func TestInspectOfManyProducersWritesNothing(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 64, SlotBytes: 32})
	a, b := r.join(), r.join()
	for i := range 20 {
		mustSend(t, a, make([]byte, i))
		mustSend(t, b, make([]byte, i))
	}
	claimBy(t, a, 100)
	prod, cons := slices.Clone(r.prod), slices.Clone(r.cons)
	assert.Len(t, r.inspect().Unfinished, 1)
	assert.True(t, bytes.Equal(prod, r.prod))
	assert.True(t, bytes.Equal(cons, r.cons))
}

// An inspector beside a busy ring never sees trouble, nor more than a ring between the positions.
func TestInspectBesideManyProducers(t *testing.T) {
	each := 10000
	if testing.Short() {
		each = 1000
	}
	const producers = 3
	r := newCrowd(t, ring.Geometry{Slots: 16, SlotBytes: 16})
	results := make(chan error, 2)
	var senders sync.WaitGroup
	for range producers {
		p := r.join()
		senders.Go(func() {
			for i := 0; i < each; i += 2 {
				_, err := p.SendBatch(context.Background(), [][]byte{zeroes[:i%129], zeroes[:i%17]})
				if !assert.NoError(t, err) {
					return
				}
			}
			p.Close()
		})
	}
	go func() { senders.Wait(); results <- nil }()
	go func() {
		n := 0
		for _, err := range r.c.Messages(context.Background()) {
			if err != nil {
				results <- err
				return
			}
			n++
		}
		if n != producers*each {
			results <- errors.New("wrong number of messages")
			return
		}
		results <- nil
	}()
	for running := 2; running > 0; {
		select {
		case err := <-results:
			require.NoError(t, err)
			running--
		default:
		}
		s := r.inspect()
		require.Nil(t, s.Trouble)
		require.LessOrEqual(t, s.Slots, uint64(16))
		require.LessOrEqual(t, s.Records, s.Slots)
		require.LessOrEqual(t, s.Bytes, s.Slots*16)
		require.LessOrEqual(t, len(s.Unfinished), producers)
		require.Len(t, s.Owners, producers)
	}
	assert.True(t, r.inspect().Producer.Closed)
}

// lieAsProducers writes something into the producer region of an MPSC ring: half of what it writes may be right.
func lieAsProducers(s *script, geo ring.Geometry, prod []byte, at uint64) {
	where := at + uint64(s.byte()%4)
	left := uint64(geo.Slots) - where%uint64(geo.Slots)
	owner := uint64(s.byte() % 4)
	switch s.byte() % 6 {
	case 0:
		mem.Uint64At(prod, ring.ProducerClaimOffset).Store(where<<26 | s.near(left)%(1<<18)<<8 | owner)
	case 1:
		mem.Uint64At(prod, ring.ProducerClosedOffset).Store(s.near(3))
	case 2:
		word := s.byte() % (ring.OwnerBytes / 8)
		mem.Uint64At(prod, ring.ProducerOwnersOffset+int(owner)*ring.OwnerBytes+8*int(word)).Store(s.near(at))
	case 3:
		mem.Uint64At(prod, geo.DescriptorsOffset()+8*int(where%uint64(geo.Slots))).Store(desc(geo, where, owner<<18|s.near(left), 1))
	default:
		mem.Uint64At(prod, geo.DescriptorsOffset()+8*int(where%uint64(geo.Slots))).Store(desc(geo, where, s.near(left), uint64(s.byte())))
	}
}
