package shmwire_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCloseBetweenClaimAndCommitOfOthers: callers that wait for their turn while Close runs get net.ErrClosed, whether
// the claim or view before them was given back before or after it; they neither meet the claim, which panics, nor
// receive the viewed message a second time.
func TestCloseBetweenClaimAndCommitOfOthers(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for range 100 {
				a, b, err := shmwire.Pair(&k.cfg)
				require.NoError(t, err)
				mustSend(t, b, "viewed")
				r, err := a.Next(bg)
				require.NoError(t, err)
				cl, err := a.Claim(bg, 1)
				require.NoError(t, err)
				var waiting []<-chan result
				for range 3 {
					waiting = append(waiting,
						inBackground(func() (int, error) {
							if err := a.Send(bg, []byte("x")); err != nil {
								return 0, err
							}
							return 0, a.Send(bg, nil) // before Close it was allowed; this one comes later
						}),
						inBackground(func() (int, error) { m, err := a.Receive(bg, nil); return len(m), err }),
					)
				}
				var wg sync.WaitGroup
				start := make(chan struct{})
				for _, f := range []func(){func() { a.Close() }, func() { _ = cl.Commit() }, r.Release} {
					wg.Go(func() { <-start; f() })
				}
				close(start)
				wg.Wait()
				for i, w := range waiting {
					got := shmtest.Soon(t, w, "a call that waited for its turn")
					if i%2 == 1 { // a receiver
						require.ErrorIs(t, got.err, net.ErrClosed, "of the one message, which was lent before")
					}
				}
				require.NoError(t, b.Close())
			}
		})
	}
}

// TestEverythingAtOnceWithClose: many goroutines use both ends in every way while both are closed.
func TestEverythingAtOnceWithClose(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	ends := append([]error{net.ErrClosed}, io.EOF, io.ErrClosedPipe, os.ErrDeadlineExceeded, context.Canceled)
	seed := shmtest.Rand(t)
	spin := kind{"shm-spin", wished, shmwire.Config{Wait: shmwire.WaitSpin, RingBytes: 4096}}
	for _, k := range append(kinds[:len(kinds):len(kinds)], spin) {
		t.Run(k.name, func(t *testing.T) {
			for range 3 {
				a, b, err := shmwire.Pair(&k.cfg)
				require.NoError(t, err)
				var wg sync.WaitGroup
				started := make(chan struct{}, 64)
				use := func(c *shmwire.Conn, call func(*rand.Rand) error) {
					rnd := rand.New(rand.NewPCG(seed.Uint64(), 3))
					wg.Go(func() {
						for i := 0; ; i++ {
							err := call(rnd)
							if i == 0 {
								started <- struct{}{}
							}
							ok := err == nil
							for _, e := range ends {
								ok = ok || errors.Is(err, e)
							}
							if !ok {
								t.Errorf("%v", err)
							}
							if errors.Is(err, net.ErrClosed) {
								return
							}
						}
					})
				}
				n := 0
				for _, c := range []*shmwire.Conn{a, b} {
					for _, call := range []func(*rand.Rand) error{
						func(r *rand.Rand) error { return c.Send(bg, make([]byte, r.IntN(300))) },
						func(r *rand.Rand) error {
							ctx, cancel := context.WithCancel(bg)
							time.AfterFunc(time.Duration(r.IntN(100))*time.Microsecond, cancel)
							defer cancel()
							cl, err := c.Claim(ctx, r.IntN(1000))
							if err != nil {
								return err
							}
							clear(cl.Bytes())
							if r.IntN(4) == 0 {
								cl.Abort()
								return c.SetDeadline(time.Time{})
							}
							return cl.Commit()
						},
						func(r *rand.Rand) error { _, err := c.Write(make([]byte, r.IntN(5000))); return err },
						func(r *rand.Rand) error { _, err := c.Read(make([]byte, r.IntN(5000))); return err },
						func(r *rand.Rand) error { _, err := c.Receive(bg, nil); return err },
						func(r *rand.Rand) error {
							rec, err := c.Next(bg)
							if err == nil {
								_ = append([]byte(nil), rec.Bytes()...)
								rec.Release()
							}
							return err
						},
						func(*rand.Rand) error { c.Stats(); return c.SetWriteDeadline(time.Now().Add(time.Millisecond)) },
						func(*rand.Rand) error { c.Stats(); return c.SetReadDeadline(time.Now().Add(-time.Second)) },
						func(*rand.Rand) error { return c.SetDeadline(time.Time{}) },
					} {
						n++
						use(c, call)
					}
				}
				for range n {
					select {
					case <-started:
					case <-time.After(5 * time.Millisecond): // some wait for room
					}
				}
				// Both ends close at once, each from two goroutines.
				for range 2 {
					wg.Go(func() { a.Close() })
					wg.Go(func() { b.Close() })
				}
				wg.Wait()
			}
		})
	}
}

// TestLastUserFrees: view and claim are given back while Close runs; whoever is last frees, once.
func TestLastUserFrees(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for range 200 {
				a, b, err := shmwire.Pair(&k.cfg)
				require.NoError(t, err)
				mustSend(t, b, "view", "second")
				r, err := a.Next(bg)
				require.NoError(t, err)
				cl, err := a.Claim(bg, 10)
				require.NoError(t, err)
				start := make(chan struct{})
				var wg sync.WaitGroup
				for _, f := range []func(){
					func() {
						if string(r.Bytes()) != "view" {
							t.Error("the view changed")
						}
						r.Release()
					},
					func() { clear(cl.Bytes()); _ = cl.Commit() },
					func() { a.Close() },
					func() { a.Stats() },
					func() { _ = a.SetDeadline(time.Now()) },
					func() { b.Close() },
				} {
					wg.Go(func() { <-start; f() })
				}
				close(start)
				wg.Wait()
			}
		})
	}
}

// TestPanicInACallKeepsTheConnectionClosable: who recovers from a misuse can still close.
func TestPanicInACallKeepsTheConnectionClosable(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, _ *shmwire.Conn) {
		var none context.Context
		assert.Panics(t, func() { _ = a.Send(none, nil) })
		assert.Panics(t, func() { _, _ = a.Receive(none, nil) })
		closed := inBackground(func() (int, error) { return 0, a.Close() })
		shmtest.Soon(t, closed, "Close")
	})
}
