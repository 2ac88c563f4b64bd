package ring_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// watch is how long a test that can only hang may take.
const watch = 30 * time.Second

// uninterruptible hides the optional methods of a bell.
func uninterruptible(p, c *ring.Config) {
	p.Waiter = struct{ ring.Waiter }{p.Waiter}
	c.Waiter = struct{ ring.Waiter }{c.Waiter}
}

func neverParking(p, c *ring.Config) { p.Waiter, c.Waiter = nil, nil }

var waitModes = []struct {
	name  string
	tweak tweak
}{
	{"interruptible", func(p, c *ring.Config) {}},
	{"uninterruptible", uninterruptible},
	{"yielding", neverParking},
	{"spinning", spinning},
	{"spin strategy without waiter", func(p, c *ring.Config) {
		neverParking(p, c)
		p.Spin, c.Spin = lookTwice, lookTwice
	}},
	{"spin strategy, then park", func(p, c *ring.Config) { p.Spin, c.Spin = lookTwice, lookTwice }},
}

func lookTwice(look func() bool) bool {
	if look() {
		return true
	}
	return look()
}

func TestCallsBlockUntilThereIsSomething(t *testing.T) {
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, mode.tweak)
			got := make(chan string, 1)
			go func() {
				msg, err := r.c.Receive(context.Background(), nil)
				assert.NoError(t, err)
				got <- string(msg)
			}()
			shmtest.StillBlocked(t, got, "Receive on an empty ring")
			mustSend(t, r.p, []byte("first"))
			assert.Equal(t, "first", shmtest.Soon(t, got, "Receive"))
			for range 4 {
				mustSend(t, r.p, []byte("x"))
			}
			sent := make(chan error, 1)
			go func() { sent <- r.p.Send(context.Background(), []byte("fifth")) }()
			shmtest.StillBlocked(t, sent, "Send on a full ring")
			mustReceive(t, r.c, []byte("x"))
			require.NoError(t, shmtest.Soon(t, sent, "Send"))
		})
	}
}

func TestContextEndsAWait(t *testing.T) {
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			for _, name := range []string{"Receive", "Next", "Send", "Claim", "SendBatch"} {
				t.Run(name, func(t *testing.T) {
					r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, mode.tweak)
					fill(t, r.p)
					if name == "Receive" || name == "Next" {
						for i := range 4 {
							mustReceive(t, r.c, []byte{byte(i)})
						}
					}
					ctx, cancel := context.WithCancel(context.Background())
					done := make(chan error, 1)
					go func() { done <- blockingCall(r, name, ctx) }()
					shmtest.StillBlocked(t, done, name)
					cancel()
					require.ErrorIs(t, shmtest.Soon(t, done, name), context.Canceled)
					r.p.Close()
					r.c.Close()
				})
			}
		})
	}
}

func blockingCall(r *rig, name string, ctx context.Context) (err error) {
	switch name {
	case "Receive":
		_, err = r.c.Receive(ctx, nil)
	case "Next":
		_, err = r.c.Next(ctx)
	case "Send":
		err = r.p.Send(ctx, nil)
	case "Claim":
		_, err = r.p.Claim(ctx, 1)
	default:
		_, err = r.p.SendBatch(ctx, [][]byte{nil})
	}
	return err
}

