package ring_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mustInspect(t testing.TB, r *rig) ring.Snapshot {
	t.Helper()
	s, err := ring.Inspect(r.prod, r.cons, r.geo)
	require.NoError(t, err)
	return s
}

func TestReadHeader(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	r := newRig(t, geo, startAt(13))
	for kind, region := range map[uint32][]byte{ring.KindSPSCProducer: r.prod, ring.KindSPSCConsumer: r.cons} {
		h, err := ring.ReadHeader(region)
		require.NoError(t, err)
		assert.Equal(t, ring.RegionHeader{Kind: kind, Geometry: geo, Start: 13}, h)
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	const magicAt, versionAt, kindAt, slotsAt, slotBytesAt = 0, 8, 12, 16, 24
	for name, tt := range map[string]struct {
		spoil func(region []byte)
		want  error // nil: a geometry error
	}{
		"zeroes":         {func(b []byte) { clear(b) }, ring.ErrNoRing},
		"other magic":    {func(b []byte) { b[magicAt]++ }, ring.ErrNoRing},
		"other version":  {func(b []byte) { b[versionAt]++ }, ring.ErrForeign},
		"other kind":     {func(b []byte) { b[kindAt] = 5 }, ring.ErrForeign},
		"no kind":        {func(b []byte) { b[kindAt] = 0 }, ring.ErrForeign},
		"slots":          {func(b []byte) { b[slotsAt]++ }, nil},
		"slots huge":     {func(b []byte) { mem.Uint64At(b, slotsAt).Store(1 << 63) }, nil},
		"slot bytes":     {func(b []byte) { b[slotBytesAt]++ }, nil},
		"slot bytes max": {func(b []byte) { mem.Uint64At(b, slotBytesAt).Store(1<<64 - 1) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
			tt.spoil(r.prod)
			_, err := ring.ReadHeader(r.prod)
			if tt.want != nil {
				assert.ErrorIs(t, err, tt.want)
				return
			}
			var ge *ring.GeometryError
			assert.ErrorAs(t, err, &ge)
		})
	}
	for _, b := range [][]byte{nil, ring.HeapRegion(895), ring.HeapRegion(1024)[8:]} {
		_, err := ring.ReadHeader(b)
		assert.ErrorContains(t, err, "inspected region")
	}
}

// What an inspector finds is what both handles know, after every step and wherever on the ring they are.
func TestInspectAgreesWithTheHandles(t *testing.T) {
	everywhere(t, 2, func(t *testing.T, r *rig) {
		rng := shmtest.Rand(t)
		var waiting []int
		for range 200 {
			if n := rng.IntN(r.geo.MaxRecord() + 1); rng.IntN(2) == 0 {
				if ok, err := r.p.TrySend(make([]byte, n)); ok {
					waiting = append(waiting, n)
				} else {
					require.NoError(t, err)
				}
			} else if _, ok, err := r.c.TryReceive(nil); ok {
				waiting = waiting[1:]
			} else {
				require.NoError(t, err)
			}
			// The consumer publishes lazily: until it does, records that it has taken still count as waiting.
			published := mem.Uint64At(r.cons, ring.ConsumerPositionOffset).Load()
			s := mustInspect(t, r)
			require.Nil(t, s.Trouble)
			require.True(t, s.Settled)
			require.Equal(t, r.p.Position(), s.Producer.Position)
			require.Equal(t, published, s.Consumer.Position)
			require.Equal(t, r.p.Position()-published, s.Slots)
			if published == r.c.Position() {
				require.EqualValues(t, len(waiting), s.Records)
				require.Equal(t, uint64(sum(waiting)), s.Bytes)
			}
		}
	})
}

func sum(ns []int) (total int) {
	for _, n := range ns {
		total += n
	}
	return total
}

func TestInspectTellsBothSides(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	r := newRig(t, geo)
	for range 8 {
		mustSend(t, r.p, []byte("0123456789"))
	}
	sent := make(chan error, 1)
	go func() { sent <- r.p.Send(context.Background(), nil) }()
	shmtest.Eventually(t, "the producer sleeps", func() bool { return mustInspect(t, r).Producer.Sleeping == 1 })

	s := mustInspect(t, r)
	assert.Equal(t, geo, s.Geometry)
	assert.EqualValues(t, 8, s.Records)
	assert.EqualValues(t, 80, s.Bytes)
	assert.EqualValues(t, 8, s.Slots)
	assert.True(t, s.Producer.Attached)
	assert.True(t, s.Consumer.Attached)
	assert.EqualValues(t, 8, s.Producer.Position)
	assert.EqualValues(t, 1, s.Producer.Parks)
	assert.EqualValues(t, 8, s.Producer.Stats.HighWater)
	assert.EqualValues(t, 8, s.Producer.Stats.Records)
	assert.EqualValues(t, 80, s.Producer.Stats.Bytes)
	assert.Zero(t, s.Consumer.Sleeping)
	assert.False(t, s.Producer.Closed)

	mustReceive(t, r.c, []byte("0123456789"))
	require.NoError(t, shmtest.Soon(t, sent, "the producer"))
	r.p.Close()
	r.c.Close()
	s = mustInspect(t, r)
	assert.Nil(t, s.Trouble)
	assert.True(t, s.Producer.Closed)
	assert.True(t, s.Consumer.Closed)
	assert.EqualValues(t, 9, s.Producer.Position)
	assert.EqualValues(t, 1, s.Consumer.Position)
	assert.EqualValues(t, 1, s.Consumer.Stats.Records)
}

func TestInspectOneRegionOnly(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	r := newRig(t, geo)
	for i := range 30 { // several laps, with the stats shared on the way
		mustSend(t, r.p, make([]byte, i%17))
		mustReceive(t, r.c, make([]byte, i%17))
	}
	mustSend(t, r.p, nil)

	s, err := ring.Inspect(r.prod, nil, geo)
	require.NoError(t, err)
	assert.Nil(t, s.Consumer)
	assert.Equal(t, r.p.Position(), s.Producer.Position)
	assert.Zero(t, s.Records)

	s, err = ring.Inspect(nil, r.cons, geo)
	require.NoError(t, err)
	assert.Nil(t, s.Producer)
	assert.Equal(t, r.c.Position(), s.Consumer.Position)

	s, err = ring.Inspect(nil, nil, geo)
	require.NoError(t, err)
	assert.Equal(t, ring.Snapshot{Geometry: geo, Settled: true}, s)
}

// Before there is a consumer, its region is zero: the ring's start is where it will be.
func TestInspectBeforeTheConsumerAttaches(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	r := newRig(t, geo, startAt(1000))
	mustSend(t, r.p, []byte("x"))
	s, err := ring.Inspect(r.prod, ring.HeapRegion(geo.ConsumerBytes()), geo)
	require.NoError(t, err)
	assert.False(t, s.Consumer.Attached)
	assert.EqualValues(t, 1000, s.Consumer.Position)
	assert.EqualValues(t, 1001, s.Producer.Position)
	assert.EqualValues(t, 1, s.Records)
}

func TestInspectFindsTrouble(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	for name, tt := range map[string]struct {
		spoil         func(r *rig)
		region, field string
	}{
		"record too long": {func(r *rig) { r.descriptor(13).Store(desc(geo, 13, 65, 2)) }, "producer", "record length"},
		"busy":            {func(r *rig) { r.descriptor(13).Store(desc(geo, 13, 1, 1)) }, "producer", "descriptor state"},
		"skip":            {func(r *rig) { r.descriptor(13).Store(desc(geo, 13, 2, 3)) }, "producer", "skip"},
		"more than a ring": {func(r *rig) {
			r.descriptor(13).Store(desc(geo, 13, 3, 3))
			r.descriptor(16).Store(desc(geo, 16, 64, 2))
			r.descriptor(20).Store(desc(geo, 20, 17, 2))
		}, "producer", "slots"},
		"final position":    {func(r *rig) { r.word(r.prod, ring.ProducerClosedOffset).Store(15) }, "producer", "final position"},
		"consumer ahead":    {func(r *rig) { r.word(r.cons, ring.ConsumerPositionOffset).Store(13 + 17) }, "consumer", "position"},
		"consumer behind":   {func(r *rig) { r.word(r.cons, ring.ConsumerPositionOffset).Store(4) }, "consumer", "position"},
		"consumer anywhere": {func(r *rig) { r.word(r.cons, ring.ConsumerPositionOffset).Store(1 << 63) }, "consumer", "position"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, geo, startAt(13))
			r.word(r.prod, ring.ProducerStatsOffset+7*8).Store(13) // the producer has shared where it was
			require.Nil(t, mustInspect(t, r).Trouble)
			tt.spoil(r)
			trouble := mustInspect(t, r).Trouble
			require.NotNil(t, trouble)
			assert.Equal(t, tt.region, trouble.Region)
			assert.Equal(t, tt.field, trouble.Field)
			assert.ErrorIs(t, trouble, ring.ErrCorrupt)
		})
	}
}

