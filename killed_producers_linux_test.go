package shmwire_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Producer processes share a ring and are killed, at moments of nobody's choosing or in the middle of a claim, and
// replaced. Of each the consumer gets a beginning of its messages, whole and in order, with at least those whose send
// had returned.
func TestKilledProducers(t *testing.T) {
	tiny := ring.Geometry{Slots: 2, SlotBytes: 16, MPSC: true}
	small := ring.Geometry{Slots: 16, SlotBytes: 32, MPSC: true}
	normal := ring.Geometry{Slots: 1024, SlotBytes: 64, MPSC: true}
	single := func(g ring.Geometry) ring.Geometry { g.MPSC = false; return g }
	tests := []struct {
		name      string
		producers int
		numbered  bool // each has an owner number, which its successor gets; otherwise any
		like      assignment
	}{
		{"SPSC, tiny, parking", 1, false, assignment{Geometry: single(tiny), Longest: 16, Parks: true}},
		{"SPSC, tiny, spinning", 1, false, assignment{Geometry: single(tiny), Longest: 16}},
		{"SPSC, small, parking", 1, false, assignment{Geometry: single(small), Longest: 256, Parks: true}},
		{"SPSC, small, spinning", 1, false, assignment{Geometry: single(small), Longest: 256}},
		{"SPSC, normal, parking", 1, false, assignment{Geometry: single(normal), Longest: 400, Parks: true}},
		{"SPSC, normal, spinning", 1, false, assignment{Geometry: single(normal), Longest: 400}},
		{"MPSC, tiny, parking", 3, true, assignment{Geometry: tiny, Longest: 16, Parks: true}},
		{"MPSC, tiny, spinning", 3, false, assignment{Geometry: tiny, Longest: 16}},
		{"MPSC, small, parking", 3, false, assignment{Geometry: small, Longest: 256, Parks: true}},
		{"MPSC, small, spinning", 3, true, assignment{Geometry: small, Longest: 256}},
		{"MPSC, normal, parking", 3, true, assignment{Geometry: normal, Longest: 400, Parks: true}},
		{"MPSC, normal, spinning", 3, false, assignment{Geometry: normal, Longest: 400}},
	}
	kills, atLeast := 20, int64(100_000)
	if testing.Short() {
		kills, atLeast = 4, 2_000
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shmtest.Watchdog(t, 2*time.Minute)
			f := newFactory(t, tt.like, tt.producers, tt.numbered)
			defer f.consume()()
			for range kills {
				f.loseOne()
			}
			f.settle()
			f.wait(atLeast)
			f.finish()
			f.checkBooks()
		})
	}
}

// factory is a ring, its consumer, and the producer processes at work.
type factory struct {
	t        *testing.T
	rand     *rand.Rand
	like     assignment // what all have in common
	numbered bool
	segment  *shmseg.Segment
	waiter   *sem.FutexWaiter // nil when spinning
	c        *ring.Consumer
	working  []*worker // one for each place
	hired    int

	leftClaims uint64 // by producers that killed themselves

	stop, over chan struct{} // the consumer is to stop; it has
	finished   atomic.Bool   // all producers have closed or are dead
	err        error         // the consumer's, once it is over
	received   atomic.Int64
	next       [maxProducers]uint64 // number of the message that must come next, of each producer there has been
	buf, want  []byte
}

// worker is a producer process.
type worker struct {
	*shmtest.Process
	dies bool // by its own hand
}

// newFactory makes the ring and starts the producers.
func newFactory(t *testing.T, like assignment, producers int, numbered bool) *factory {
	t.Helper()
	dir := shmtest.ShmDir(t)
	like.Dir = dir
	// The race detector would have each producer that ends in order sleep for a second, for the sake of other goroutines.
	t.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	g := like.Geometry
	f := &factory{
		t: t, rand: shmtest.Rand(t), like: like, numbered: numbered, working: make([]*worker, producers),
		stop: make(chan struct{}), over: make(chan struct{}),
	}
	var err error
	f.segment, err = shmseg.CreateNamed("ring", shmseg.NamedOptions{
		Dir: dir, Regions: []int{g.ProducerBytes(), g.ConsumerBytes(), journalBytes},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, errors.Join(f.segment.Remove(), f.segment.Detach())) })
	f.makeConsumer()
	for place := range f.working {
		f.hire(place, true)
	}
	return f
}

func (f *factory) makeConsumer() {
	f.t.Helper()
	cfg, err := f.like.side(f.segment, consumerRegion, ring.ConsumerDoorbellOffset, producerRegion, ring.ProducerDoorbellOffset)
	require.NoError(f.t, err)
	if f.like.Parks {
		f.waiter = cfg.Waiter.(*sem.FutexWaiter)
		f.t.Cleanup(func() { assert.NoError(f.t, f.waiter.Close()) })
	}
	cfg.Owner, cfg.Hold = 0, nil
	cfg.Stopped = f.stopped
	f.c, err = ring.NewConsumer(f.segment.Region(consumerRegion), f.segment.Region(producerRegion), cfg)
	require.NoError(f.t, err)
}

func (f *factory) stopped() error {
	select {
	case <-f.stop:
		return errors.New("the test is over")
	default:
		return nil
	}
}

// hire starts a producer at a place, where its predecessor, if there is one, is dead. It may be one that dies by itself.
func (f *factory) hire(place int, mayDie bool) {
	f.t.Helper()
	a := f.like
	a.ID = f.hired
	a.Resume = f.working[place] != nil
	f.hired++
	if f.numbered {
		a.Owner = place + 1
	}
	if mayDie && f.rand.IntN(3) == 0 {
		a.DieAfter = 1 + f.rand.IntN(300)
	}
	text, err := json.Marshal(a)
	require.NoError(f.t, err)
	f.working[place] = &worker{shmtest.Child(f.t, "ring producer", string(text)), a.DieAfter > 0}
}

