package ring_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// collector gathers what a handler is given.
type collector struct {
	got  []string
	at   []uint64
	c    *ring.Consumer
	then func(n int) error // what the handler does after the nth
}

func (h *collector) handle(msg []byte) error {
	h.got, h.at = append(h.got, string(msg)), append(h.at, h.c.Position())
	if h.then == nil {
		return nil
	}
	return h.then(len(h.got))
}

// withMessages returns a ring of 16 slots with the messages, from the given position on.
func withMessages(t *testing.T, start uint64, msgs ...string) (*rig, *collector) {
	t.Helper()
	r := newRig(t, ring.Geometry{Slots: 16, SlotBytes: 16}, startAt(start))
	for _, msg := range msgs {
		mustSend(t, r.p, []byte(msg))
	}
	return r, &collector{c: r.c}
}

func TestDrainTakesAllThereIs(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		rng := shmtest.Rand(t)
		for range 30 {
			var want []string
			for {
				msg := message(rng.Uint32(), rng.IntN(r.geo.MaxRecord()+1))
				if ok, err := r.p.TrySend(msg); !ok {
					require.NoError(t, err)
					break
				}
				want = append(want, string(msg))
			}
			h := &collector{c: r.c}
			n, err := r.c.TryDrain(1000, h.handle)
			require.NoError(t, err)
			require.Equal(t, len(want), n)
			require.True(t, equal(want, h.got))
			require.Equal(t, r.p.Position(), r.c.Position())
			require.Equal(t, r.p.Position(), r.published())
		}
		n, err := r.c.TryDrain(1, (&collector{c: r.c}).handle)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, r.p.Stats().Records, r.c.Stats().Records)
		require.Equal(t, r.p.Stats().Bytes, r.c.Stats().Bytes)
		require.Equal(t, r.p.Stats().Skips, r.c.Stats().Skips)
	})
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestShouldLimitReadOfMessages(t *testing.T) {
	r, h := withMessages(t, 0, "a", "b", "c", "d")
	for _, want := range []string{"a", "b", "c"} {
		n, err := r.c.TryDrain(1, h.handle)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, want, h.got[len(h.got)-1])
	}
	n, err := r.c.TryRead(1, func([]byte) ring.Action { return ring.Continue })
	require.NoError(t, err)
	require.Equal(t, 1, n)
	mustFindNothing(t, r.c)
}

func TestDrainTellsPositions(t *testing.T) {
	r, h := withMessages(t, 1<<64-3, "a", string(message(1, 40)), "b")
	_, err := r.c.TryDrain(9, h.handle)
	require.NoError(t, err)
	assert.Equal(t, []uint64{1<<64 - 3, 0, 3}, h.at, "three slots behind a padding of two")
}

func TestDrainPublishesOnceOrEveryEighth(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 64, SlotBytes: 16})
	fill(t, r.p)
	var published []uint64
	_, err := r.c.TryDrain(20, func([]byte) error {
		published = append(published, r.published())
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, []uint64{0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8, 16, 16, 16, 16}, published)
	assert.Equal(t, uint64(20), r.published())
}

// The message that the handler failed on comes again, and those before it do not.
func TestDrainStopsAtTheHandlersError(t *testing.T) {
	failed := errors.New("disk full")
	for at := 1; at <= 3; at++ {
		r, h := withMessages(t, 0, "a", "b", "c")
		h.then = func(n int) error {
			if n == at {
				return failed
			}
			return nil
		}
		n, err := r.c.TryDrain(9, h.handle)
		require.Equal(t, failed, err)
		require.Equal(t, at-1, n)
		require.Equal(t, uint64(at-1), r.published())
		for _, want := range []string{"a", "b", "c"}[at-1:] {
			mustReceive(t, r.c, []byte(want))
		}
	}
}

// Agrona's ring calls a handler's panic an exception. What was handled before it is taken, and the message is not.
func TestShouldCopeWithExceptionFromHandler(t *testing.T) {
	for name, take := range map[string]func(r *rig, h *collector){
		"drain": func(r *rig, h *collector) { _, _ = r.c.TryDrain(9, h.handle) },
		"read": func(r *rig, h *collector) {
			_, _ = r.c.TryRead(9, func(msg []byte) ring.Action { _ = h.handle(msg); return ring.Continue })
		},
		"action that is none": func(r *rig, h *collector) {
			h.then = nil
			_, _ = r.c.TryRead(9, func(msg []byte) ring.Action { _ = h.handle(msg); return ring.Action(len(h.got) / 2 * 4) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, h := withMessages(t, 7, "a", "b", "c")
			h.then = func(n int) error {
				if n == 2 {
					panic("action 4")
				}
				return nil
			}
			assert.Contains(t, panicOf(t, func() { take(r, h) }), "action 4")
			assert.Equal(t, []string{"a", "b"}, h.got)
			assert.Equal(t, uint64(8), r.published())
			mustReceive(t, r.c, []byte("b"))
			mustReceive(t, r.c, []byte("c"))
			mustFindNothing(t, r.c)
		})
	}
}

func TestDrainWaitsForTheFirstMessage(t *testing.T) {
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, mode.tweak)
			for name, wait := range map[string]func(ctx context.Context) (int, error){
				"Drain": func(ctx context.Context) (int, error) { return r.c.Drain(ctx, 9, func([]byte) error { return nil }) },
				"Read": func(ctx context.Context) (int, error) {
					return r.c.Read(ctx, 9, func([]byte) ring.Action { return ring.Continue })
				},
			} {
				done := make(chan int, 1)
				go func() { n, err := wait(context.Background()); fail(t, err); done <- n }()
				shmtest.StillBlocked(t, done, name)
				mustSend(t, r.p, []byte("x"))
				assert.Equal(t, 1, shmtest.Soon(t, done, name))

				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { _, err := wait(ctx); ended <- err }()
				shmtest.StillBlocked(t, ended, name)
				cancel()
				require.ErrorIs(t, shmtest.Soon(t, ended, name), context.Canceled)
				_, err := wait(ctx)
				require.ErrorIs(t, err, context.Canceled, "already done")
			}
			r.c.Close()
		})
	}
}

