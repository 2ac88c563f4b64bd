//go:build shmsteps

package ring_test

import (
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/ring"
)

// single is one schedule of an SPSC ring.
type single struct {
	*lab
	post     postOffice
	geo      ring.Geometry
	start    uint64
	messages int // to send yet
	lives    int // kills to come
	parks    [2]bool
	resumed  [2]bool
	p        *ring.Producer
	c        *ring.Consumer
	closing  bool // the consumer ends early
}

// stepGeometries are small, so that everything wraps and every wait happens.
var stepGeometries = []ring.Geometry{
	{Slots: 2, SlotBytes: 16},
	{Slots: 4, SlotBytes: 16},
	{Slots: 8, SlotBytes: 16},
	{Slots: 16, SlotBytes: 16}, // from here on the consumer publishes lazily
}

func newSingle(l *lab) *single {
	rng := l.s.rng
	g := &single{lab: l, geo: stepGeometries[rng.IntN(len(stepGeometries))], messages: 3 + rng.IntN(10)}
	all := starts(g.geo)
	g.start = all[rng.IntN(len(all))]
	g.post.oneByOne = true
	g.prod.reset(g.geo.ProducerBytes(), g.geo.DescriptorsOffset())
	g.cons.reset(g.geo.ConsumerBytes(), 0)
	g.cons.put(ring.ConsumerPositionOffset, 8, g.start)
	g.cons.visible = onlyGrows(uint64(g.geo.Slots))
	for i := range g.parks {
		g.parks[i] = rng.IntN(4) != 0
	}
	return g
}

// config joins one side to the schedule.
func (g *single) config(t *task, side int) ring.Config {
	cfg := g.wiring(t, side, g.parks)
	cfg.Geometry, cfg.Start, cfg.Resume = g.geo, g.start, g.resumed[side]
	return cfg
}

// produce is a life of the producer.
func (g *single) produce(t *task) {
	p, err := ring.NewProducer(g.prod.bytes, g.cons.bytes, g.config(t, producerSide))
	if err != nil {
		g.s.failf("new producer: %w", err)
		return
	}
	g.p = p
	out := &sender{t: t, p: p, post: &g.post, book: g.post.open(), left: &g.messages, max: g.geo.MaxRecord()}
	t.hasWork = func(bool) string { return g.spaceFor(out.want) }
	if buried := t.onGone; buried != nil {
		t.onGone = func() { out.book.over = true; buried() }
	}
	out.sendAll(allWaysOut)
	out.leave()
}

// spaceFor tells of free slots enough for n bytes, if there are.
func (g *single) spaceFor(n int) string {
	at, need := g.p.Position(), slotsOf(g.geo, n)
	if left := uint64(g.geo.Slots) - at%uint64(g.geo.Slots); need > left {
		need += left
	}
	free := uint64(g.geo.Slots) - (at - g.cons.get(ring.ConsumerPositionOffset, 8))
	if free < need || free == need && at+free == 0 { // 2^64 grants a slot less, see I6
		return ""
	}
	return fmt.Sprintf("%d slots are free, %d wanted", free, need)
}

func slotsOf(geo ring.Geometry, n int) uint64 {
	return uint64(max(1, (n+geo.SlotBytes-1)/geo.SlotBytes))
}

// consume is a life of the consumer.
func (g *single) consume(t *task) {
	c, err := ring.NewConsumer(g.cons.bytes, g.prod.bytes, g.config(t, consumerSide))
	if err != nil {
		g.s.failf("new consumer: %w", err)
		return
	}
	g.c = c
	in := &receiver{t: t, c: c, post: &g.post, slots: func(n int) uint64 { return slotsOf(g.geo, n) }, most: -1}
	if g.closing {
		in.most = g.s.rng.IntN(g.messages + 1)
	}
	g.post.rewind(c.Position())
	t.hasWork = g.record
	t.onGone = func() {
		if in.blind {
			g.post.mayLose++
			g.s.nudge()
		}
		g.succeedConsumer()
	}
	in.receiveAll(allWaysIn)
}

// startConsumer starts a consumer which may be killed.
func (g *single) startConsumer() {
	t := g.mortal("C", g.cons, g.consume)
	t.onGone = g.succeedConsumer
}

// succeedConsumer starts the consumer after one that is dead.
func (g *single) succeedConsumer() {
	g.resumed[consumerSide] = true
	g.startConsumer()
}

// record tells of a record at the consumer's position, or the end of the stream.
func (g *single) record(bool) string {
	at := g.c.Position()
	d := g.prod.get(ring.ProducerDescriptorsOffset+8*int(at%uint64(g.geo.Slots)), 8)
	switch {
	case d&3 != 0 && d>>28 == at/uint64(g.geo.Slots)%(1<<36):
		return fmt.Sprintf("descriptor %#x at position %#x", d, at)
	case g.prod.get(ring.ProducerClosedOffset, 8) != 0:
		return "the stream is closed"
	}
	return ""
}

// mortal starts a task which may be killed as often as the schedule has lives left.
func (g *single) mortal(name string, owns *space, body func(t *task)) *task {
	t := g.s.start(name, owns, body)
	if g.lives > 0 {
		g.lives--
		t.killAt = g.s.rng.IntN(60)
	}
	return t
}

// finish checks that the ring is empty and nothing is owed.
func (g *single) finish() error {
	if err := g.post.settle(); err != nil || g.post.quit {
		return err
	}
	if p, c := g.p.Position(), g.c.Position(); p != c {
		return fmt.Errorf("the producer is at %#x, the consumer at %#x", p, c)
	}
	return nil
}

func TestScheduleSPSC(t *testing.T) {
	most := stepGeometries[len(stepGeometries)-1]
	for _, tt := range []struct {
		name  string
		share float64
		setUp func(g *single)
	}{
		{"both sides live", 0.15, func(g *single) {
			g.s.start("P", g.prod, g.produce)
			g.s.start("C", g.cons, g.consume)
		}},
		{"the consumer closes", 0.04, func(g *single) {
			g.closing = true
			g.lives = g.s.rng.IntN(3)
			g.startMortalProducer()
			g.startConsumer()
		}},
		{"producers are killed", 0.1, func(g *single) {
			g.lives = 1 + g.s.rng.IntN(3)
			g.startMortalProducer()
			g.s.start("C", g.cons, g.consume)
		}},
		{"consumers are killed", 0.08, func(g *single) {
			g.s.start("P", g.prod, g.produce)
			g.lives = 1 + g.s.rng.IntN(3)
			g.startConsumer()
		}},
		{"either is killed", 0.08, func(g *single) {
			g.lives = 1 + g.s.rng.IntN(4)
			g.startMortalProducer()
			g.startConsumer()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, most.ProducerBytes(), most.ConsumerBytes())
			explore(t, l, tt.share, func(l *lab) func() error {
				g := newSingle(l)
				tt.setUp(g)
				return g.finish
			})
		})
	}
}

// startMortalProducer starts a producer and, when it is dead, its successor.
func (g *single) startMortalProducer() {
	t := g.mortal("P", g.prod, g.produce)
	t.onGone = func() {
		g.resumed[producerSide] = true
		g.startMortalProducer()
	}
}
