package ring_test

import (
	"fmt"
	"math/bits"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A ring of 1 GiB, of which little more is touched than the ends of messages: the longest, over the end of the ring, with
// both sides starting anew in between.
func TestOneGiB(t *testing.T) {
	if bits.UintSize == 32 {
		t.Skip("1 GiB beside its descriptors is more than a 32-bit process may have in one piece")
	}
	for _, tt := range []struct {
		geo     ring.Geometry
		longest int
	}{
		{ring.Geometry{Slots: 1 << 18, SlotBytes: 4096}, 1<<26 - 1},
		{ring.Geometry{Slots: 1 << 26, SlotBytes: 16}, (1<<18 - 1) * 16},
	} {
		t.Run(fmt.Sprintf("slots=%d", tt.geo.Slots), func(t *testing.T) {
			require.Equal(t, tt.longest, tt.geo.MaxRecord())
			cfg := ring.Config{Geometry: tt.geo, PeerNeverParks: true, Start: uint64(tt.geo.Slots) - 3}
			r := &rig{geo: tt.geo, prod: mapped(t, tt.geo.ProducerBytes()), cons: mapped(t, tt.geo.ConsumerBytes()), pc: cfg, cc: cfg}
			var err error
			r.c, err = ring.NewConsumer(r.cons, r.prod, cfg)
			require.NoError(t, err)
			r.p, err = ring.NewProducer(r.prod, r.cons, cfg)
			require.NoError(t, err)
			inPlace(t, r, tt.geo.MaxRecord()) // a padding of 3 slots first
			assert.Equal(t, uint64(1), r.p.Stats().Skips)
			inPlace(t, r, 1)
			if tt.geo.SlotBytes == 4096 { // the other has half a GiB of descriptors
				mustSend(t, r.p, []byte("waits"))
				r.restartProducer(t)
				r.restartConsumer(t)
				mustReceive(t, r.c, []byte("waits"))
			}
			inPlace(t, r, tt.geo.MaxRecord())
			mustFindNothing(t, r.c)
		})
	}
}

// inPlace passes a message of n bytes of which only the first and the last are touched.
func inPlace(t *testing.T, r *rig, n int) {
	t.Helper()
	c, ok, err := r.p.TryClaim(n)
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, c.Bytes(), n)
	c.Bytes()[0], c.Bytes()[n-1] = 'a', 'z'
	c.Commit()
	v, ok, err := r.c.TryNext()
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, v.Bytes(), n)
	assert.Equal(t, byte('z'), v.Bytes()[n-1])
	v.Release()
}
