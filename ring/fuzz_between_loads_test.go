//go:build shmsteps

package ring_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
)

// liar is a peer whose region changes whenever the handle is about to look at it.
type liar struct {
	t        *testing.T
	s        script
	geo      ring.Geometry
	peer     []byte        // the region that changes
	position func() uint64 // of the handle
	loads    int           // by the running call
}

// maxLoads is more than any call may make; the highest numbers of owners and of tries make it this large.
const maxLoads = 40_000

// load is the interception of the peer's region.
func (l *liar) load(a mem.Access) uint64 {
	if a.Kind != mem.AccessLoad {
		l.t.Fatalf("%v at offset %d of the peer's region", a.Kind, a.Offset)
	}
	if l.loads++; l.loads > maxLoads {
		l.t.Fatalf("%d loads in one call", l.loads)
	}
	if len(l.s) > 0 && l.s.byte()%3 == 0 {
		l.lie(a)
	}
	if a.Size == 4 {
		return uint64(binary.NativeEndian.Uint32(l.peer[a.Offset:]))
	}
	return binary.NativeEndian.Uint64(l.peer[a.Offset:])
}

// lie changes the word about to be loaded, one that will be soon, or any.
func (l *liar) lie(a mem.Access) {
	at := l.position()
	switch kind := l.s.byte(); kind % 8 {
	case 0:
		l.put(int(l.s.word()%uint64(len(l.peer)/8))*8, l.s.word())
	case 1:
		l.put(a.Offset&^7, l.s.near(at))
	case 2:
		l.put(ring.ProducerClosedOffset, l.s.near(at+1))
	case 3:
		if l.geo.MPSC {
			l.put(ring.ProducerClaimOffset, l.s.near(at)<<26|uint64(l.s.byte()%8)<<8|uint64(l.s.byte()%4))
		}
	default:
		where := at + uint64(l.s.byte()%4)
		left := uint64(l.geo.Slots) - where%uint64(l.geo.Slots)
		x, state := l.s.near(left), uint64(kind>>3)%4
		if state == 1 { // BUSY: owner and slots
			x = uint64(1+kind>>5)<<18 | x%(1<<18)
		}
		l.put(l.geo.DescriptorsOffset()+8*int(where%uint64(l.geo.Slots)), desc(l.geo, where, x, state))
	}
}

func (l *liar) put(off int, v uint64) {
	if off+8 <= len(l.peer) {
		binary.NativeEndian.PutUint64(l.peer[off:], v)
	}
}

// restless never sleeps, and gives up after a few times.
type restless struct{ turns int }

func (*restless) Ring()                            {}
func (*restless) Load() uint32                     { return 0 }
func (*restless) Wait(uint32, time.Duration) error { return nil }

func (r *restless) stopped() error {
	if r.turns++; r.turns%4 == 0 {
		return errStop
	}
	return nil
}

// addScripts gives a target scripts to begin with, so that it does something without fuzzing too.
func addScripts(f *testing.F) {
	f.Add([]byte{})
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 50+rng.IntN(1000))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		f.Add(data)
	}
}

// newLiar returns one whose region is peer, and the handle's configuration.
func newLiar(t *testing.T, data []byte) (*liar, ring.Config) {
	l := &liar{t: t, s: script(data)}
	var start uint64
	l.geo, start = fuzzGeometry(&l.s)
	l.geo.MPSC = l.s.byte()%2 == 1
	quiet := &restless{}
	cfg := ring.Config{Geometry: l.geo, Start: start, Doorbell: quiet, Stopped: quiet.stopped}
	if l.s.byte()%2 == 1 {
		cfg.Waiter = quiet
	}
	cfg.PeerNeverParks = l.s.byte()%2 == 1
	return l, cfg
}

// forward checks stores to a position word, which must never go back.
func forward(t *testing.T, own []byte) func(a mem.Access) uint64 {
	return func(a mem.Access) uint64 {
		was := uint64(binary.NativeEndian.Uint32(own[a.Offset:]))
		if a.Size == 4 {
			binary.NativeEndian.PutUint32(own[a.Offset:], uint32(result(a, was)))
			return was
		}
		was = binary.NativeEndian.Uint64(own[a.Offset:])
		is := result(a, was)
		if a.Offset == ring.ConsumerPositionOffset && int64(is-was) < 0 {
			t.Fatalf("the position goes from %d to %d", was, is)
		}
		binary.NativeEndian.PutUint64(own[a.Offset:], is)
		return was
	}
}

