package ring_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// machine drives both sides of a ring from one goroutine, beside a plain queue of what was sent.
type machine struct {
	*rig
	queue   []item // committed, not yet taken
	taken   []item // but not known to be given back: a new consumer gets them again
	sent    uint32
	claim   *ring.Claim
	claimed []byte
	view    *ring.Record
	closed  bool

	lastPublished uint64
}

// item is a message and the position behind its record.
type item struct {
	msg []byte
	end uint64
}

var errWouldBlock = errors.New("would block")

// committed notes messages that were sent from position at on.
func (m *machine) committed(at uint64, msgs ...[]byte) {
	h := history{rig: m.rig}
	h.add(at, msgs...)
	for i, msg := range msgs {
		m.queue = append(m.queue, item{msg, h.ends[i]})
	}
}

func (m *machine) message(t *rapid.T) []byte {
	m.sent++
	longest := m.geo.MaxRecord()
	n := rapid.OneOf(rapid.IntRange(0, min(longest, 3*m.geo.SlotBytes)), rapid.IntRange(0, longest)).Draw(t, "length")
	return message(m.sent, n)
}

// only runs f, which works for the side that owns region own, and checks that it did not write the other's.
func (m *machine) only(t *rapid.T, other []byte, f func()) {
	before := bytes.Clone(other)
	f()
	if !bytes.Equal(before, other) {
		t.Fatalf("the other side's region was written")
	}
}

// mayFail says whether a send of n bytes may find no space: only if more than the ring less a padding is in use.
func (m *machine) mayFail(n int) bool {
	used := m.p.Position() - m.word(m.cons, ring.ConsumerPositionOffset).Load()
	return used+2*m.slots(n) > uint64(m.geo.Slots)
}

func (m *machine) TrySend(t *rapid.T) {
	if m.claim != nil || m.closed {
		t.Skip()
	}
	msg := m.message(t)
	m.only(t, m.cons, func() {
		mayFail, at := m.mayFail(len(msg)), m.p.Position()
		ok, err := m.p.TrySend(msg)
		require.NoError(t, err)
		if ok {
			m.committed(at, msg)
		} else {
			require.True(t, mayFail, "no space for %d bytes", len(msg))
		}
	})
}

func (m *machine) SendBatch(t *rapid.T) {
	if m.claim != nil || m.closed {
		t.Skip()
	}
	msgs := make([][]byte, rapid.IntRange(0, 6).Draw(t, "messages"))
	for i := range msgs {
		msgs[i] = m.message(t)
	}
	m.only(t, m.cons, func() {
		at := m.p.Position()
		n, err := m.p.SendBatch(context.Background(), msgs)
		if n < len(msgs) {
			require.ErrorIs(t, err, errWouldBlock)
			require.True(t, m.mayFail(len(msgs[n])))
		} else {
			require.NoError(t, err)
		}
		m.committed(at, msgs[:n]...)
	})
}

func (m *machine) TryClaim(t *rapid.T) {
	if m.claim != nil || m.closed {
		t.Skip()
	}
	msg := m.message(t)
	m.only(t, m.cons, func() {
		mayFail := m.mayFail(len(msg))
		c, ok, err := m.p.TryClaim(len(msg))
		require.NoError(t, err)
		if !ok {
			require.True(t, mayFail, "no space for %d bytes", len(msg))
			return
		}
		require.Len(t, c.Bytes(), len(msg))
		copy(c.Bytes(), msg)
		m.claim, m.claimed = &c, msg
	})
}

func (m *machine) EndClaim(t *rapid.T) {
	if m.claim == nil || m.closed {
		t.Skip()
	}
	m.only(t, m.cons, func() {
		if rapid.Bool().Draw(t, "commit") {
			at := m.p.Position()
			m.claim.Commit()
			m.committed(at, m.claimed)
		} else {
			m.claim.Abort()
		}
	})
	m.claim = nil
}

