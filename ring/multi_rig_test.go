package ring_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
)

// looks is how many fruitless looks a consumer takes until it has asked for deaths once.
const looks = 64

// crowd is an MPSC ring on the heap: a consumer and as many producers as join.
type crowd struct {
	t          testing.TB
	geo        ring.Geometry
	prod, cons []byte // regions
	data       *bell
	space      *gong
	c          *ring.Consumer
	pc, cc     ring.Config // what handles are made of
	seats      seats
}

// gong is a doorbell that wakes all who wait for it, as the producers of a ring do for space.
type gong struct {
	word  *mem.Word32
	mu    sync.Mutex
	rung  chan struct{} // closed by the next ring
	waits atomic.Int64
}

func newGong(region []byte, offset int) *gong {
	return &gong{word: mem.Uint32At(region, offset), rung: make(chan struct{})}
}

func (g *gong) Ring() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.word.Add(1)
	close(g.rung)
	g.rung = make(chan struct{})
}

func (g *gong) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rung
}

func (g *gong) Load() uint32 { return g.word.Load() }

func (g *gong) Wait(value uint32, timeout time.Duration) error {
	g.waits.Add(1)
	rung := g.next() // before the word: a ring in between has closed it
	if g.word.Load() != value {
		return nil
	}
	var expired <-chan time.Time
	if timeout >= 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-rung:
	case <-expired:
	}
	return nil
}

// seats stands for the operating system: who holds which owner number, and who has died.
type seats struct {
	mu    sync.Mutex
	held  [ring.Owners + 1]bool
	asked func(owner int) // happens in the middle of a question; nil: nothing
}

func (s *seats) hold(owner int) (func(), bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[owner] {
		return nil, false, nil
	}
	s.held[owner] = true
	return func() { s.die(owner) }, true, nil
}

// die is what happens to the number when its process ends, however it ends.
func (s *seats) die(owner int) {
	s.mu.Lock()
	s.held[owner] = false
	s.mu.Unlock()
}