// FuzzConsumerBetweenLoads: the producer's region changes before every single load of the consumer. It does not panic or
// loop, reads and writes nothing outside, returns no more than the longest record, never goes back, and stays poisoned.
func FuzzConsumerBetweenLoads(f *testing.F) {
	addScripts(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, cfg := newLiar(t, data)
		own := region(t, "consumer", l.geo.ConsumerBytes())
		l.peer = region(t, "producer", l.geo.ProducerBytes())
		binary.NativeEndian.PutUint64(own[ring.ConsumerPositionOffset:], cfg.Start)
		l.position = func() uint64 { return cfg.Start }
		defer mem.Intercept(l.peer, l.load)()
		defer mem.Intercept(own, forward(t, own))()
		if l.geo.MPSC {
			cfg.ProvenDead = func(int) bool { return l.s.byte()%2 == 1 }
		}
		c, err := ring.NewConsumer(own, l.peer, cfg)
		if err != nil {
			t.Fatal(err)
		}
		l.position = c.Position
		for len(l.s) > 0 {
			l.loads = 0
			l.consume(c)
		}
	})
}

func (l *liar) consume(c *ring.Consumer) {
	before, poisoned := c.Position(), c.Err()
	var msg []byte
	var err error
	switch l.s.byte() % 4 {
	case 0:
		msg, _, err = c.TryReceive(nil)
	case 1:
		msg, err = c.Receive(context.Background(), nil)
	case 2:
		c.DrainAtMost(uint64(l.s.byte()) << (l.s.byte() % 4 * 8))
	default:
		var r ring.Record
		if r, err = c.Next(context.Background()); err == nil {
			msg = append(msg, r.Bytes()...)
			r.Release()
		}
	}
	bounded(l.t, err)
	if len(msg) > l.geo.MaxRecord() {
		l.t.Fatalf("a record of %d bytes", len(msg))
	}
	if moved := c.Position() - before; moved > maxLoads*uint64(l.geo.Slots) {
		l.t.Fatalf("moved from %d by %d slots", before, moved)
	}
	if poisoned != nil && (c.Err() != poisoned || c.Position() != before) {
		l.t.Fatalf("was poisoned by %v, now %v", poisoned, c.Err())
	}
}

// FuzzProducerBetweenLoads: the same for a producer and the consumer's region.
func FuzzProducerBetweenLoads(f *testing.F) {
	addScripts(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, cfg := newLiar(t, data)
		own := region(t, "producer", l.geo.ProducerBytes())
		l.peer = region(t, "consumer", l.geo.ConsumerBytes())
		l.put(ring.ConsumerPositionOffset, cfg.Start)
		l.position = func() uint64 { return cfg.Start }
		defer mem.Intercept(l.peer, l.load)()
		p, err := ring.NewProducer(own, l.peer, cfg)
		if err != nil {
			return // it has looked at a position that cannot be
		}
		l.position = p.Position
		for len(l.s) > 0 {
			l.loads = 0
			l.produce(p)
		}
	})
}

func (l *liar) produce(p *ring.Producer) {
	ctx := context.Background()
	before, poisoned := p.Position(), p.Err()
	msg := zeroes[:int(l.s.byte())*l.geo.MaxRecord()/255]
	var err error
	switch l.s.byte() % 4 {
	case 0:
		_, err = p.TrySend(msg)
	case 1:
		err = p.Send(ctx, msg)
	case 2:
		_, err = p.SendBatch(ctx, [][]byte{msg, nil, msg[:len(msg)/2]})
	default:
		var c ring.Claim
		if c, err = p.Claim(ctx, len(msg)); err == nil {
			clear(c.Bytes())
			c.Commit()
		}
	}
	if !errors.Is(err, io.ErrClosedPipe) {
		bounded(l.t, err)
	}
	// Padding and three records, each as often as there is another part. Many producers know of their position only what
	// the consumer's says about the upper bits: a lying one can send them ahead, where nobody reads what they write.
	if moved := p.Position() - before; !l.geo.MPSC && moved > 8*uint64(l.geo.Slots) {
		l.t.Fatalf("moved from %d by %d slots", before, moved)
	}
	if poisoned != nil && (p.Err() != poisoned || p.Position() != before) {
		l.t.Fatalf("was poisoned by %v, now %v", poisoned, p.Err())
	}
}