func TestContextAlreadyDoneDoesNothing(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	mustSend(t, r.p, []byte("kept"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, name := range []string{"Receive", "Next", "Send", "Claim", "SendBatch"} {
		require.ErrorIs(t, blockingCall(r, name, ctx), context.Canceled, name)
	}
	mustReceive(t, r.c, []byte("kept"))
	mustFindNothing(t, r.c)
}

// oddContext cannot be compared with ==.
type oddContext struct {
	context.Context
	_ []int
}

func TestContextsNeedNotBeComparable(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	for range 2 {
		inner, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { _, err := r.c.Next(oddContext{Context: inner}); done <- err }()
		shmtest.Eventually(t, "the consumer sleeps", func() bool { return mem.Uint32At(r.cons, ring.ConsumerSleepingOffset).Load() == 1 })
		cancel()
		require.ErrorIs(t, shmtest.Soon(t, done, "Next"), context.Canceled)
	}
}

// One context after another on one handle: each must still end its own call.
func TestContextsOneAfterAnother(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	for i := range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { _, err := r.c.Receive(ctx, nil); done <- err }()
		if i%2 == 0 {
			shmtest.Eventually(t, "the consumer sleeps", func() bool { return mem.Uint32At(r.cons, ring.ConsumerSleepingOffset).Load() == 1 })
		}
		cancel()
		require.ErrorIs(t, shmtest.Soon(t, done, "Receive"), context.Canceled)
	}
}

func TestStoppedEndsAWaitAfterOneMoreLook(t *testing.T) {
	stop := errors.New("stop")
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			var r *rig
			sendFirst := true
			r = newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, mode.tweak, func(_, c *ring.Config) {
				c.Stopped = func() error {
					if sendFirst {
						sendFirst = false
						mustSend(t, r.p, []byte("just in time"))
					}
					return stop
				}
			})
			msg, err := r.c.Receive(context.Background(), nil)
			require.NoError(t, err)
			assert.Equal(t, "just in time", string(msg))
			_, err = r.c.Receive(context.Background(), nil)
			require.ErrorIs(t, err, stop)
		})
	}
}

// recorder is a Waiter that says what it was asked.
type recorder struct {
	calls    []string
	timeouts []time.Duration
	fruits   []bool
	onWait   func() error
}

func (w *recorder) Load() uint32 { w.calls = append(w.calls, "load"); return 7 }
func (w *recorder) Wait(value uint32, timeout time.Duration) error {
	w.calls = append(w.calls, "wait")
	w.timeouts = append(w.timeouts, timeout)
	if value != 7 {
		return errors.New("another value")
	}
	return w.onWait()
}
func (w *recorder) Woke(fruitful bool) { w.fruits = append(w.fruits, fruitful) }

type interruptibleRecorder struct{ *recorder }

func (interruptibleRecorder) Interrupt() {}

func TestEveryWaitRunsTheWholeSequence(t *testing.T) {
	var r *rig
	w := &recorder{}
	sleeping := 0
	w.onWait = func() error {
		sleeping += int(mem.Uint32At(r.cons, ring.ConsumerSleepingOffset).Load())
		if len(w.timeouts) == 4 {
			mustSend(t, r.p, nil)
		}
		return nil
	}
	r = newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, func(_, c *ring.Config) {
		c.Waiter = w
		c.Timeout = func() time.Duration { w.calls = append(w.calls, "timeout"); return 3 * time.Second }
		c.Stopped = func() error {
			w.calls = append(w.calls, "stopped:"+map[bool]string{true: "announced", false: "awake"}[mem.Uint32At(r.cons, ring.ConsumerSleepingOffset).Load() == 1])
			return nil
		}
	})
	_, err := r.c.Receive(context.Background(), nil)
	require.NoError(t, err)
	var want []string
	for range 4 {
		want = append(want, "stopped:awake", "load", "stopped:announced", "timeout", "wait")
	}
	assert.Equal(t, want, w.calls)
	assert.Equal(t, []bool{false, false, false, true}, w.fruits)
	assert.Equal(t, 4, sleeping)
	assert.Equal(t, uint64(4), r.word(r.cons, ring.ConsumerParksOffset).Load())
	assert.Equal(t, uint32(0), mem.Uint32At(r.cons, ring.ConsumerSleepingOffset).Load())
	assert.Equal(t, uint64(4), r.c.Stats().Parks)
	assert.Equal(t, uint64(1), r.c.Stats().Waits)
}

func TestLookAfterTheAnnouncementFindsWhatCameInBetween(t *testing.T) {
	var r *rig
	w := &recorder{onWait: func() error { t.Error("slept although there was a record"); return nil }}
	r = newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, func(_, c *ring.Config) {
		c.Waiter = w
		c.Stopped = func() error {
			if mem.Uint32At(r.cons, ring.ConsumerSleepingOffset).Load() == 1 {
				mustSend(t, r.p, []byte("between"))
			}
			return nil
		}
	})
	msg, err := r.c.Receive(context.Background(), nil)
	require.NoError(t, err)
	assert.Equal(t, "between", string(msg))
}