func (s *seats) provenDead(owner int) bool {
	if f := s.asked; f != nil {
		f(owner)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.held[owner]
}

func newCrowd(t testing.TB, geo ring.Geometry, tweaks ...tweak) *crowd {
	t.Helper()
	geo.MPSC = true
	require.NoError(t, geo.Validate())
	r := &crowd{
		t:    t,
		geo:  geo,
		prod: region(t, "producer", geo.ProducerBytes()),
		cons: region(t, "consumer", geo.ConsumerBytes()),
	}
	r.data, r.space = newBell(r.prod, ring.ProducerDoorbellOffset), newGong(r.cons, ring.ConsumerDoorbellOffset)
	r.pc = ring.Config{Geometry: geo, Doorbell: r.data, Waiter: r.space}
	r.cc = ring.Config{Geometry: geo, Doorbell: r.space, Waiter: interruptible{r.data}}
	for _, f := range tweaks {
		f(&r.pc, &r.cc)
	}
	r.pc.Hold, r.pc.ProvenDead, r.cc.ProvenDead = r.seats.hold, r.seats.provenDead, r.seats.provenDead
	var err error
	r.c, err = ring.NewConsumer(r.cons, r.prod, r.cc)
	require.NoError(t, err)
	return r
}

// join adds a producer.
func (r *crowd) join() *ring.Producer {
	r.t.Helper()
	p, err := ring.NewProducer(r.prod, r.cons, r.pc)
	require.NoError(r.t, err)
	return p
}

// kill is the death of p's process: the handle is not used any more, and the system gives its number back.
func (r *crowd) kill(p *ring.Producer) { r.seats.die(p.Owner()) }

func (r *crowd) descriptor(at uint64) *mem.Word64 {
	return mem.Uint64At(r.prod, r.geo.DescriptorsOffset()+8*int(at%uint64(r.geo.Slots)))
}

func (r *crowd) word(region []byte, offset int) *mem.Word64 { return mem.Uint64At(region, offset) }

// owner returns the word of an owner in the table: generation << 1 | closed.
func (r *crowd) owner(number int) *mem.Word64 {
	return mem.Uint64At(r.prod, ring.ProducerOwnersOffset+number*ring.OwnerBytes)
}

// published returns how far the producers know the consumer to be.
func (r *crowd) published() uint64 { return r.word(r.cons, ring.ConsumerPositionOffset).Load() }

// claimWord is written out here a second time on purpose.
func claimWord(start, slots uint64, owner int) uint64 { return start<<26 | slots<<8 | uint64(owner) }

// claimAs claims slots for an owner that does nothing more: what a producer leaves behind that dies right there, also
// where no handle can be stopped, in a batch or in a padding. It returns where the claim begins.
func (r *crowd) claimAs(owner int, slots uint64) (at uint64) {
	r.t.Helper()
	word := r.word(r.prod, ring.ProducerClaimOffset)
	last := word.Load()
	at = r.published()
	if n := last >> 8 % (1 << 18); n != 0 {
		at += (last>>26 + n - at) % (1 << 38)
		d := r.descriptor(at - n)
		if old := d.Load(); old%4 == 0 || old>>28 != desc(r.geo, at-n, 0, 0)>>28 {
			d.Store(desc(r.geo, at-n, last%256<<18|n, 1))
		}
	}
	require.LessOrEqual(r.t, at%uint64(r.geo.Slots)+slots, uint64(r.geo.Slots), "a claim over the end")
	require.LessOrEqual(r.t, at+slots-r.published(), uint64(r.geo.Slots), "no space")
	word.Store(claimWord(at, slots, owner))
	return at
}

// open claims n bytes and leaves it at that.
func (r *crowd) open(p *ring.Producer, n int) ring.Claim {
	r.t.Helper()
	c, ok, err := p.TryClaim(n)
	require.NoError(r.t, err)
	require.True(r.t, ok, "no space for %d bytes", n)
	return c
}

// look is TryReceive until it has found something or has asked for deaths.
func (r *crowd) look() (msg []byte, ok bool, err error) {
	for range looks {
		if msg, ok, err = r.c.TryReceive(nil); ok || err != nil {
			break
		}
	}
	return msg, ok, err
}

func (r *crowd) mustReceive(want []byte) {
	r.t.Helper()
	got, ok, err := r.look()
	require.NoError(r.t, err)
	require.True(r.t, ok, "no record at position %d", r.c.Position())
	require.True(r.t, bytes.Equal(want, got), "got %d bytes %.20q, want %d bytes %.20q", len(got), got, len(want), want)
}

func (r *crowd) mustFindNothing() {
	r.t.Helper()
	msg, ok, err := r.look()
	require.NoError(r.t, err)
	require.False(r.t, ok, "%d bytes before position %d", len(msg), r.c.Position())
}

func (r *crowd) mustEnd() {
	r.t.Helper()
	_, ok, err := r.look()
	require.False(r.t, ok)
	require.Equal(r.t, io.EOF, err)
}

// manyStarts are starts, and the edges of the claim word, which has 38 bits for a position.
func manyStarts(geo ring.Geometry) []uint64 {
	return append(starts(geo), 1<<38-3, 1<<38-1, 1<<38, 7<<38-2, 1<<63-1<<38-1)
}

// withMany runs f as a subtest on every geometry with at least so many slots, from every start, on an MPSC ring.
func withMany(t *testing.T, slots int, f func(t *testing.T, r *crowd)) {
	t.Helper()
	for _, geo := range geometries {
		for _, start := range manyStarts(geo) {
			if geo.Slots < slots {
				continue
			}
			t.Run(fmt.Sprintf("slots=%d/bytes=%d/start=%#x", geo.Slots, geo.SlotBytes, start), func(t *testing.T) {
				f(t, newCrowd(t, geo, startAt(start)))
			})
		}
	}
}

// receiver is a consumer of r in a goroutine of its own, which sleeps when there is nothing.
func (r *crowd) receiver() <-chan received {
	ch := make(chan received, 1)
	go func() {
		msg, err := r.c.Receive(context.Background(), nil)
		ch <- received{msg, err}
	}()
	return ch
}

type received struct {
	msg []byte
	err error
}

func soon(t testing.TB, ch <-chan received) received {
	t.Helper()
	return shmtest.Soon(t, ch, "Receive")
}
