package ring_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// claimed is one claim, in the order of the claims, which one goroutine knows: a message or a whole batch.
type claimed struct {
	by    int // owner
	msgs  [][]byte
	slots uint64
	state claimState
}

type claimState int

const (
	isOpen claimState = iota
	isSent
	isGone // aborted, or padding
	isDead
)

// modelled is one of the producers of a manyMachine, which dies and comes again.
type modelled struct {
	p     *ring.Producer
	claim *ring.Claim
	of    *claimed
}

// manyMachine drives three producers and the consumer of an MPSC ring from one goroutine, beside a plain queue of what
// was claimed.
type manyMachine struct {
	*crowd
	senders   [3]*modelled
	queue     []*claimed // not yet passed by the consumer
	end       uint64     // of the last claim
	sent      uint32
	recovered uint64
	view      *ring.Record
	viewed    []byte
	been      bool // somebody
	last      uint64
}

func (m *manyMachine) message(t *rapid.T) []byte {
	m.sent++
	longest := m.geo.MaxRecord()
	n := rapid.OneOf(rapid.IntRange(0, min(longest, 3*m.geo.SlotBytes)), rapid.IntRange(0, longest)).Draw(t, "length")
	return message(m.sent, n)
}

func (m *manyMachine) slotsFor(n int) uint64 {
	return uint64(max(1, (n+m.geo.SlotBytes-1)/m.geo.SlotBytes))
}

// fits says exactly whether n bytes have space now, and after how much padding.
func (m *manyMachine) fits(n int) (skip uint64, ok bool) {
	slots := uint64(m.geo.Slots)
	need, left := m.slotsFor(n), slots-m.end%slots
	if need > left {
		skip = left
	}
	return skip, m.end-m.published()+skip+need <= slots
}

// claims notes a claim that has succeeded.
func (m *manyMachine) claims(by int, state claimState, msgs ...[]byte) *claimed {
	c := &claimed{by: by, state: state, msgs: msgs}
	skip, _ := m.fits(len(msgs[0]))
	if skip > 0 {
		m.queue = append(m.queue, &claimed{slots: skip, state: isGone})
	}
	for _, msg := range msgs {
		c.slots += m.slotsFor(len(msg))
	}
	m.queue = append(m.queue, c)
	m.end += skip + c.slots
	return c
}

// idle draws a producer without an open claim.
func (m *manyMachine) idle(t *rapid.T) *modelled {
	s := m.senders[rapid.IntRange(0, len(m.senders)-1).Draw(t, "producer")]
	if s.p == nil || s.claim != nil {
		t.Skip()
	}
	return s
}

func (m *manyMachine) only(t *rapid.T, other []byte, f func()) {
	before := bytes.Clone(other)
	f()
	if !bytes.Equal(before, other) {
		t.Fatalf("the other side's region was written")
	}
}

func (m *manyMachine) Join(t *rapid.T) {
	for _, s := range m.senders {
		if s.p != nil {
			continue
		}
		var err error
		s.p, err = ring.NewProducer(m.prod, m.cons, m.pc)
		require.NoError(t, err)
		for _, c := range m.queue {
			if c.state == isDead && m.unpassed(c) {
				require.NotEqual(t, c.by, s.p.Owner(), "the number of a dead owner whose claim is not passed")
			}
		}
		m.been = true
		return
	}
	t.Skip()
}

// unpassed says whether c, which is in the queue, ends behind the published position.
func (m *manyMachine) unpassed(c *claimed) bool {
	end := m.end
	for i := len(m.queue) - 1; m.queue[i] != c; i-- {
		end -= m.queue[i].slots
	}
	return int64(end-m.published()) > 0
}

func (m *manyMachine) TrySend(t *rapid.T) {
	s, msg := m.idle(t), m.message(t)
	m.only(t, m.cons, func() {
		_, fits := m.fits(len(msg))
		ok, err := s.p.TrySend(msg)
		require.NoError(t, err)
		require.Equal(t, fits, ok, "%d bytes", len(msg))
		if ok {
			m.claims(s.p.Owner(), isSent, msg)
			require.Equal(t, m.end, s.p.Position())
		}
	})
}