// What ends the stream is told when nothing is before it.
func TestDrainTellsTheEndLast(t *testing.T) {
	r, h := withMessages(t, 0, "a", "b")
	r.p.Close()
	n, err := r.c.TryDrain(9, h.handle)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for range 2 {
		n, err = r.c.TryDrain(9, h.handle)
		require.Equal(t, io.EOF, err)
		require.Zero(t, n)
		_, err = r.c.Read(context.Background(), 9, func([]byte) ring.Action { return ring.Continue })
		require.Equal(t, io.EOF, err)
	}

	r, h = withMessages(t, 0, "a")
	r.descriptor(1).Store(desc(r.geo, 1, 1, 1))
	n, err = r.c.TryDrain(9, h.handle)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = r.c.TryDrain(9, h.handle)
	require.ErrorIs(t, err, ring.ErrCorrupt)
	_, err = r.c.TryRead(9, func([]byte) ring.Action { return ring.Continue })
	require.ErrorIs(t, err, ring.ErrCorrupt)
	require.Equal(t, []string{"a"}, h.got)
}

func TestCloseByTheHandlerEndsADrain(t *testing.T) {
	r, h := withMessages(t, 0, "a", "b", "c")
	h.then = func(n int) error {
		if n == 2 {
			r.c.Close()
		}
		return nil
	}
	n, err := r.c.TryDrain(9, h.handle)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, uint64(1), r.published(), "as with Release after Close")
	_, err = r.c.TryDrain(9, h.handle)
	assert.ErrorIs(t, err, os.ErrClosed)
}

func TestDrainMisusePanicsWithTheValues(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		do         func(r *rig)
	}{
		{"drain of nothing", "TryDrain of 0 messages", func(r *rig) { _, _ = r.c.TryDrain(0, nil) }},
		{"read of less", "TryRead of -3 messages", func(r *rig) { _, _ = r.c.TryRead(-3, nil) }},
		{"drain during view", "TryDrain while the record at position 0 is not released", func(r *rig) {
			_, _, _ = r.c.TryNext()
			_, _ = r.c.TryDrain(1, nil)
		}},
		{"receive in a handler", "TryReceive while the record at position 0 is not released", func(r *rig) {
			_, _ = r.c.TryDrain(1, func([]byte) error { _, _, err := r.c.TryReceive(nil); return err })
		}},
		{"drain in a handler", "TryDrain while the record at position 0", func(r *rig) {
			_, _ = r.c.TryRead(1, func([]byte) ring.Action { _, _ = r.c.TryDrain(1, nil); return ring.Break })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := withMessages(t, 0, "a")
			assert.Contains(t, panicOf(t, func() { tt.do(r) }), tt.want)
		})
	}
}

// A producer that rewrites descriptors for ever cannot keep a call going: it has given nothing free.
func TestDrainEndsAfterARingFull(t *testing.T) {
	for name, take := range map[string]func(c *ring.Consumer, each func()) (int, error){
		"drain": func(c *ring.Consumer, each func()) (int, error) {
			return c.TryDrain(1000, func([]byte) error { each(); return nil })
		},
		"read": func(c *ring.Consumer, each func()) (int, error) {
			return c.TryRead(1000, func([]byte) ring.Action { each(); return ring.Continue })
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, bytes := range []uint64{1, 33} { // one slot, three slots
				r := newRig(t, ring.Geometry{Slots: 16, SlotBytes: 16})
				slots := r.slots(int(bytes))
				r.descriptor(0).Store(committed(r.geo, 0, bytes))
				next := slots
				n, err := take(r.c, func() {
					if left := 16 - next%16; left < slots {
						r.descriptor(next).Store(desc(r.geo, next, left, 3))
						next += left
					}
					r.descriptor(next).Store(committed(r.geo, next, bytes))
					next += slots
				})
				require.NoError(t, err)
				require.LessOrEqual(t, uint64(n)*slots, uint64(16))
				require.LessOrEqual(t, r.c.Position(), uint64(16))
				require.Greater(t, uint64(n)*slots, uint64(12))
			}
		})
	}
}

func TestDrainObeysDrainAtMost(t *testing.T) {
	r, h := withMessages(t, 0, "a", "b", "c", "d")
	r.c.DrainAtMost(3)
	n, err := r.c.TryDrain(9, h.handle)
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	n, err = r.c.TryRead(9, func([]byte) ring.Action { return ring.Continue })
	require.NoError(t, err)
	assert.Zero(t, n)
}
