package ring_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The numbers of this test are the wire format. They are the same on every machine; changing one is a new version.
func TestLayoutIsAsPublished(t *testing.T) {
	assert.Equal(t,
		[]int{0, 128, 256, 264, 384, 512, 640, 896, 896},
		[]int{
			ring.HeaderOffset, ring.ProducerClaimOffset, ring.ProducerParksOffset, ring.ProducerSleepingOffset,
			ring.ProducerDoorbellOffset, ring.ProducerClosedOffset, ring.ProducerStatsOffset,
			ring.ProducerDescriptorsOffset, ring.ProducerOwnersOffset,
		})
	assert.Equal(t,
		[]int{128, 256, 264, 384, 512, 640},
		[]int{
			ring.ConsumerPositionOffset, ring.ConsumerParksOffset, ring.ConsumerSleepingOffset,
			ring.ConsumerDoorbellOffset, ring.ConsumerClosedOffset, ring.ConsumerStatsOffset,
		})
	assert.Equal(t, []int{255, 128, 33664}, []int{ring.Owners, ring.OwnerBytes, ring.MPSCDescriptorsOffset})
	for _, tt := range []struct {
		geo                           ring.Geometry
		producer, consumer, maxRecord int
	}{
		{ring.Geometry{Slots: 2, SlotBytes: 16}, 896 + 128 + 128, 896, 16},
		{ring.Geometry{Slots: 8, SlotBytes: 64}, 896 + 128 + 512, 896, 256},
		{ring.Geometry{Slots: 64, SlotBytes: 64}, 896 + 512 + 4096, 896, 2048},
		{ring.Geometry{Slots: 4096, SlotBytes: 64}, 896 + 32768 + 262144, 896, 131072},
	} {
		assert.Equal(t, tt.producer, tt.geo.ProducerBytes(), "%+v", tt.geo)
		assert.Equal(t, tt.consumer, tt.geo.ConsumerBytes(), "%+v", tt.geo)
		assert.Equal(t, tt.maxRecord, tt.geo.MaxRecord(), "%+v", tt.geo)
	}
}

func TestBytesInARegionAreAsPublished(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(5))
	mustSend(t, r.p, []byte("0123456789abcdefg")) // two slots, 5 and 6
	mustSend(t, r.p, []byte("xy"))                // 7
	mustSend(t, r.p, []byte("next lap"))          // 8: lap 1, index 0
	r.p.Close()
	want := map[int]string{ // in the byte order of a little-endian machine
		0:         "776972657269 6e67 01000000 01000000 0800000000000000 1000000000000000 0500000000000000",
		512:       "0a00000000000000",
		896:       "22000010 00000000",
		896 + 5*8: "46000000 00000000",
		896 + 6*8: "00000000 00000000",
		896 + 7*8: "0a000000 00000000",
		1024:      hex.EncodeToString([]byte("next lap")),
		1024 + 80: hex.EncodeToString([]byte("0123456789abcdefg")),
	}
	for offset, text := range want {
		b, err := hex.DecodeString(strip(text))
		require.NoError(t, err)
		assert.Equal(t, b, r.prod[offset:offset+len(b)], "producer region, offset %d", offset)
	}
}

func strip(s string) (out string) {
	for _, c := range s {
		if c != ' ' {
			out += string(c)
		}
	}
	return out
}

// The Agrona tests call these shouldThrowExceptionIfCapacityIsBelowMinCapacity, ...ThatIsNotPowerOfTwo,
// shouldCalculateCapacityForBuffer.
func TestGeometryValidate(t *testing.T) {
	for _, tt := range []struct {
		geo   ring.Geometry
		field string
	}{
		{ring.Geometry{}, "SlotBytes"},
		{ring.Geometry{Slots: 8}, "SlotBytes"},
		{ring.Geometry{Slots: 8, SlotBytes: 8}, "SlotBytes"},
		{ring.Geometry{Slots: 8, SlotBytes: 65}, "SlotBytes"},
		{ring.Geometry{Slots: 8, SlotBytes: 8192}, "SlotBytes"},
		{ring.Geometry{Slots: 8, SlotBytes: -64}, "SlotBytes"},
		{ring.Geometry{Slots: 8, SlotBytes: math.MinInt}, "SlotBytes"},
		{ring.Geometry{SlotBytes: 64}, "Slots"},
		{ring.Geometry{Slots: 1, SlotBytes: 64}, "Slots"},
		{ring.Geometry{Slots: 3, SlotBytes: 64}, "Slots"},
		{ring.Geometry{Slots: -8, SlotBytes: 64}, "Slots"},
		{ring.Geometry{Slots: math.MinInt, SlotBytes: 64}, "Slots"},
		{ring.Geometry{Slots: math.MaxInt, SlotBytes: 64}, "Slots"},
		// Too large for the format (2^38 slots) or, with 32 bits, for the address space.
		{ring.Geometry{Slots: 1 << min(38, bits.UintSize-2), SlotBytes: 4096}, "Slots"},
	} {
		t.Run(fmt.Sprintf("%+v", tt.geo), func(t *testing.T) {
			err := tt.geo.Validate()
			var bad *ring.GeometryError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, tt.field, bad.Field)
			assert.Contains(t, err.Error(), tt.field)
		})
	}
	for _, geo := range geometries {
		assert.NoError(t, geo.Validate())
	}
	if bits.UintSize == 64 {
		big := ring.Geometry{Slots: 1 << min(37, bits.UintSize-2), SlotBytes: 4096}
		require.NoError(t, big.Validate())
		assert.Equal(t, 1<<26-1, big.MaxRecord())
		assert.Equal(t, (1<<18-1)*16, ring.Geometry{Slots: 1 << 30, SlotBytes: 16}.MaxRecord())
	}
}

func TestNewHandlesRefuse(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 64}
	prod, cons := mem.AlignedBytes(geo.ProducerBytes()), mem.AlignedBytes(geo.ConsumerBytes())
	good := ring.Config{Geometry: geo, PeerNeverParks: true}
	for _, tt := range []struct {
		name       string
		prod, cons []byte
		cfg        ring.Config
		want       string
	}{
		{"no geometry", prod, cons, ring.Config{PeerNeverParks: true}, "SlotBytes"},
		{"no doorbell for a peer that may park", prod, cons, ring.Config{Geometry: geo}, "Doorbell"},
		{"nil producer region", nil, cons, good, "producer region has 0 bytes"},
		{"short producer region", prod[:len(prod)-1], cons, good, "producer region"},
		{"short consumer region", prod, cons[:len(cons)-1], good, "consumer region"},
		{"misaligned consumer region", prod, mem.AlignedBytes(len(cons) + 64)[64:], good, "consumer region does not start"},
		{"misaligned producer region", mem.AlignedBytes(len(prod) + 4)[4:], cons, good, "producer region does not start"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ring.NewProducer(tt.prod, tt.cons, tt.cfg)
			assert.ErrorContains(t, err, tt.want)
			_, err = ring.NewConsumer(tt.cons, tt.prod, tt.cfg)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}