func (m *manyMachine) SendBatch(t *rapid.T) {
	s := m.idle(t)
	msgs := make([][]byte, rapid.IntRange(1, 7).Draw(t, "messages"))
	for i := range msgs {
		msgs[i] = m.message(t)
	}
	m.only(t, m.cons, func() {
		n, err := s.p.SendBatch(context.Background(), msgs)
		for _, msg := range msgs[:n] { // which are one claim does not matter to those who live
			m.claims(s.p.Owner(), isSent, msg)
		}
		if n > 0 {
			require.Equal(t, m.end, s.p.Position())
		}
		if n == len(msgs) {
			require.NoError(t, err)
			return
		}
		require.ErrorIs(t, err, errWouldBlock)
		_, fits := m.fits(len(msgs[n]))
		require.False(t, fits)
	})
}

func (m *manyMachine) TryClaim(t *rapid.T) {
	s, msg := m.idle(t), m.message(t)
	m.only(t, m.cons, func() {
		_, fits := m.fits(len(msg))
		c, ok, err := s.p.TryClaim(len(msg))
		require.NoError(t, err)
		require.Equal(t, fits, ok, "%d bytes", len(msg))
		if ok {
			copy(c.Bytes(), msg)
			s.claim, s.of = &c, m.claims(s.p.Owner(), isOpen, msg)
		}
	})
}

func (m *manyMachine) EndClaim(t *rapid.T) {
	s := m.senders[rapid.IntRange(0, len(m.senders)-1).Draw(t, "producer")]
	if s.claim == nil {
		t.Skip()
	}
	m.only(t, m.cons, func() {
		if rapid.Bool().Draw(t, "commit") {
			s.claim.Commit()
			s.of.state = isSent
		} else {
			s.claim.Abort()
			s.of.state = isGone
		}
	})
	s.claim = nil
}

// Leave ends a producer: it closes, dies, or dies in the middle of a batch or of a padding.
func (m *manyMachine) Leave(t *rapid.T) {
	s := m.senders[rapid.IntRange(0, len(m.senders)-1).Draw(t, "producer")]
	if s.p == nil {
		t.Skip()
	}
	how := rapid.SampledFrom([]string{"close", "death", "death in a batch"}).Draw(t, "how")
	switch {
	case how == "close":
		s.p.Close()
		if s.claim != nil {
			s.of.state = isGone
		}
	default:
		if s.claim != nil {
			s.of.state = isDead
		} else if how == "death in a batch" {
			m.dieInBatch(t, s.p.Owner())
		}
		m.kill(s.p)
	}
	*s = modelled{}
}

func (m *manyMachine) dieInBatch(t *rapid.T, owner int) {
	n := uint64(m.geo.Slots)
	slots := min(n-m.end%n, n-(m.end-m.published()), uint64(rapid.IntRange(1, 5).Draw(t, "slots")))
	if slots == 0 {
		return
	}
	at := m.claimAs(owner, slots)
	require.Equal(t, m.end, at)
	for inner := range slots - 1 {
		m.descriptor(at + 1 + inner).Store(committed(m.geo, at+1+inner, 3))
	}
	m.queue = append(m.queue, &claimed{by: owner, slots: slots, state: isDead})
	m.end += slots
}

// next drops what the consumer has to step over, and returns the claim that it must be at, nil for the end of all, and
// how many of the dead have been dropped.
func (m *manyMachine) next() (c *claimed, dead uint64) {
	for len(m.queue) > 0 {
		if c = m.queue[0]; c.state == isOpen || c.state == isSent {
			return c, dead
		}
		if c.state == isDead {
			dead++
		}
		m.queue = m.queue[1:]
	}
	return nil, dead
}

