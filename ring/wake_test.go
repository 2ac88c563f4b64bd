package ring_test

import (
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAttachRingsOnceAndIgnoresOldAnnouncements(t *testing.T) {
	geo := ring.Geometry{Slots: 4, SlotBytes: 16}
	prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
	mem.Uint64At(cons, ring.ConsumerParksOffset).Store(41)
	mem.Uint64At(prod, ring.ProducerParksOffset).Store(17)
	data, space := newBell(prod, ring.ProducerDoorbellOffset), newBell(cons, ring.ConsumerDoorbellOffset)
	p, err := ring.NewProducer(prod, cons, ring.Config{Geometry: geo, Doorbell: data, Waiter: space})
	require.NoError(t, err)
	c, err := ring.NewConsumer(cons, prod, ring.Config{Geometry: geo, Doorbell: space, Waiter: data})
	require.NoError(t, err)
	assert.Equal(t, []int64{1, 1}, []int64{data.rings.Load(), space.rings.Load()})
	for range 3 {
		mustSend(t, p, nil) // the first flush answers what was announced before, once more
		mustReceive(t, c, nil)
	}
	assert.Equal(t, []int64{2, 2}, []int64{data.rings.Load(), space.rings.Load()})
	assert.Equal(t, []uint64{2, 2}, []uint64{p.Stats().Rings, c.Stats().Rings})
	assert.Equal(t, uint64(41), mem.Uint64At(cons, ring.ConsumerParksOffset).Load(), "never reset")
	assert.Equal(t, uint64(17), mem.Uint64At(prod, ring.ProducerParksOffset).Load(), "never reset")
}

func TestPeerThatNeverParksIsNotRung(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, func(p, c *ring.Config) {
		p.PeerNeverParks, c.PeerNeverParks = true, true
	})
	data, space := r.data.rings.Load(), r.space.rings.Load()
	for range 20 {
		r.word(r.cons, ring.ConsumerParksOffset).Add(1)
		r.word(r.prod, ring.ProducerParksOffset).Add(1)
		mustSend(t, r.p, nil)
		mustReceive(t, r.c, nil)
	}
	assert.Equal(t, []int64{data, space}, []int64{r.data.rings.Load(), r.space.rings.Load()})
}

// ringFailing panics once: whoever recovers must find the announcement still unanswered.
type ringFailing struct {
	*bell
	fail bool
}

func (b *ringFailing) Ring() {
	if b.fail {
		b.fail = false
		panic("stopped in the middle")
	}
	b.bell.Ring()
}

func TestAnnouncementIsNotedOnlyAfterTheRing(t *testing.T) {
	var failing *ringFailing
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, func(p, _ *ring.Config) {
		failing = &ringFailing{bell: p.Doorbell.(*bell)}
		p.Doorbell = failing
	})
	mustSend(t, r.p, nil)
	r.word(r.cons, ring.ConsumerParksOffset).Add(1)
	failing.fail = true
	require.Panics(t, func() { _, _ = r.p.TrySend(nil) })
	before := r.data.rings.Load()
	mustSend(t, r.p, nil)
	assert.Equal(t, before+1, r.data.rings.Load())
	for range 3 {
		mustReceive(t, r.c, nil)
	}
}

// gap.pml: a producer without space answers an announcement even with nothing in hand.
func TestProducerWithoutSpaceAnswersASleeper(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	fill(t, r.p)
	before := r.data.rings.Load()
	r.word(r.cons, ring.ConsumerParksOffset).Add(1)
	ok, err := r.p.TrySend(nil)
	require.NoError(t, err)
	require.False(t, ok)
	assert.Equal(t, before+1, r.data.rings.Load())
}

func TestConsumerPublishesLazilyButAlwaysBeforeItWaits(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 64, SlotBytes: 16})
	published := r.word(r.cons, ring.ConsumerPositionOffset)
	for i := range 20 {
		mustSend(t, r.p, []byte{byte(i)})
	}
	var seen []uint64
	for i := range 20 {
		mustReceive(t, r.c, []byte{byte(i)})
		seen = append(seen, published.Load())
	}
	want := []uint64{0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8, 16, 16, 16, 16, 20}
	assert.Equal(t, want, seen, "every N/8 slots, and when nothing is behind")
	// A record comes after the release has looked: the next fruitless look must not find the position unpublished.
	mustSend(t, r.p, nil)
	mustSend(t, r.p, nil)
	mustReceive(t, r.c, nil)
	assert.Equal(t, uint64(20), published.Load())
	mustReceive(t, r.c, nil)
	assert.Equal(t, uint64(22), published.Load())
}
