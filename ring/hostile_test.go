package ring_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requireCorrupt checks the error and that the handle says it from now on.
func requireCorrupt(t *testing.T, err error, want ring.CorruptError, again ...func() error) {
	t.Helper()
	require.ErrorIs(t, err, ring.ErrCorrupt)
	var got *ring.CorruptError
	require.ErrorAs(t, err, &got)
	require.Equal(t, want, *got)
	require.Contains(t, err.Error(), want.Field)
	require.Contains(t, err.Error(), fmt.Sprint(want.Got))
	require.Contains(t, err.Error(), want.Want)
	for i, f := range again {
		require.Same(t, err, f(), "call %d after it", i)
	}
}

func producerCalls(p *ring.Producer) []func() error {
	ctx := context.Background()
	return []func() error{
		p.Err,
		func() error { _, err := p.TrySend(nil); return err },
		func() error { return p.Send(ctx, nil) },
		func() error { _, err := p.SendBatch(ctx, [][]byte{nil}); return err },
		func() error { _, _, err := p.TryClaim(1); return err },
		func() error { _, err := p.Claim(ctx, 1); return err },
		func() error { p.Close(); return p.Err() },
		func() error { _, err := p.TrySend(nil); return err },
	}
}

func consumerCalls(c *ring.Consumer) []func() error {
	ctx := context.Background()
	return []func() error{
		c.Err,
		func() error { _, _, err := c.TryReceive(nil); return err },
		func() error { _, err := c.Receive(ctx, nil); return err },
		func() error { _, _, err := c.TryNext(); return err },
		func() error { _, err := c.Next(ctx); return err },
		func() error { c.Close(); return c.Err() },
		func() error { _, _, err := c.TryNext(); return err },
	}
}

// The consumer stands at position 13 of 8 slots of 16 bytes: index 5, lap 1, three slots left, records up to 64 bytes.
func TestConsumerRefusesBadDescriptors(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	for _, tt := range []struct {
		name     string
		at       uint64
		x, state uint64
		field    string
		got      uint64
		want     string
	}{
		{"longer than any record", 13, 65, 2, "record length", 65, "at most 64"},
		{"the longest that can be written", 13, 1<<26 - 1, 2, "record length", 1<<26 - 1, "at most 64"},
		{"over the end", 13, 49, 2, "record length", 49, "at most 3 slots of 16 bytes"},
		{"skip too short", 13, 2, 3, "skip", 2, "the 3 slots left"},
		{"skip too long", 13, 4, 3, "skip", 4, "the 3 slots left"},
		{"skip of nothing", 13, 0, 3, "skip", 0, "the 3 slots left"},
		{"skip without end", 13, 1<<26 - 1, 3, "skip", 1<<26 - 1, "the 3 slots left"},
		{"skip of the whole ring", 16, 8, 3, "skip", 8, "no padding at the start of the ring"},
		{"busy", 13, 1<<18 | 1, 1, "descriptor state", 1, "EMPTY (0), COMMITTED (2) or SKIP (3)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, call := range map[string]func(c *ring.Consumer) error{
				"TryReceive": func(c *ring.Consumer) error { _, _, err := c.TryReceive(nil); return err },
				"TryNext":    func(c *ring.Consumer) error { _, _, err := c.TryNext(); return err },
				"Receive":    func(c *ring.Consumer) error { _, err := c.Receive(context.Background(), nil); return err },
				"Next":       func(c *ring.Consumer) error { _, err := c.Next(context.Background()); return err },
			} {
				t.Run(name, func(t *testing.T) {
					r := newRig(t, geo, startAt(tt.at))
					r.descriptor(tt.at).Store(desc(geo, tt.at, tt.x, tt.state))
					requireCorrupt(t, call(r.c), ring.CorruptError{
						Region: "producer", Field: tt.field, Position: tt.at, Got: tt.got, Want: tt.want,
					}, consumerCalls(r.c)...)
				})
			}
		})
	}
}

// The same words behind a good record, where the release of that looks at them first.
func TestConsumerRefusesBadDescriptorBehindAGoodOne(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	for _, word := range []uint64{desc(geo, 13, 65, 2), desc(geo, 13, 1, 3), desc(geo, 13, 0, 1)} {
		r := newRig(t, geo, startAt(12))
		mustSend(t, r.p, []byte("good"))
		r.descriptor(13).Store(word)
		mustReceive(t, r.c, []byte("good"))
		_, _, err := r.c.TryNext()
		require.ErrorIs(t, err, ring.ErrCorrupt)
	}
}

