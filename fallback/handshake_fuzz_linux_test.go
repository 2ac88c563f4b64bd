package fallback_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
)

// FuzzHandshake: arbitrary bytes, with descriptors or without, while a handshake runs. It never panics, always ends,
// and leaves no descriptor.
func FuzzHandshake(f *testing.F) {
	s, err := newStore(2)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.close() })
	most := 11
	if !shmtest.SurplusIsClosed(f) {
		most = 8 // for these there is room
	}
	hello := helloWith(nil)
	nobody := helloWith(func(p []byte) { p[8] = 0 })
	offer := message(mOffer, make([]byte, 24))
	f.Add([]byte{}, uint8(0), uint8(0))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(0), uint8(0))
	f.Add(append(hello, offer...), uint8(64), uint8(1))
	f.Add(append(nobody, append(offer, message(mAccept, []byte{0, 'n', 'o'})...)...), uint8(65), uint8(0))
	f.Add(append(hello, message(mReady, nil)...), uint8(3), uint8(9))
	f.Fuzz(func(t *testing.T, stream []byte, cut, fds uint8) {
		if len(stream) > 32<<10 {
			return // more than one write may hold
		}
		before := len(shmtest.FDs(t))
		ours, theirs, err := sys.Socketpair()
		if err != nil {
			t.Fatal(err)
		}
		taken := 0
		p := fallback.Params{
			Answer: cut%2 == 0, Timeout: 20 * time.Millisecond, Hello: plainHello(), Make: s.make,
			Take: func(_ fallback.Agreement, o fallback.Offer) error {
				taken += len(o.FDs)
				sys.CloseFDs(o.FDs)
				return nil
			},
		}
		fuzzWrite(t, theirs, stream, int(cut), int(fds)%(most+1), int(s.own[0].Fd()))
		_, err = fallback.Handshake(ours, p)
		var he *fallback.HandshakeError
		switch {
		case err == nil:
			t.Fatal("a handshake without our nonce succeeded")
		case !errors.As(err, &he) || he.Stage == "" || he.Want == "":
			t.Fatalf("error %#v says too little", err)
		case os.IsTimeout(he.Err):
			t.Fatal("it waited though nothing can come")
		case taken != 0:
			t.Fatal("memory offered without our nonce was taken")
		}
		if err := errors.Join(ours.Close(), theirs.Close()); err != nil {
			t.Fatal(err)
		}
		if after := len(shmtest.FDs(t)); after != before {
			t.Fatalf("%d descriptors, %d before", after, before)
		}
	})
}

// fuzzWrite writes the stream in two parts with n descriptors attached to the second, and then nothing more.
func fuzzWrite(t *testing.T, uc *net.UnixConn, stream []byte, cut, n, fd int) {
	sock, err := sys.NewSocket(uc)
	if err != nil {
		t.Fatal(err)
	}
	fds := make([]int, n)
	for i := range fds {
		fds[i] = fd
	}
	cut = min(cut, len(stream))
	err = errors.Join(sock.SendMsg(stream[:cut], nil, true), sock.SendMsg(stream[cut:], fds, false), uc.CloseWrite())
	if err != nil {
		t.Fatal(err)
	}
}
