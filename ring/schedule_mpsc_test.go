//go:build shmsteps

package ring_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/ring"
)

// many is one schedule of an MPSC ring.
type many struct {
	*lab
	post    postOffice
	geo     ring.Geometry
	start   uint64
	parks   [2]bool
	holders [ring.Owners + 1]*task // who holds the right to an owner number
	senders int                    // tasks that have not ended, or whose successor has not
	lives   int                    // kills to come
	numbers int                    // owner numbers are drawn from 1 to this
	ways    int                    // of sending
	closing bool                   // the consumer ends early
	resumed bool                   // the consumer has had a predecessor
	c       *ring.Consumer
}

var sharedGeometries = []ring.Geometry{
	{Slots: 2, SlotBytes: 16, MPSC: true},
	{Slots: 4, SlotBytes: 16, MPSC: true},
	{Slots: 8, SlotBytes: 16, MPSC: true},
	{Slots: 16, SlotBytes: 16, MPSC: true}, // from here on the consumer publishes lazily
}

func newMany(l *lab, geometries []ring.Geometry) *many {
	rng := l.s.rng
	m := &many{lab: l, geo: geometries[rng.IntN(len(geometries))], numbers: 1 + rng.IntN(3)}
	m.ways = allWaysOut
	all := starts(m.geo)
	m.start = all[rng.IntN(len(all))]
	l.s.seesDeaths = true
	m.prod.quiet = unprotectedShared
	m.prod.reset(m.geo.ProducerBytes(), m.geo.DescriptorsOffset())
	m.cons.reset(m.geo.ConsumerBytes(), 0)
	m.cons.put(ring.ConsumerPositionOffset, 8, m.start)
	m.cons.visible = onlyGrows(uint64(m.geo.Slots))
	m.prod.visible = m.keepsOrder
	for i := range m.parks {
		m.parks[i] = rng.IntN(4) != 0
	}
	return m
}

// published returns the consumer's position as all see it.
func (m *many) published() uint64 { return m.cons.get(ring.ConsumerPositionOffset, 8) }

// keepsOrder checks what becomes visible in the producer region: claims follow one another, an owner's word only grows,
// and nobody writes over what the consumer has not passed.
func (m *many) keepsOrder(off int, was, is uint64) error {
	n := uint64(m.geo.Slots)
	switch i := off - ring.MPSCDescriptorsOffset; {
	case i >= 0 && i < 8*m.geo.Slots:
		c := m.published()
		at := c + (uint64(i/8)-c)%n
		if was&2 != 0 && was>>28 == at/n%(1<<36) {
			return fmt.Errorf("the record at position %#x was %#x; the consumer is at %#x", at, was, c)
		}
	case off == ring.ProducerClaimOffset:
		if was != 0 && (was>>26+was>>8&(1<<18-1)-is>>26)%(1<<38) != 0 {
			return fmt.Errorf("the last claim was %#x", was)
		}
	case off >= ring.ProducerOwnersOffset && is < was:
		return fmt.Errorf("the owner's word was %#x", was)
	}
	return nil
}

// hold is Config.Hold: a lock that the system takes away from the dead.
func (m *many) hold(t *task) func(owner int) (func(), bool, error) {
	return func(owner int) (func(), bool, error) {
		t.step()
		t.drainAll()
		if h := m.holders[owner]; h != nil && !h.gone {
			m.s.tracef(t, "does not get owner %d, which %s has", owner, h.name)
			return nil, false, nil
		}
		m.s.tracef(t, "holds owner %d", owner)
		m.holders[owner] = t
		return func() {
			t.step()
			t.drainAll()
			m.s.tracef(t, "lets go of owner %d", owner)
			m.holders[owner] = nil
		}, true, nil
	}
}

// provenDead is Config.ProvenDead, and always right.
func (m *many) provenDead(t *task) func(owner int) bool {
	return func(owner int) bool {
		t.step()
		t.drainAll()
		h := m.holders[owner]
		dead := h == nil || h.gone
		m.s.tracef(t, "asks whether owner %d is dead: %t", owner, dead)
		return dead
	}
}