func TestInspectRefusesRegionsThatDoNotFit(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	good, short := ring.HeapRegion(geo.ProducerBytes()), ring.HeapRegion(geo.ConsumerBytes()-128)
	for _, regions := range [][2][]byte{{good[:len(good)-1], nil}, {nil, short}, {good, short}, {ring.HeapRegion(9999)[8:], nil}} {
		_, err := ring.Inspect(regions[0], regions[1], geo)
		assert.ErrorContains(t, err, "region")
	}
	_, err := ring.Inspect(nil, nil, ring.Geometry{Slots: 3, SlotBytes: 16})
	var ge *ring.GeometryError
	assert.ErrorAs(t, err, &ge)
}

func TestInspectWritesNothing(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 64, SlotBytes: 32})
	for i := range 40 {
		mustSend(t, r.p, make([]byte, i))
	}
	prod, cons := slices.Clone(r.prod), slices.Clone(r.cons)
	mustInspect(t, r)
	assert.True(t, bytes.Equal(prod, r.prod))
	assert.True(t, bytes.Equal(cons, r.cons))
}

// An inspector beside a busy ring never sees trouble, nor more than a ring between the positions.
func TestInspectBesideTraffic(t *testing.T) {
	const count = 20000
	r := newRig(t, ring.Geometry{Slots: 16, SlotBytes: 16})
	done := make(chan error, 2)
	go func() {
		for i := range count {
			if err := r.p.Send(context.Background(), zeroes[:i%129]); err != nil {
				done <- err
				return
			}
		}
		r.p.Close()
		done <- nil
	}()
	go func() {
		var buf []byte
		for i := range count {
			var err error
			if buf, err = r.c.Receive(context.Background(), buf); err != nil || len(buf) != i%129 {
				done <- errors.Join(err, errors.New("wrong message"))
				return
			}
		}
		done <- nil
	}()
	for running := 2; running > 0; {
		select {
		case err := <-done:
			require.NoError(t, err)
			running--
		default:
		}
		s := mustInspect(t, r)
		require.Nil(t, s.Trouble)
		require.LessOrEqual(t, s.Slots, uint64(16))
		require.LessOrEqual(t, s.Records, s.Slots)
		require.LessOrEqual(t, s.Bytes, s.Slots*16)
	}
	assert.True(t, mustInspect(t, r).Producer.Closed)
}

