package ring_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crowd is an MPSC ring on the heap: a consumer and as many producers as join.
type crowd struct {
	t           testing.TB
	geo         ring.Geometry
	prod, cons  []byte // regions
	data, space *bell
	c           *ring.Consumer
	pc, cc      ring.Config // what handles are made of
	seats       seats
}

// everybody is a bell that several wait for: who is woken passes it on.
type everybody struct{ *bell }

func (b everybody) Wait(value uint32, timeout time.Duration) error {
	err := b.bell.Wait(value, timeout)
	post(b.wake)
	return err
}

// seats stands for the operating system: who holds which owner number, and who has died.
type seats struct {
	mu   sync.Mutex
	held [ring.Owners + 1]bool
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
	r.data, r.space = newBell(r.prod, ring.ProducerDoorbellOffset), newBell(r.cons, ring.ConsumerDoorbellOffset)
	r.pc = ring.Config{Geometry: geo, Doorbell: r.data, Waiter: everybody{r.space}}
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

func TestManyProducersTakeTurns(t *testing.T) {
	for _, geo := range geometries {
		for _, start := range starts(geo) {
			t.Run(fmt.Sprintf("slots=%d/bytes=%d/start=%#x", geo.Slots, geo.SlotBytes, start), func(t *testing.T) {
				r := newCrowd(t, geo, startAt(start))
				a, b := r.join(), r.join()
				require.Equal(t, []int{1, 2}, []int{a.Owner(), b.Owner()})
				for i := range uint32(5 * geo.Slots) {
					for _, p := range []*ring.Producer{a, b} {
						msg := message(i, int(i)%(p.MaxRecord()+1))
						mustSend(t, p, msg)
						mustReceive(t, r.c, msg)
					}
				}
				a.Close()
				mustFindNothing(t, r.c)
				b.Close()
				_, err := r.c.Receive(context.Background(), nil)
				require.Equal(t, io.EOF, err)
			})
		}
	}
}

// TestManyProducersStress: goroutines on one ring on the heap, so that the race detector sees it. Each producer's messages
// arrive whole and in order, and nothing else does.
func TestManyProducersStress(t *testing.T) {
	each := 3000
	if testing.Short() {
		each = 500
	}
	for _, mode := range waitModes {
		for _, geo := range geometries {
			t.Run(fmt.Sprintf("%s/slots=%d/bytes=%d", mode.name, geo.Slots, geo.SlotBytes), func(t *testing.T) {
				shmtest.Watchdog(t, 2*watch)
				const producers = 3
				r := newCrowd(t, geo, mode.tweak, startAt(-uint64(each)))
				var senders sync.WaitGroup
				for range producers {
					p := r.join()
					rng := shmtest.Rand(t)
					senders.Go(func() {
						for i := 0; i < each; {
							msgs := [][]byte{}
							for range 1 + rng.IntN(min(4, each-i)) {
								msg := message(uint32(i), max(16, rng.IntN(min(p.MaxRecord(), 3*geo.SlotBytes)+1)))
								binary.LittleEndian.PutUint32(msg[12:], uint32(p.Owner()))
								msgs = append(msgs, msg)
								i++
							}
							if n, err := p.SendBatch(context.Background(), msgs); err != nil || n != len(msgs) {
								assert.NoError(t, err)
								return
							}
						}
						p.Close()
					})
				}
				next := map[uint32]uint32{}
				total := 0
				for msg, err := range r.c.Messages(context.Background()) {
					require.NoError(t, err)
					who := binary.LittleEndian.Uint32(msg[12:])
					require.Equal(t, next[who], binary.LittleEndian.Uint32(msg[4:]), "producer %d", who)
					next[who]++
					total++
				}
				senders.Wait()
				require.Equal(t, producers*each, total)
			})
		}
	}
}
