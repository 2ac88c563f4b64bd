package ring_test

import (
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exchange sends count messages of n bytes, each received before the next, and returns the highest position modulo
// the ring, in bytes, that a message began at.
func exchange(t *testing.T, p *ring.Producer, c *ring.Consumer, g ring.Geometry, count, n int) (highest int) {
	t.Helper()
	msg := make([]byte, n)
	for i := range count {
		msg[0] = byte(i)
		ok, err := p.TrySend(msg)
		require.True(t, ok, "message %d: %v", i, err)
		r, ok, err := c.TryNext()
		require.True(t, ok, "message %d: %v", i, err)
		require.Equal(t, byte(i), r.Bytes()[0])
		require.Len(t, r.Bytes(), n)
		highest = max(highest, int(c.Position()%uint64(g.Slots))*g.SlotBytes)
		r.Release()
	}
	return highest
}

func TestExchangesStayAtTheFrontOfTheRing(t *testing.T) {
	const hot = 64 << 10
	tests := []struct {
		name  string
		slots int
		bytes int // of a message
		bound int // how far messages may begin
	}{
		{"one slot", 4096, 64, hot},
		{"several slots", 4096, 1000, hot},
		{"larger than the front", 4096, 100 << 10, 128 << 10},
		{"half the ring", 4096, 128 << 10, 128 << 10},
		{"the whole ring is hot", 1024, 1000, 64 << 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := ring.Geometry{Slots: tt.slots, SlotBytes: 64}
			p, c := newRing(t, g)
			exchange(t, p, c, g, 1, tt.bytes)
			assert.Less(t, exchange(t, p, c, g, 5000, tt.bytes), tt.bound)
		})
	}
}

func TestStreamsGoRoundTheWholeRing(t *testing.T) {
	g := ring.Geometry{Slots: 4096, SlotBytes: 64}
	p, c := newRing(t, g)
	msg := make([]byte, 1000)
	require.NoError(t, p.Send(t.Context(), msg)) // one message is always waiting
	highest := 0
	for range 5000 {
		require.NoError(t, p.Send(t.Context(), msg))
		_, ok, err := c.TryReceive(nil)
		require.True(t, ok, "%v", err)
		highest = max(highest, int(c.Position()%4096)*64)
	}
	assert.Greater(t, highest, 250<<10)
	assert.LessOrEqual(t, p.Stats().Skips, uint64(5000*1024/(256<<10)+1), "paddings at the end only")
}

func newRing(t *testing.T, g ring.Geometry) (*ring.Producer, *ring.Consumer) {
	t.Helper()
	prod, cons := ring.HeapRegion(g.ProducerBytes()), ring.HeapRegion(g.ConsumerBytes())
	cfg := ring.Config{Geometry: g, PeerNeverParks: true}
	c, err := ring.NewConsumer(cons, prod, cfg)
	require.NoError(t, err)
	p, err := ring.NewProducer(prod, cons, cfg)
	require.NoError(t, err)
	return p, c
}
