package ring_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
)

// bell is a real doorbell between goroutines: the word lies in a region, and a channel stands for the kernel. The side
// that rings and the side that waits share it.
type bell struct {
	word        *mem.Word32
	wake        chan struct{}
	interrupted chan struct{}
	rings       atomic.Int64
	waits       atomic.Int64
}

func newBell(region []byte, offset int) *bell {
	return &bell{word: mem.Uint32At(region, offset), wake: make(chan struct{}, 1), interrupted: make(chan struct{}, 1)}
}

func (b *bell) Ring() {
	b.rings.Add(1)
	b.word.Add(1)
	post(b.wake)
}

func (b *bell) Load() uint32 { return b.word.Load() }

func (b *bell) Wait(value uint32, timeout time.Duration) error {
	b.waits.Add(1)
	var expired <-chan time.Time
	if timeout >= 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	for b.word.Load() == value {
		select {
		case <-b.wake:
		case <-b.interrupted:
			return nil
		case <-expired:
			return nil
		}
	}
	return nil
}

func post(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// interruptible adds the optional method.
type interruptible struct{ *bell }

func (b interruptible) Interrupt() { post(b.interrupted) }

const (
	guardBytes = 256
	guardByte  = 0xa5
)

// region returns n zeroed bytes with guards on both sides, which must be intact when the test ends.
func region(t testing.TB, name string, n int) []byte {
	t.Helper()
	all := mem.AlignedBytes(n + 2*guardBytes)
	guards := [][]byte{all[:guardBytes], all[guardBytes+n:]}
	for _, g := range guards {
		for i := range g {
			g[i] = guardByte
		}
	}
	t.Cleanup(func() {
		for i, g := range guards {
			if !bytes.Equal(g, bytes.Repeat([]byte{guardByte}, guardBytes)) {
				t.Errorf("memory outside the %s region was written (guard %d)", name, i)
			}
		}
	})
	return all[guardBytes : guardBytes+n : guardBytes+n]
}

// rig is both sides of one ring on the heap.
type rig struct {
	geo         ring.Geometry
	prod, cons  []byte // regions
	data, space *bell
	p           *ring.Producer
	c           *ring.Consumer
	pc, cc      ring.Config // what they were made with
}

type tweak func(p, c *ring.Config)

func startAt(pos uint64) tweak { return func(p, c *ring.Config) { p.Start, c.Start = pos, pos } }

// spinning makes both sides never park, and say so.
func spinning(p, c *ring.Config) {
	*p = ring.Config{Geometry: p.Geometry, Start: p.Start, PeerNeverParks: true}
	*c = ring.Config{Geometry: c.Geometry, Start: c.Start, PeerNeverParks: true}
}

func newRig(t testing.TB, geo ring.Geometry, tweaks ...tweak) *rig {
	t.Helper()
	require.NoError(t, geo.Validate())
	r := &rig{
		geo:  geo,
		prod: region(t, "producer", geo.ProducerBytes()),
		cons: region(t, "consumer", geo.ConsumerBytes()),
	}
	r.data, r.space = newBell(r.prod, ring.ProducerDoorbellOffset), newBell(r.cons, ring.ConsumerDoorbellOffset)
	pc := ring.Config{Geometry: geo, Doorbell: r.data, Waiter: interruptible{r.space}}
	cc := ring.Config{Geometry: geo, Doorbell: r.space, Waiter: interruptible{r.data}}
	for _, f := range tweaks {
		f(&pc, &cc)
	}
	r.pc, r.cc = pc, cc
	var err error
	r.c, err = ring.NewConsumer(r.cons, r.prod, cc)
	require.NoError(t, err)
	r.p, err = ring.NewProducer(r.prod, r.cons, pc)
	require.NoError(t, err)
	return r
}

func (r *rig) word(region []byte, offset int) *mem.Word64 { return mem.Uint64At(region, offset) }

// descriptor returns the descriptor of position at.
func (r *rig) descriptor(at uint64) *mem.Word64 {
	return mem.Uint64At(r.prod, r.geo.DescriptorsOffset()+8*int(at%uint64(r.geo.Slots)))
}

// slots returns how many slots n bytes take, counted as slowly as it can be said.
func (r *rig) slots(n int) uint64 { return uint64(max(1, (n+r.geo.SlotBytes-1)/r.geo.SlotBytes)) }

// State and X of a descriptor, written out here a second time on purpose.
func committed(geo ring.Geometry, at uint64, length uint64) uint64 { return desc(geo, at, length, 2) }

func desc(geo ring.Geometry, at, x, state uint64) uint64 {
	return at/uint64(geo.Slots)%(1<<36)<<28 | x%(1<<26)<<2 | state
}

func mustSend(t testing.TB, p *ring.Producer, msg []byte) {
	t.Helper()
	ok, err := p.TrySend(msg)
	require.NoError(t, err)
	require.True(t, ok, "no space for %d bytes at position %d", len(msg), p.Position())
}

func mustReceive(t testing.TB, c *ring.Consumer, want []byte) {
	t.Helper()
	got, ok, err := c.TryReceive(nil)
	require.NoError(t, err)
	require.True(t, ok, "no record at position %d", c.Position())
	require.True(t, bytes.Equal(want, got), "got %d bytes %.20q, want %d bytes %.20q", len(got), got, len(want), want)
}

func mustFindNothing(t testing.TB, c *ring.Consumer) {
	t.Helper()
	_, ok, err := c.TryReceive(nil)
	require.NoError(t, err)
	require.False(t, ok, "a record at position %d", c.Position())
}

// fill sends one-slot messages until there is no more space, and returns how many.
func fill(t testing.TB, p *ring.Producer) (n int) {
	t.Helper()
	for {
		ok, err := p.TrySend([]byte{byte(n)})
		require.NoError(t, err)
		if !ok {
			return n
		}
		n++
	}
}

// message returns n bytes that tell their number and length as far as they have room, with a checksum from 12 on.
func message(number uint32, n int) []byte {
	msg := make([]byte, n)
	rng := rand.New(rand.NewPCG(uint64(number), uint64(n)))
	for i := range msg {
		msg[i] = byte(rng.Uint32())
	}
	if n >= 12 {
		binary.LittleEndian.PutUint32(msg[4:], number)
		binary.LittleEndian.PutUint32(msg[8:], uint32(n))
		binary.LittleEndian.PutUint32(msg, crc32.ChecksumIEEE(msg[4:]))
	}
	return msg
}

// checkMessage returns what is wrong with a message that ought to be message(number, ...) of at least 12 bytes.
func checkMessage(msg []byte, number uint32) error {
	switch {
	case len(msg) < 12:
		return fmt.Errorf("message %d has %d bytes", number, len(msg))
	case binary.LittleEndian.Uint32(msg) != crc32.ChecksumIEEE(msg[4:]):
		return fmt.Errorf("message %d of %d bytes is torn", number, len(msg))
	case binary.LittleEndian.Uint32(msg[4:]) != number:
		return fmt.Errorf("got message %d, want %d", binary.LittleEndian.Uint32(msg[4:]), number)
	case binary.LittleEndian.Uint32(msg[8:]) != uint32(len(msg)):
		return fmt.Errorf("message %d has %d bytes, was sent with %d", number, len(msg), binary.LittleEndian.Uint32(msg[8:]))
	}
	return nil
}

var geometries = []ring.Geometry{
	{Slots: 2, SlotBytes: 16},
	{Slots: 2, SlotBytes: 4096},
	{Slots: 4, SlotBytes: 64},
	{Slots: 8, SlotBytes: 16},
	{Slots: 16, SlotBytes: 4096},
	{Slots: 64, SlotBytes: 64},
}

// starts are positions where something overflows: 32 bits, the 36 bits of a lap, the sign, 64 bits.
func starts(geo ring.Geometry) []uint64 {
	return []uint64{0, 1<<32 - 3, uint64(geo.Slots)<<36 - 3, 1<<63 - 3, 1<<64 - 3, 1<<64 - 2, 1<<64 - 1}
}

// everywhere runs f as a subtest on every geometry with at least so many slots, from every start.
func everywhere(t *testing.T, slots int, f func(t *testing.T, r *rig)) {
	t.Helper()
	everywhereOn(t, "", false, slots, f)
}

// bothKinds runs f as everywhere does, on SPSC rings and on MPSC rings with one producer, of which the same is claimed.
func bothKinds(t *testing.T, slots int, f func(t *testing.T, r *rig)) {
	t.Helper()
	everywhereOn(t, "spsc/", false, slots, f)
	everywhereOn(t, "mpsc/", true, slots, f)
}

func everywhereOn(t *testing.T, prefix string, mpsc bool, slots int, f func(t *testing.T, r *rig)) {
	t.Helper()
	for _, geo := range geometries {
		geo.MPSC = mpsc
		for _, start := range starts(geo) {
			if geo.Slots < slots {
				continue
			}
			t.Run(fmt.Sprintf("%sslots=%d/bytes=%d/start=%#x", prefix, geo.Slots, geo.SlotBytes, start), func(t *testing.T) {
				f(t, newRig(t, geo, startAt(start)))
			})
		}
	}
}
