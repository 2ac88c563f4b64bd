package ring_test

import (
	"bytes"
	"errors"
	"io"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var errHandler = errors.New("handler failed")

// endOf checks what a call returned that takes several messages, of which the handler saw seen and took n.
func (m *machine) endOf(t *rapid.T, n, taken, waiting, limit int, stopped bool, err error) {
	require.Equal(t, taken, n)
	switch {
	case waiting == 0 && m.closed:
		require.Equal(t, io.EOF, err)
	case !stopped:
		require.NoError(t, err)
		require.Equal(t, min(limit, waiting), n, "all there were, or as many as were asked for")
	}
	require.Equal(t, m.c.Position(), m.published(), "given back")
}

// TryDrain takes a few messages and may fail in the middle.
func (m *machine) TryDrain(t *rapid.T) {
	if m.view != nil {
		t.Skip()
	}
	limit, failAt := rapid.IntRange(1, 8).Draw(t, "limit"), rapid.IntRange(0, 12).Draw(t, "fail at")
	waiting, taken, failed := len(m.queue), 0, false
	m.only(t, m.prod, func() {
		n, err := m.c.TryDrain(limit, func(msg []byte) error {
			if taken == failAt {
				failed = true
				require.True(t, bytes.Equal(m.queue[0].msg, msg))
				return errHandler
			}
			m.takes(t, msg)
			taken++
			return nil
		})
		if failed {
			require.Equal(t, errHandler, err)
		}
		m.endOf(t, n, taken, waiting, limit, failed, err)
	})
}

// TryRead takes a few messages under control.
func (m *machine) TryRead(t *rapid.T) {
	if m.view != nil {
		t.Skip()
	}
	limit := rapid.IntRange(1, 8).Draw(t, "limit")
	waiting, taken, stopped := len(m.queue), 0, false
	given := m.published()
	m.only(t, m.prod, func() {
		n, err := m.c.TryRead(limit, func(msg []byte) ring.Action {
			require.Equal(t, given, m.published(), "given back without Commit")
			a := rapid.SampledFrom([]ring.Action{ring.Continue, ring.Continue, ring.Commit, ring.Break, ring.Rewind}).Draw(t, "action")
			if stopped = a >= ring.Break; a == ring.Rewind {
				require.True(t, bytes.Equal(m.queue[0].msg, msg))
				return a
			}
			m.takes(t, msg)
			taken++
			if a == ring.Commit {
				given = m.taken[len(m.taken)-1].end
			}
			return a
		})
		m.endOf(t, n, taken, waiting, limit, stopped, err)
	})
}

// neither runs f, which works for an inspector, and checks that it wrote nothing.
func (m *machine) neither(t *rapid.T, f func()) {
	m.only(t, m.prod, func() { m.only(t, m.cons, f) })
}

// Peek sees what a new consumer would get, and touches nothing.
func (m *machine) Peek(t *rapid.T) {
	m.neither(t, func() {
		all := append(append([]item(nil), m.taken...), m.queue...)
		for len(all) > 0 && int64(m.published()-all[0].end) >= 0 {
			all = all[1:]
		}
		seen, err := ring.Peek(m.prod, m.cons, m.geo, len(all)+1, m.geo.MaxRecord())
		require.NoError(t, err)
		require.Len(t, seen, len(all))
		for i, w := range seen {
			require.True(t, bytes.Equal(all[i].msg, w.Message))
		}
	})
}

// RestartProducer has the producer die, perhaps inside a batch, and makes a new one.
func (m *machine) RestartProducer(t *rapid.T) {
	n := uint64(m.geo.Slots)
	pos, free := m.p.Position(), n-(m.p.Position()-m.published())
	for range rapid.IntRange(0, 4).Draw(t, "left behind") {
		if free < 2 || m.closed {
			break
		}
		at := pos + rapid.Uint64Range(1, free-1).Draw(t, "at")
		left := n - at%n
		m.descriptor(at).Store(desc(m.geo, at, rapid.Uint64Range(0, left*uint64(m.geo.SlotBytes)).Draw(t, "length"), 2))
	}
	m.only(t, m.cons, func() {
		p, err := ring.NewProducer(m.prod, m.cons, resumed(m.pc))
		require.NoError(t, err)
		m.p = p
	})
	m.claim = nil
	if m.closed { // the consumer may have seen the end, and does not look again
		m.closed = false
		m.RestartConsumer(t)
		return
	}
	require.Equal(t, pos, m.p.Position())
}

// RestartConsumer has the consumer die and makes a new one, which gets again what was not given back.
func (m *machine) RestartConsumer(t *rapid.T) {
	given := m.published()
	m.only(t, m.prod, func() {
		c, err := ring.NewConsumer(m.cons, m.prod, resumed(m.cc))
		require.NoError(t, err)
		m.c = c
	})
	require.Equal(t, given, m.c.Position())
	require.Equal(t, given, mem.Uint64At(m.cons, ring.ConsumerPositionOffset).Load())
	for len(m.taken) > 0 && int64(given-m.taken[0].end) >= 0 {
		m.taken = m.taken[1:]
	}
	m.queue, m.taken = append(m.taken, m.queue...), nil
	m.view = nil
}