func TestTimeouts(t *testing.T) {
	background, cancelable := context.Background(), contextWithCancel(t)
	for _, tt := range []struct {
		name      string
		ctx       context.Context
		timeout   func() time.Duration
		interrupt bool
		want      time.Duration
	}{
		{"none", background, nil, false, -1},
		{"own", background, func() time.Duration { return time.Hour }, false, time.Hour},
		{"own, none", background, func() time.Duration { return -5 }, false, -5},
		{"context without Interrupt", cancelable, nil, false, 50 * time.Millisecond},
		{"context without Interrupt, own longer", cancelable, func() time.Duration { return time.Hour }, false, 50 * time.Millisecond},
		{"context without Interrupt, own shorter", cancelable, func() time.Duration { return 3 }, false, 3},
		{"context with Interrupt", cancelable, nil, true, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r *rig
			w := &recorder{onWait: func() error { mustSend(t, r.p, nil); return nil }}
			r = newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, func(_, c *ring.Config) {
				c.Waiter, c.Timeout = w, tt.timeout
				if tt.interrupt {
					c.Waiter = interruptibleRecorder{w}
				}
			})
			_, err := r.c.Receive(tt.ctx, nil)
			require.NoError(t, err)
			assert.Equal(t, []time.Duration{tt.want}, w.timeouts)
			r.c.Close()
		})
	}
}

func contextWithCancel(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx
}

func TestBrokenWaiterEndsTheCall(t *testing.T) {
	broken := errors.New("bad descriptor")
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, func(_, c *ring.Config) {
		c.Waiter = &recorder{onWait: func() error { return broken }}
	})
	_, err := r.c.Receive(context.Background(), nil)
	require.ErrorIs(t, err, broken)
	require.NoError(t, r.c.Err(), "not the peer's fault")
	mustSend(t, r.p, []byte("goes on"))
	mustReceive(t, r.c, []byte("goes on"))
}

// space.pml: the largest records, taken lazily, never leave both sides waiting for each other.
func TestLazilyPublishedSpaceNeverDeadlocks(t *testing.T) {
	for _, mode := range waitModes {
		for _, geo := range []ring.Geometry{{Slots: 2, SlotBytes: 16}, {Slots: 4, SlotBytes: 16}, {Slots: 32, SlotBytes: 16}} {
			t.Run(mode.name, func(t *testing.T) {
				r := newRig(t, geo, mode.tweak)
				const total = 300
				sizes := []int{geo.MaxRecord(), geo.MaxRecord() - 16 + 1, 1, geo.MaxRecord() - 1}
				done := make(chan error, 1)
				go func() {
					for i := range total {
						if err := r.p.Send(context.Background(), make([]byte, sizes[i%len(sizes)])); err != nil {
							done <- err
							return
						}
					}
					r.p.Close()
					done <- nil
				}()
				got := make(chan int, 1)
				go func() {
					n := 0
					for range r.c.Messages(context.Background()) {
						n++
					}
					got <- n
				}()
				require.NoError(t, shmtest.Soon(t, done, "the producer"))
				require.Equal(t, total, shmtest.Soon(t, got, "the consumer"))
			})
		}
	}
}

func TestCallDuringAWaitPanics(t *testing.T) {
	var r *rig
	var got []any
	during := func(call func()) func() error {
		return func() error {
			defer func() { got = append(got, recover()) }()
			call()
			return nil
		}
	}
	r = newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16}, func(p, c *ring.Config) {
		p.Stopped = during(func() { _, _ = r.p.TrySend(nil) })
		c.Stopped = during(func() { r.c.Close() })
		p.Waiter = &recorder{onWait: func() error { _, _, err := r.c.TryReceive(nil); return err }}
		c.Waiter = &recorder{onWait: func() error { _, err := r.p.TrySend(nil); return err }}
	})
	n := fill(t, r.p)
	require.NoError(t, r.p.Send(context.Background(), nil))
	for range n {
		_, _, err := r.c.TryReceive(nil)
		require.NoError(t, err)
	}
	_, err := r.c.Receive(context.Background(), nil)
	require.NoError(t, err)
	require.Len(t, got, 4, "before and after each announcement")
	assert.Contains(t, got[0], "TrySend at position 4 while another call on the producer waits")
	assert.Contains(t, got[3], "Close at position 5 while another call on the consumer waits")
}