func (m *many) config(t *task, side int) ring.Config {
	cfg := m.wiring(t, side, m.parks)
	cfg.Geometry, cfg.Start, cfg.ProvenDead = m.geo, m.start, m.provenDead(t)
	if side == producerSide {
		cfg.Hold = m.hold(t)
		if m.s.rng.IntN(3) != 0 {
			cfg.Owner = 1 + m.s.rng.IntN(m.numbers)
		}
	} else {
		cfg.Resume = m.resumed
	}
	return cfg
}

// join returns a producer as soon as there is an owner number for it. Without a consumer there may never be.
func (m *many) join(t *task) *ring.Producer {
	j, err := ring.NewJoiner(m.prod.bytes, m.cons.bytes, m.config(t, producerSide))
	if err != nil {
		m.s.failf("new joiner: %w", err)
		return nil
	}
	for {
		p, err := j.Try()
		var none *ring.OwnersError
		if err == nil {
			return p
		}
		if !errors.As(err, &none) {
			m.s.failf("join: %w", err)
			return nil
		}
		if m.post.quit {
			return nil
		}
		t.nap()
	}
}

// produce is a life of one of the producers, which has left messages to send.
func (m *many) produce(left *int) func(t *task) {
	return func(t *task) {
		p := m.join(t)
		if p == nil {
			m.senders--
			return
		}
		out := &sender{t: t, p: p, post: &m.post, book: m.post.open(), left: left, max: m.geo.MaxRecord()}
		t.hasWork = func(excused bool) string {
			if excused {
				return ""
			}
			return m.spaceFor(out.want)
		}
		buried := t.onGone
		t.onGone = func() { out.book.over = true; buried() }
		out.sendAll(m.ways)
		out.leave()
		m.senders--
	}
}

// spaceFor tells of free slots enough for n bytes behind the last claim, if there are.
func (m *many) spaceFor(n int) string {
	slots, c := uint64(m.geo.Slots), m.published()
	_, end := m.lastClaim(c)
	need := slotsOf(m.geo, n)
	if left := slots - end%slots; need > left {
		need += left
	}
	if free := slots - (end - c); free >= need {
		return fmt.Sprintf("%d slots are free, %d wanted", free, need)
	}
	return ""
}

// consume is a life of the consumer.
func (m *many) consume(t *task) {
	c, err := ring.NewConsumer(m.cons.bytes, m.prod.bytes, m.config(t, consumerSide))
	if err != nil {
		m.s.failf("new consumer: %w", err)
		return
	}
	m.c = c
	in := &receiver{t: t, c: c, post: &m.post, slots: func(n int) uint64 { return slotsOf(m.geo, n) }, most: -1}
	if m.closing {
		in.most = m.s.rng.IntN(8)
	}
	m.post.rewind(c.Position())
	t.hasWork = m.record(t)
	t.onGone = func() {
		if in.blind {
			m.post.mayLose++
			m.s.nudge()
		}
		m.succeedConsumer()
	}
	for in.receiveAll(allWaysIn) {
		if m.senders == 0 && in.lives == len(m.post.ledgers) {
			return // of a life that began and ended during the call, the end may not know
		}
		t.nap()
	}
}

// lastClaim returns the claim word and the position behind what it claims, with the consumer at position c.
func (m *many) lastClaim(c uint64) (word, end uint64) {
	word = m.prod.get(ring.ProducerClaimOffset, 8)
	if word == 0 {
		return 0, c
	}
	return word, c + (word>>26+word>>8&(1<<18-1)-c)%(1<<38)
}

// startConsumer starts a consumer which may be killed.
func (m *many) startConsumer() {
	t := m.mortal("C", m.cons, m.consume)
	t.onGone = m.succeedConsumer
}

// succeedConsumer starts the consumer after one that is dead.
func (m *many) succeedConsumer() {
	m.resumed = true
	m.startConsumer()
}

// record tells of something at the consumer's position that it can take. It may not sleep long, whoever died, if
// somebody waits for space that is claimed.
func (m *many) record(t *task) func(excused bool) string {
	return func(excused bool) string {
		at := m.c.Position()
		d := m.prod.get(ring.MPSCDescriptorsOffset+8*int(at%uint64(m.geo.Slots)), 8)
		_, end := m.lastClaim(at)
		switch {
		case !excused && d&2 != 0 && d>>28 == at/uint64(m.geo.Slots)%(1<<36):
			return fmt.Sprintf("descriptor %#x at position %#x", d, at)
		case end != at && t.timeout > longSleep && m.spaceWanted():
			return fmt.Sprintf("up to %#x is claimed; it is at %#x and sleeps for %v", end, at, t.timeout)
		}
		return ""
	}
}