// took compares what a call on the consumer gave with the queue.
func (m *machine) took(t *rapid.T, msg []byte, ok bool, err error) {
	switch {
	case len(m.queue) == 0 && m.closed:
		require.Equal(t, io.EOF, err)
	case len(m.queue) == 0:
		require.NoError(t, err)
		require.False(t, ok, "a record that nobody sent")
	default:
		require.NoError(t, err)
		require.True(t, ok, "%d records are not there", len(m.queue))
		m.takes(t, msg)
	}
}

// takes compares a message that was taken with the queue.
func (m *machine) takes(t *rapid.T, msg []byte) {
	require.NotEmpty(t, m.queue, "a record that nobody sent")
	require.True(t, bytes.Equal(m.queue[0].msg, msg), "another record")
	m.taken, m.queue = append(m.taken, m.queue[0]), m.queue[1:]
}

func (m *machine) TryReceive(t *rapid.T) {
	if m.view != nil {
		t.Skip()
	}
	m.only(t, m.prod, func() {
		msg, ok, err := m.c.TryReceive(nil)
		m.took(t, msg, ok, err)
	})
}

func (m *machine) TakeAll(t *rapid.T) {
	if m.view != nil {
		t.Skip()
	}
	for len(m.queue) > 0 {
		m.TryReceive(t)
	}
}

func (m *machine) TryNext(t *rapid.T) {
	if m.view != nil {
		t.Skip()
	}
	m.only(t, m.prod, func() {
		v, ok, err := m.c.TryNext()
		var msg []byte
		if ok {
			msg, m.view = v.Bytes(), &v
		}
		m.took(t, msg, ok, err)
	})
}

func (m *machine) Release(t *rapid.T) {
	if m.view == nil {
		t.Skip()
	}
	m.only(t, m.prod, m.view.Release)
	m.view = nil
}

func (m *machine) Close(t *rapid.T) {
	if m.closed || rapid.IntRange(0, 30).Draw(t, "close at 0") != 0 {
		t.Skip()
	}
	m.p.Close()
	m.closed = true
}

// Check holds after every step: I2, and a published position that never goes back and never says too much.
func (m *machine) Check(t *rapid.T) {
	published := m.word(m.cons, ring.ConsumerPositionOffset).Load()
	p, c := m.p.Position(), m.c.Position()
	require.LessOrEqual(t, p-c, uint64(m.geo.Slots), "I2")
	require.LessOrEqual(t, p-published, uint64(m.geo.Slots))
	require.LessOrEqual(t, c-published, uint64(m.geo.Slots), "published beyond the consumer's own position")
	require.Less(t, published-m.lastPublished, uint64(1)<<62, "the published position went back")
	m.lastPublished = published
	for len(m.taken) > 0 && int64(published-m.taken[0].end) >= 0 {
		m.taken = m.taken[1:]
	}
	require.NoError(t, m.p.Err())
	require.NoError(t, m.c.Err())
}

func TestRingIsAQueue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		geo := rapid.SampledFrom(geometries).Draw(rt, "geometry")
		start := rapid.SampledFrom(starts(geo)).Draw(rt, "start")
		mode := rapid.SampledFrom(waitModes).Draw(rt, "mode")
		m := &machine{lastPublished: start}
		m.rig = newRig(t, geo, mode.tweak, startAt(start), func(p, _ *ring.Config) {
			p.Stopped = func() error { return errWouldBlock }
		})
		rt.Repeat(map[string]func(*rapid.T){
			"":           m.Check,
			"TrySend":    m.TrySend,
			"SendBatch":  m.SendBatch,
			"TryClaim":   m.TryClaim,
			"EndClaim":   m.EndClaim,
			"TryReceive": m.TryReceive,
			"TryNext":    m.TryNext,
			"Release":    m.Release,
			"TakeAll":    m.TakeAll,
			"Close":      m.Close,
			"TryDrain":   m.TryDrain,
			"TryRead":    m.TryRead,
			"Peek":       m.Peek,

			"RestartProducer": m.RestartProducer,
			"RestartConsumer": m.RestartConsumer,
		})
	})
}
