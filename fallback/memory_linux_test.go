package fallback_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// store stands for the memory of one side of a handshake. What is passed are the descriptors of plain files: a
// handshake does not care.
type store struct {
	own  []*os.File
	took []*os.File

	makeErr, takeErr error
	takes            int
}

// newStore returns a store with n files.
func newStore(n int) (*store, error) {
	s := &store{}
	for range n {
		f, err := os.CreateTemp("", "shmstore")
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.own = append(s.own, f)
		if err := os.Remove(f.Name()); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func mustStore(t testing.TB) *store {
	t.Helper()
	s, err := newStore(2)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.close()) })
	return s
}

func (s *store) make(a fallback.Agreement) (fallback.Offer, error) {
	if s.makeErr != nil {
		return fallback.Offer{}, s.makeErr
	}
	n := 1
	if a.OwnWake == fallback.WakeEventfd {
		n = 2
	}
	var o fallback.Offer
	for _, f := range s.own[:n] {
		o.FDs = append(o.FDs, int(f.Fd()))
	}
	return o, nil
}

func (s *store) take(_ fallback.Agreement, o fallback.Offer) error {
	s.takes++
	for _, fd := range o.FDs {
		s.took = append(s.took, os.NewFile(uintptr(fd), "passed"))
	}
	return s.takeErr
}

func (s *store) close() (err error) {
	for _, f := range append(s.own, s.took...) {
		err = errors.Join(err, f.Close())
	}
	s.own, s.took = nil, nil
	return err
}

// has reports whether the files taken are the first ones of o, in order.
func (s *store) has(t testing.TB, o *store, n int) {
	t.Helper()
	require.Len(t, s.took, n)
	for i, f := range s.took {
		got, err := f.Stat()
		require.NoError(t, err)
		want, err := o.own[i].Stat()
		require.NoError(t, err)
		assert.True(t, os.SameFile(got, want), "descriptor %d is another file", i)
	}
}

func plainHello() fallback.Hello {
	return fallback.Hello{
		Wake: fallback.WakeEventfd, SharesMemory: true, Slots: 64, SlotBytes: 64, MaxRingBytes: 1 << 20,
	}
}

func params(s *store) fallback.Params {
	return fallback.Params{Hello: plainHello(), Make: s.make, Take: s.take}
}

// outcome is what Handshake returned.
type outcome struct {
	fallback.Result
	err error
}

// shake starts a handshake and closes uc if it fails, as callers do.
func shake(uc *net.UnixConn, p fallback.Params) <-chan outcome {
	return async(func() outcome {
		r, err := fallback.Handshake(uc, p)
		if err != nil {
			_ = uc.Close()
		}
		return outcome{r, err}
	})
}

// shakeBoth runs both sides of a handshake, of which the second answers.
func shakeBoth(t testing.TB, pa, pb fallback.Params) (a, b outcome, ua, ub *net.UnixConn) {
	t.Helper()
	ua, ub = pair(t)
	pb.Answer = true
	ca, cb := shake(ua, pa), shake(ub, pb)
	return shmtest.Soon(t, ca, "handshake of a"), shmtest.Soon(t, cb, "handshake of b"), ua, ub
}

// sound proves that nothing of the handshake is left in the sockets: no bytes, no deadline, no descriptors.
func sound(t testing.TB, ua, ub *net.UnixConn) {
	t.Helper()
	for _, way := range []struct{ from, to *net.UnixConn }{{ua, ub}, {ub, ua}} {
		read := async(func() string {
			buf := make([]byte, 16)
			n, err := way.to.Read(buf)
			if err != nil {
				return "error: " + err.Error()
			}
			return string(buf[:n])
		})
		shmtest.StillBlocked(t, read, "reader after the handshake")
		_, err := way.from.Write([]byte("first data"))
		require.NoError(t, err)
		assert.Equal(t, "first data", shmtest.Soon(t, read, "reader after the handshake"))
	}
}

// sameFDs fails the test unless this process soon has the descriptors of before again.
func sameFDs(t testing.TB, before map[int]string) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for {
		now := shmtest.FDs(t)
		if assert.ObjectsAreEqual(before, now) {
			return
		}
		if time.Now().After(deadline) {
			require.Equal(t, before, now, "descriptors")
		}
	}
}