// look does what a call on the consumer may do, and checks what it gave: at the latest after 64 looks the dead are
// stepped over, and the end is heard.
func (m *manyMachine) look(t *rapid.T, call func() (msg []byte, ok bool, err error)) {
	msg, ok, err := call()
	for i := 0; !ok && err == nil && i < looks; i++ {
		msg, ok, err = call()
	}
	c, dead := m.next()
	m.recovered += dead
	switch {
	case c == nil && m.been && !m.anybody():
		require.Equal(t, io.EOF, err)
	case c == nil || c.state == isOpen:
		require.NoError(t, err)
		require.False(t, ok, "a record that nobody has sent")
	default:
		require.NoError(t, err)
		require.True(t, ok, "nothing, want a record of owner %d", c.by)
		require.True(t, bytes.Equal(c.msgs[0], msg), "another record")
		m.queue = m.queue[1:]
	}
}

func (m *manyMachine) anybody() bool {
	for _, s := range m.senders {
		if s.p != nil {
			return true
		}
	}
	return false
}

func (m *manyMachine) Receive(t *rapid.T) {
	if m.view != nil {
		t.Skip()
	}
	m.only(t, m.prod, func() {
		m.look(t, func() ([]byte, bool, error) { return m.c.TryReceive(nil) })
	})
}

func (m *manyMachine) Drain(t *rapid.T) {
	if m.view != nil {
		t.Skip()
	}
	for len(m.queue) > 0 && m.queue[0].state != isOpen {
		m.Receive(t)
	}
}

func (m *manyMachine) Next(t *rapid.T) {
	if m.view != nil {
		t.Skip()
	}
	m.only(t, m.prod, func() {
		m.look(t, func() (msg []byte, ok bool, err error) {
			v, ok, err := m.c.TryNext()
			if ok {
				m.view, m.viewed = &v, bytes.Clone(v.Bytes())
				msg = m.viewed
			}
			return msg, ok, err
		})
	})
}

func (m *manyMachine) Release(t *rapid.T) {
	if m.view == nil {
		t.Skip()
	}
	require.True(t, bytes.Equal(m.viewed, m.view.Bytes()), "a view has changed before its release")
	m.only(t, m.prod, m.view.Release)
	m.view = nil
}

// Check holds after every step: I2 and I12 as they can be seen from outside, and positions that never go back.
func (m *manyMachine) Check(t *rapid.T) {
	published := m.published()
	require.Less(t, published-m.last, uint64(1)<<62, "the published position went back")
	m.last = published
	require.LessOrEqual(t, m.end-published, uint64(m.geo.Slots), "I2")
	require.LessOrEqual(t, m.c.Position()-published, uint64(m.geo.Slots), "published beyond the consumer's own position")
	require.LessOrEqual(t, m.end-m.c.Position(), uint64(m.geo.Slots), "I2")
	require.Equal(t, m.recovered, m.c.Stats().Recovered)
	require.NoError(t, m.c.Err())
	for _, s := range m.senders {
		if s.p != nil {
			require.NoError(t, s.p.Err())
		}
	}
}

func TestMultiRingIsAQueuePerClaim(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		geo := rapid.SampledFrom(geometries).Draw(rt, "geometry")
		start := rapid.SampledFrom(manyStarts(geo)).Draw(rt, "start")
		mode := rapid.SampledFrom(waitModes).Draw(rt, "mode")
		m := &manyMachine{senders: [3]*modelled{{}, {}, {}}, end: start, last: start}
		m.crowd = newCrowd(t, geo, mode.tweak, startAt(start))
		m.pc.Stopped = func() error { return errWouldBlock }
		rt.Repeat(map[string]func(*rapid.T){
			"":          m.Check,
			"Join":      m.Join,
			"TrySend":   m.TrySend,
			"SendBatch": m.SendBatch,
			"TryClaim":  m.TryClaim,
			"EndClaim":  m.EndClaim,
			"Leave":     m.Leave,
			"Receive":   m.Receive,
			"Next":      m.Next,
			"Release":   m.Release,
			"Drain":     m.Drain,
		})
	})
}