// loseOne has a producer die and replaces it.
func (f *factory) loseOne() {
	f.t.Helper()
	place := f.rand.IntN(len(f.working))
	if w := f.working[place]; w.dies {
		f.bury(w)
	} else {
		f.wait(f.received.Load() + int64(f.rand.IntN(3000)))
		w.Kill()
		require.Equal(f.t, -1, w.Wait(), "a producer that was at work until it was killed")
	}
	f.hire(place, true)
}

// bury waits for the end of a producer that dies by itself.
func (f *factory) bury(w *worker) {
	f.t.Helper()
	require.Equal(f.t, -1, w.Wait())
	f.leftClaims++
}

// wait waits until the consumer has received so many messages in all.
func (f *factory) wait(messages int64) {
	f.t.Helper()
	shmtest.Eventually(f.t, fmt.Sprintf("%d messages", messages), func() bool {
		select {
		case <-f.over:
			return true
		default:
			return f.received.Load() >= messages
		}
	})
}

// settle replaces the producers that are going to die.
func (f *factory) settle() {
	f.t.Helper()
	for place, w := range f.working {
		if w.dies {
			f.bury(w)
			f.hire(place, false)
		}
	}
}

// finish has the producers come to an orderly end, and then the consumer.
func (f *factory) finish() {
	f.t.Helper()
	for _, w := range f.working {
		w.Send("finish")
		if !assert.Zero(f.t, w.Wait()) {
			f.t.Log(w.Line())
		}
	}
	f.finished.Store(true)
	shmtest.Soon(f.t, f.over, "the end of the stream")
	require.NoError(f.t, f.err)
}

// checkBooks compares what the consumer got of each producer with what the producer's journal says.
func (f *factory) checkBooks() {
	f.t.Helper()
	var all uint64
	for id := range f.hired {
		attempted, sent := journal(f.segment, id)
		got := f.next[id]
		assert.LessOrEqual(f.t, sent.Load(), got, "messages of producer %d, at least those sent", id)
		assert.LessOrEqual(f.t, got, attempted.Load(), "messages of producer %d, at most those attempted", id)
		all += got
	}
	s := f.c.Stats()
	f.t.Logf("%d producers, %d messages; %+v", f.hired, all, s)
	assert.Equal(f.t, all, s.Records)
	look, err := ring.Inspect(f.segment.Region(producerRegion), f.segment.Region(consumerRegion), f.like.Geometry)
	require.NoError(f.t, err)
	assert.Nil(f.t, look.Trouble)
	assert.Zero(f.t, look.Slots, "left in the ring")
	if f.like.Geometry.MPSC {
		assert.GreaterOrEqual(f.t, s.Recovered, f.leftClaims, "claims that their owners left behind")
	}
}

// consume starts the consumer. What it returns stops it, also when the test has failed.
func (f *factory) consume() (stop func()) {
	go func() {
		defer close(f.over)
		f.err = f.takeAll()
	}()
	return func() {
		close(f.stop)
		if f.waiter != nil {
			f.waiter.Interrupt()
		}
		<-f.over
		if f.t.Failed() {
			f.t.Log("the consumer:", f.err)
		}
		f.c.Close()
	}
}

// takeAll takes messages until all producers have come to their end.
func (f *factory) takeAll() error {
	for i := 0; ; i++ {
		finished := f.finished.Load() // before the last look
		switch err := f.take(i); {
		case err == nil:
			f.received.Add(1)
		case err == io.EOF && finished:
			return nil
		case err == io.EOF && f.stopped() == nil: // all that have come so far are gone
			runtime.Gosched()
		default:
			return fmt.Errorf("after %d messages: %w", f.received.Load(), err)
		}
	}
}

// take takes a message by one of the ways there are.
func (f *factory) take(way int) (err error) {
	switch way % 3 {
	case 0:
		var ok bool
		if f.buf, ok, err = f.c.TryReceive(f.buf); ok || err != nil {
			break
		}
		fallthrough
	case 1:
		f.buf, err = f.c.Receive(bg, f.buf)
	case 2:
		r, err := f.c.Next(bg)
		if err != nil {
			return err
		}
		defer r.Release()
		return f.check(r.Bytes())
	}
	if err != nil {
		return err
	}
	return f.check(f.buf)
}

// check checks that a message is whole, was sent, and is the next of its producer.
func (f *factory) check(msg []byte) error {
	if len(msg) < envelopeBytes {
		return fmt.Errorf("a message of %d bytes: %x", len(msg), msg)
	}
	name := binary.LittleEndian.Uint64(msg)
	id, number := name>>32, name&(1<<32-1)
	if sum := binary.LittleEndian.Uint64(msg[8:]); sum != mixed(name) || id >= maxProducers {
		return fmt.Errorf("a message that nobody sent: %.40x", msg)
	}
	a := f.like
	a.ID = int(id)
	f.want = a.message(f.want[:0], number)
	attempted, _ := journal(f.segment, int(id))
	switch {
	case string(msg) != string(f.want):
		return fmt.Errorf("message %d of producer %d: got %d bytes %.40x, want %d bytes %.40x", number, id, len(msg), msg,
			len(f.want), f.want)
	case number != f.next[id]:
		return fmt.Errorf("message %d of producer %d, want message %d", number, id, f.next[id])
	case number >= attempted.Load():
		return fmt.Errorf("message %d of producer %d, which has tried to send %d", number, id, attempted.Load())
	}
	f.next[id]++
	return nil
}