// spaceWanted reports whether a producer sleeps because it has no space.
func (m *many) spaceWanted() bool {
	for _, t := range m.s.tasks {
		if t.owns == m.prod && t.state == taskAsleep && t.bed != nil {
			return true
		}
	}
	return false
}

// mortal starts a task which may be killed as often as the schedule has lives left.
func (m *many) mortal(name string, owns *space, body func(t *task)) *task {
	t := m.s.start(name, owns, body)
	if m.lives > 0 {
		m.lives--
		t.killAt = m.s.rng.IntN(80)
	}
	return t
}

// startProducer starts a producer and, when it is dead, its successor.
func (m *many) startProducer(name string, messages int) {
	m.senders++
	m.succeed(name, &messages)
}

func (m *many) succeed(name string, left *int) {
	t := m.mortal(name, m.prod, m.produce(left))
	t.onGone = func() {
		if *left > 0 {
			m.succeed(name, left)
		} else {
			m.senders--
		}
	}
}

// finish checks that the ring is empty and nothing is owed.
func (m *many) finish() error {
	if err := m.post.settle(); err != nil {
		return err
	}
	if m.post.quit {
		return nil
	}
	c := m.published()
	if own := m.c.Position(); own != c {
		return fmt.Errorf("the consumer is at %#x and has published %#x", own, c)
	}
	if word, end := m.lastClaim(c); end != c {
		return fmt.Errorf("the last claim is %#x, the consumer at %#x", word, c)
	}
	return nil
}

func TestScheduleMPSC(t *testing.T) {
	most := sharedGeometries[len(sharedGeometries)-1]
	for _, tt := range []struct {
		name  string
		share float64
		geos  []ring.Geometry
		setUp func(m *many)
	}{
		{"one producer", 0.02, sharedGeometries, func(m *many) {
			m.startProducer("P1", 6)
			m.s.start("C", m.cons, m.consume)
		}},
		{"two producers", 0.06, sharedGeometries, func(m *many) {
			m.startProducer("P1", 5)
			m.startProducer("P2", 5)
			m.s.start("C", m.cons, m.consume)
		}},
		{"three producers", 0.05, sharedGeometries, func(m *many) {
			m.startProducer("P1", 4)
			m.startProducer("P2", 4)
			m.startProducer("P3", 4)
			m.s.start("C", m.cons, m.consume)
		}},
		{"three producers wait for space", 0.04, sharedGeometries[:2], func(m *many) {
			m.parks = [2]bool{true, true}
			m.ways = wayWait
			m.startProducer("P1", 4)
			m.startProducer("P2", 4)
			m.startProducer("P3", 4)
			m.s.start("C", m.cons, m.consume)
		}},
		{"producers are killed", 0.15, sharedGeometries, func(m *many) {
			m.lives = 1 + m.s.rng.IntN(4)
			m.startProducer("P1", 4)
			m.startProducer("P2", 4)
			if m.s.rng.IntN(2) == 0 {
				m.startProducer("P3", 4)
			}
			m.lives = min(m.lives, 3)
			m.s.start("C", m.cons, m.consume)
		}},
		{"the consumer is killed", 0.08, sharedGeometries, func(m *many) {
			m.startProducer("P1", 5)
			m.startProducer("P2", 5)
			m.lives = 1 + m.s.rng.IntN(3)
			m.startConsumer()
		}},
		{"anybody is killed", 0.13, sharedGeometries, func(m *many) {
			m.lives = 2 + m.s.rng.IntN(4)
			m.startProducer("P1", 4)
			m.startConsumer()
			m.startProducer("P2", 4)
			m.startProducer("P3", 2)
		}},
		{"the consumer closes", 0.02, sharedGeometries, func(m *many) {
			m.closing = true
			m.lives = m.s.rng.IntN(3)
			m.startProducer("P1", 4)
			m.startConsumer()
			m.startProducer("P2", 4)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, most.ProducerBytes(), most.ConsumerBytes())
			explore(t, l, tt.share, func(l *lab) func() error {
				m := newMany(l, tt.geos)
				tt.setUp(m)
				return m.finish
			})
		})
	}
}