// FuzzInspectArbitraryRegions: whatever lies in the regions of either kind of ring, an inspector comes back with numbers
// that the geometry allows, and leaves every byte as it was.
func FuzzInspectArbitraryRegions(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 0, 1, 0, 2, 0, 4, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 4, 0, 3, 7, 7, 7, 1, 1, 1, 1, 9, 9, 9, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{3, 0, 1, 3, 4, 0, 1, 2, 0, 2, 2, 1, 0, 1, 1, 3, 3, 1, 1, 0, 2, 1, 0, 2, 1, 3, 1, 2, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := script(data)
		geo, start := fuzzGeometry(&s)
		lie := lieAsProducer
		if geo.MPSC = s.byte()%2 == 1; geo.MPSC {
			lie = lieAsProducers
		}
		prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
		mem.Uint64At(cons, ring.ConsumerPositionOffset).Store(s.near(start))
		for range s.byte() % 32 {
			lie(&s, geo, prod, start)
		}
		copy(prod[s.byte():], s)
		copy(cons[s.byte():], s)
		before := [2][]byte{slices.Clone(prod), slices.Clone(cons)}
		for _, regions := range [][2][]byte{{prod, cons}, {prod, nil}, {nil, cons}} {
			snap, err := ring.Inspect(regions[0], regions[1], geo)
			if err != nil {
				t.Fatal(err)
			}
			if !snap.Settled || snap.Slots > uint64(geo.Slots) || snap.Records > snap.Slots ||
				snap.Bytes > snap.Slots*uint64(geo.SlotBytes) || len(snap.Owners) > ring.Owners ||
				len(snap.Unfinished) > min(len(snap.Owners), int(snap.Slots)) {
				t.Fatalf("impossible: %+v", snap)
			}
		}
		for _, b := range [][]byte{prod, cons} {
			if h, err := ring.ReadHeader(b); err == nil {
				_, _ = ring.Inspect(prod, cons, h.Geometry)
			}
		}
		if !bytes.Equal(before[0], prod) || !bytes.Equal(before[1], cons) {
			t.Fatal("wrote")
		}
	})
}

// A ring that moves under the look is never called corrupt: the two halves of what was seen may not belong together.
func TestInspectOfAMovingRingKnowsNoTrouble(t *testing.T) {
	geo := ring.Geometry{Slots: 4096, SlotBytes: 16}
	r := newRig(t, geo)
	fill(t, r.p)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		position := r.word(r.cons, ring.ConsumerPositionOffset)
		for at := uint64(0); ; at++ {
			select {
			case <-stop:
				return
			default:
				position.Store(at << 40)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	for range 2000 {
		if s := mustInspect(t, r); !s.Settled {
			require.Nil(t, s.Trouble)
		}
	}
}