func TestSecondPaddingInARowIsCorrupt(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	r := newRig(t, geo, startAt(13))
	r.descriptor(16).Store(desc(geo, 16, 8, 3))
	r.descriptor(13).Store(desc(geo, 13, 3, 3))
	_, _, err := r.c.TryNext()
	requireCorrupt(t, err, ring.CorruptError{
		Region: "producer", Field: "skip", Position: 16, Got: 8, Want: "no padding at the start of the ring",
	}, consumerCalls(r.c)...)
}

func TestDescriptorOfAnotherLapCountsForNothing(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, r *rig) {
		at := r.c.Position()
		n := uint64(r.geo.Slots)
		for _, other := range []uint64{at - n, at + n, at + 2*n, at ^ n<<35, at + n<<20} {
			for state := uint64(1); state <= 3; state++ {
				r.descriptor(at).Store(desc(r.geo, other, 1, state))
				mustFindNothing(t, r.c)
			}
		}
		r.descriptor(at).Store(desc(r.geo, at, 1<<26-1, 0)) // EMPTY, whatever else it says
		mustFindNothing(t, r.c)
	})
}

func TestConsumerRefusesBadClosedWords(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		mustSend(t, r.p, nil)
		mustSend(t, r.p, nil)
		mustReceive(t, r.c, nil)
		mustReceive(t, r.c, nil)
		at := r.c.Position()
		for _, final := range []uint64{at + 1, at - 1, at + 1<<40, at - 1<<40, at + 1<<63, math.MaxUint64 - 1, 0} {
			if final == at || final == math.MaxUint64 { // the end, and open
				continue
			}
			geo := r.geo
			r := newRig(t, geo, startAt(at))
			r.word(r.prod, ring.ProducerClosedOffset).Store(final + 1)
			_, _, err := r.c.TryReceive(nil)
			requireCorrupt(t, err, ring.CorruptError{
				Region: "producer", Field: "final position", Position: at, Got: final,
				Want: fmt.Sprintf("%d, where no record is", at),
			}, consumerCalls(r.c)...)
		}
	})
}

func TestProducerRefusesBadPositions(t *testing.T) {
	bothKinds(t, 4, func(t *testing.T, r *rig) {
		geo, start := r.geo, r.p.Position()
		for name, lie := range map[string]uint64{
			"beyond ours": 1, "far beyond": 1<<40 + 1, "behind the last": math.MaxUint64, "far behind": 1 << 63,
			"a ring behind": -uint64(geo.Slots), "2^32 behind": math.MaxUint64 - 1<<32 + 1,
		} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, geo, startAt(start))
				n := fill(t, r.p)
				mustReceive(t, r.c, []byte{0})
				mustReceive(t, r.c, []byte{1})
				if r.c.Position() != r.word(r.cons, ring.ConsumerPositionOffset).Load() {
					r.word(r.cons, ring.ConsumerPositionOffset).Store(r.c.Position())
				}
				mustSend(t, r.p, []byte("x")) // so the producer has seen position start + 2
				fill(t, r.p)
				seen, ours := start+2, r.p.Position()
				bad := ours + lie
				if lie > 1<<62 {
					bad = seen + lie
				}
				r.word(r.cons, ring.ConsumerPositionOffset).Store(bad)
				_, err := r.p.TrySend(nil)
				requireCorrupt(t, err, ring.CorruptError{
					Region: "consumer", Field: "position", Position: ours, Got: bad,
					Want: fmt.Sprintf("%d to %d", seen, ours),
				}, producerCalls(r.p)...)
				require.GreaterOrEqual(t, n, geo.Slots-1)
			})
		}
	})
}

func TestLyingParksOnlyRings(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for i := range 100 {
		r.word(r.cons, ring.ConsumerParksOffset).Store(uint64(i) * 0x9e3779b97f4a7c15)
		r.word(r.prod, ring.ProducerParksOffset).Store(uint64(i) * 0x9e3779b97f4a7c15)
		mustSend(t, r.p, []byte{byte(i)})
		mustReceive(t, r.c, []byte{byte(i)})
	}
	assert.NoError(t, r.p.Err())
	assert.NoError(t, r.c.Err())
}

// A handle looks at the number of its own in its own header, and at nothing else in either.
func TestHeadersAreNeverRead(t *testing.T) {
	const number = 40
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for i := range ring.ProducerClaimOffset {
		if i < number || i >= number+8 {
			r.prod[i], r.cons[i] = 0xff, 0xff
		}
	}
	for i := range 20 {
		mustSend(t, r.p, []byte{byte(i)})
		mustReceive(t, r.c, []byte{byte(i)})
	}
}
