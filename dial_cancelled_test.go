package shmwire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/require"
)

// TestDialEndsAtAnyMoment: a Dial that is cancelled at a random time leaves nothing at either end.
func TestDialEndsAtAnyMoment(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			cfg := k.cfg
			cfg.HandshakeTimeout = time.Hour
			ln, path := mustListen(t, &cfg)
			var accepted sync.WaitGroup
			accepted.Go(func() {
				for {
					c, err := ln.AcceptConn()
					if err != nil {
						return
					}
					accepted.Go(func() {
						_, err := c.Receive(bg, nil)
						if err != io.EOF && !errors.Is(err, shmwire.ErrPeerDied) {
							t.Errorf("accepted: %v", err)
						}
						c.Close()
					})
				}
			})
			before := shmtest.FDs(t)
			rnd := shmtest.Rand(t)
			made := 0
			for range 400 {
				ctx, cancel := context.WithCancel(bg)
				time.AfterFunc(time.Duration(rnd.IntN(600))*time.Microsecond, cancel)
				c, err := shmwire.Dial(ctx, path, &cfg)
				if err == nil {
					made++
					require.NoError(t, c.Close())
				} else if !errors.Is(err, context.Canceled) {
					t.Logf("%v", err)
				}
				cancel()
			}
			t.Log(made, "of 400 were made")
			shmtest.Eventually(t, "descriptors closed", func() bool { return len(shmtest.FDs(t)) <= len(before) })
			require.NoError(t, ln.Close())
			accepted.Wait()
		})
	}
}

// trap is a context that ends when it is asked for its Done channel for the n-th time.
type trap struct {
	context.Context
	end func()
	n   atomic.Int32
}

func (c *trap) Done() <-chan struct{} {
	if c.n.Add(-1) == 0 {
		c.end()
	}
	return c.Context.Done()
}

// TestDialOfASilentServerEndsAtAnyMoment: whenever the context ends, Dial does not wait for the handshake's time-out.
func TestDialOfASilentServerEndsAtAnyMoment(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	silent, err := net.Listen("unix", shmtest.SocketPath(t))
	require.NoError(t, err)
	defer silent.Close()
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	for i := range 8000 {
		ctx, cancel := context.WithCancel(bg)
		c := &trap{Context: ctx, end: cancel}
		c.n.Store(1 + int32(i)%8)
		backstop := time.AfterFunc(time.Millisecond, cancel) // it may not be asked that often
		_, err := shmwire.Dial(c, silent.Addr().String(), &shmwire.Config{HandshakeTimeout: time.Hour})
		require.ErrorIs(t, err, context.Canceled)
		backstop.Stop()
	}
}

// TestListenerClosesDuringHandshakes: Close ends handshakes at whatever point they are.
func TestListenerClosesDuringHandshakes(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	rnd := shmtest.Rand(t)
	for range 300 {
		path := shmtest.SocketPath(t)
		ln, err := shmwire.Listen(path, &shmwire.Config{HandshakeTimeout: time.Hour})
		require.NoError(t, err)
		var raw []net.Conn
		for range 1 + rnd.IntN(8) {
			c, err := net.Dial("unix", path)
			require.NoError(t, err)
			raw = append(raw, c)
		}
		require.NoError(t, ln.Close())
		for _, c := range raw {
			c.Close()
		}
	}
}

// TestBudgetIsGivenBackWhateverHappens: clients that vanish at any point of the handshake, and connections that end in
// any way, leave nothing booked.
func TestBudgetIsGivenBackWhateverHappens(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	ln, path := mustListen(t, &shmwire.Config{MaxBytes: 1 << 20, HandshakeTimeout: 5 * time.Second})
	go func() {
		for {
			c, err := ln.AcceptConn()
			if err != nil {
				return
			}
			go func() {
				r, err := c.Next(bg)
				c.Close()
				if err == nil {
					r.Release()
				}
			}()
		}
	}()
	rnd := shmtest.Rand(t)
	for range 300 {
		ctx, cancel := context.WithCancel(bg)
		time.AfterFunc(time.Duration(rnd.IntN(500))*time.Microsecond, cancel)
		c, err := shmwire.Dial(ctx, path, nil)
		if err == nil {
			if rnd.IntN(2) == 0 {
				_ = c.Send(bg, []byte("x"))
			}
			c.Close()
		}
		cancel()
	}
	shmtest.Eventually(t, "room for a connection", func() bool {
		c, err := shmwire.Dial(bg, path, nil)
		require.NoError(t, err)
		defer c.Close()
		transport, _ := c.Transport()
		return transport == wished
	})
}
