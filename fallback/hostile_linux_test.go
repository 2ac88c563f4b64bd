package fallback_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The message types, written down a second time.
const (
	mHello byte = 1 + iota
	mOffer
	mAccept
	mReady
)

func message(typ byte, payload []byte) []byte {
	b := append([]byte("shmw"), typ, 0, byte(len(payload)), byte(len(payload)>>8))
	return append(b, payload...)
}

// intruder speaks raw bytes to a real Handshake.
type intruder struct {
	t     testing.TB
	uc    *net.UnixConn
	file  *os.File // what it passes
	nonce []byte   // its victim's
}

// write sends b with n descriptors attached to its first byte.
func (i *intruder) write(b []byte, n int) {
	i.t.Helper()
	var oob []byte
	if n > 0 {
		fds := make([]int, n)
		for k := range fds {
			fds[k] = int(i.file.Fd())
		}
		oob = syscall.UnixRights(fds...)
	}
	m, _, err := i.uc.WriteMsgUnix(b, oob, nil)
	require.NoError(i.t, err)
	require.Equal(i.t, len(b), m)
}

// bytewise sends b byte by byte with n descriptors attached to the first.
func (i *intruder) bytewise(b []byte, n int) {
	for k := range b {
		i.write(b[k:k+1], n)
		n = 0
	}
}

// expect reads the victim's next message, dropping its descriptors.
func (i *intruder) expect(typ byte) (payload []byte) {
	i.t.Helper()
	head := make([]byte, 8)
	_, err := io.ReadFull(i.uc, head)
	require.NoError(i.t, err)
	require.Equal(i.t, "shmw", string(head[:4]))
	require.Equal(i.t, typ, head[4])
	payload = make([]byte, binary.LittleEndian.Uint16(head[6:]))
	_, err = io.ReadFull(i.uc, payload)
	require.NoError(i.t, err)
	if typ == mHello {
		i.nonce = payload[40:56]
	}
	return payload
}

// helloWith returns the message of a well-behaved hello, after edit has changed its payload.
func helloWith(edit func(p []byte)) []byte {
	p := make([]byte, 56)
	le := binary.LittleEndian
	le.PutUint16(p[0:], 1)
	le.PutUint16(p[2:], 1)
	p[4], p[5] = byte(fallback.WakeSocket), 1
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		p[5] = 2
	}
	le.PutUint64(p[8:], 1)
	le.PutUint64(p[16:], 64)
	le.PutUint32(p[24:], 64)
	le.PutUint64(p[32:], 1<<20)
	copy(p[40:], "sixteen bytes...")
	if edit != nil {
		edit(p)
	}
	return message(mHello, p)
}

func (i *intruder) offer(status byte, reason string) []byte {
	p := make([]byte, 24)
	p[0] = status
	copy(p[8:], i.nonce)
	return message(mOffer, append(p, reason...))
}

// hello sends the hello that helloWith makes, with credentials as they should be.
func (i *intruder) hello(edit func(p []byte)) {
	i.t.Helper()
	me := &syscall.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	_, _, err := i.uc.WriteMsgUnix(helloWith(edit), syscall.UnixCredentials(me), nil)
	require.NoError(i.t, err)
}

// The beginnings of a handshake, up to a stage.

func (i *intruder) toOffer() {
	i.hello(nil)
	i.expect(mHello)
	i.expect(mOffer)
}

func (i *intruder) toAccept() {
	i.toOffer()
	i.write(i.offer(1, ""), 1)
	i.expect(mAccept)
}

func (i *intruder) toReady() {
	i.toAccept()
	i.write(message(mAccept, []byte{1}), 0)
	i.expect(mReady)
}

// invade starts a handshake with an intruder at its other end.
func invade(t *testing.T, p fallback.Params) (*intruder, <-chan outcome) {
	ours, theirs := pair(t)
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return &intruder{t: t, uc: theirs, file: file}, shake(ours, p)
}

func TestHandshakeRefuses(t *testing.T) {
	for _, tt := range attacks() {
		for _, answers := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/answers=%t", tt.name, answers), func(t *testing.T) {
				if tt.surplus {
					shmtest.NeedsSurplusClosed(t)
				}
				before := shmtest.FDs(t)
				s := mustStore(t)
				p := params(s)
				p.Answer, p.Hello.Wake = answers, fallback.WakeSocket
				if tt.silent {
					p.Timeout = 150 * time.Millisecond
				}
				i, victim := invade(t, p)
				tt.do(i)
				if !tt.silent {
					require.NoError(t, i.uc.CloseWrite()) // nothing else comes
				}
				o := shmtest.Soon(t, victim, "victim")
				want := tt.want
				if want == "" {
					want = fmt.Sprintf("%x", own(i.nonce))
				}
				he := assertStage(t, o.err, tt.stage, tt.got, want)
				assert.Equal(t, tt.silent, he.Err != nil && os.IsTimeout(he.Err), "%v", he.Err)
				assert.False(t, o.Shared)
				if tt.stage != "hello" {
					assert.Equal(t, os.Getpid(), o.Peer.PID)
				}
				i.uc.Close()
				i.file.Close()
				require.NoError(t, s.close())
				sameFDs(t, before)
			})
		}
	}
}

// own undoes what "nonce of another connection" does.
func own(nonce []byte) []byte {
	n := append([]byte(nil), nonce...)
	n[15]--
	return n
}

// TestHandshakeWithAnEcho: a service that sends back whatever comes looks like a peer for as long as it can.
func TestHandshakeWithAnEcho(t *testing.T) {
	ours, theirs := pair(t)
	p := params(mustStore(t))
	p.Hello.SharesMemory = false
	echo := async(func() error { _, err := io.Copy(theirs, struct{ io.Reader }{theirs}); return err })
	o := shmtest.Soon(t, shake(ours, p), "handshake with itself")
	assertStage(t, o.err, "hello", "our own hello", "another process's")
	shmtest.Soon(t, echo, "echo")
}

// TestHandshakeInPieces: how a stream is cut says nothing.
func TestHandshakeInPieces(t *testing.T) {
	for _, answers := range []bool{false, true} {
		t.Run(fmt.Sprintf("answers=%t", answers), func(t *testing.T) {
			s := mustStore(t)
			p := params(s)
			p.Answer, p.Hello.Wake = answers, fallback.WakeSocket
			i, victim := invade(t, p)
			i.bytewise(helloWith(nil), 0)
			i.expect(mHello)
			i.expect(mOffer)
			i.bytewise(i.offer(1, ""), 1)
			i.expect(mAccept)
			i.bytewise(message(mAccept, []byte{1}), 0)
			i.expect(mReady)
			i.bytewise(message(mReady, nil), 0)
			o := shmtest.Soon(t, victim, "victim")
			require.NoError(t, o.err)
			assert.True(t, o.Shared)
			require.Len(t, s.took, 1)
			got, err := s.took[0].Stat()
			require.NoError(t, err)
			want, err := i.file.Stat()
			require.NoError(t, err)
			assert.True(t, os.SameFile(got, want))
		})
	}
}

// TestHandshakeLongMessages: a later version may say more in a hello, and reasons may be long.
func TestHandshakeLongMessages(t *testing.T) {
	s := mustStore(t)
	p := params(s)
	i, victim := invade(t, p)
	long := append(helloWith(nil)[8:], make([]byte, 1024-56)...)
	i.write(message(mHello, long), 0)
	i.expect(mHello)
	i.expect(mOffer)
	i.write(i.offer(0, strings.Repeat("\x1b[31mred\n", 100)), 0)
	payload := i.expect(mAccept)
	assert.Equal(t, byte(0), payload[0])
	i.write(message(mAccept, append([]byte{0}, strings.Repeat("x", 1023)...)), 0)
	i.expect(mReady)
	i.write(message(mReady, nil), 0)
	o := shmtest.Soon(t, victim, "victim")
	require.NoError(t, o.err)
	assert.False(t, o.Shared)
	assert.Equal(t, "peer: "+strings.Repeat("?[31mred?", 29)[:256], o.Reason)
	assert.Zero(t, s.takes)
}

// TestHandshakeHasOneDeadline: whoever sends a byte now and then gains nothing by it.
func TestHandshakeHasOneDeadline(t *testing.T) {
	p := params(mustStore(t))
	p.Timeout = 300 * time.Millisecond
	i, victim := invade(t, p)
	long := message(mHello, make([]byte, 1024))
	tick := time.NewTicker(p.Timeout / 10)
	defer tick.Stop()
	for k := 0; ; k++ {
		select {
		case o := <-victim:
			assertStage(t, o.err, "hello", "silence for 300ms", "hello")
			assert.ErrorIs(t, o.err, os.ErrDeadlineExceeded)
			assert.Greater(t, k, 2, "it ended before its time")
			return
		case <-tick.C:
			require.Less(t, k, len(long), "every byte buys time")
			_, _ = i.uc.Write(long[k : k+1]) // the victim may have gone this moment
		}
	}
}

// TestHandshakeKnowsTheSender: who sent the hello counts, as the kernel says; it says so even of one who attaches no
// credentials. Bytes that were sent before anybody asked have none, and make a stranger.
func TestHandshakeKnowsTheSender(t *testing.T) {
	t.Run("not attached", func(t *testing.T) {
		var asked fallback.Cred
		p := params(mustStore(t))
		p.Authorize = func(c fallback.Cred) error { asked = c; return errStopped }
		i, victim := invade(t, p)
		i.expect(mHello) // so it has asked for credentials by now
		i.write(helloWith(nil), 0)
		require.ErrorIs(t, shmtest.Soon(t, victim, "victim").err, errStopped)
		assert.Equal(t, fallback.Cred{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid(), Known: true}, asked)
	})
	t.Run("sent too early", func(t *testing.T) {
		var asked fallback.Cred
		ours, theirs := pair(t)
		p := params(mustStore(t))
		p.Answer = true
		p.Authorize = func(c fallback.Cred) error { asked = c; return errStopped }
		_, err := theirs.Write(helloWith(nil))
		require.NoError(t, err)
		o := shmtest.Soon(t, shake(ours, p), "victim")
		require.ErrorIs(t, o.err, errStopped)
		assert.Equal(t, fallback.Cred{}, asked)
		assertStage(t, o.err, "credentials", "a process without credentials", "a process that is let in")
	})
}

// TestHandshakeFlood: many intruders with many descriptors, one after another, leave nothing behind.
func TestHandshakeFlood(t *testing.T) {
	most := 253
	if !shmtest.SurplusIsClosed(t) {
		most = 8 // for these there is room
	}
	before := shmtest.FDs(t)
	rnd := shmtest.Rand(t)
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	s := mustStore(t)
	for range 300 {
		ours, theirs, err := sys.Socketpair()
		require.NoError(t, err)
		i := &intruder{t: t, uc: theirs, file: file}
		p := params(s)
		p.Answer, p.Hello.Wake = true, fallback.WakeSocket
		victim := shake(ours, p)
		if rnd.IntN(2) == 0 {
			i.write(helloWith(nil), rnd.IntN(most+1))
		} else {
			i.toOffer()
			i.write(i.offer(1, ""), 2+rnd.IntN(most-1))
		}
		theirs.CloseWrite()
		require.ErrorIs(t, shmtest.Soon(t, victim, "victim").err, fallback.ErrHandshake)
		theirs.Close()
	}
	require.NoError(t, file.Close())
	require.NoError(t, s.close())
	sameFDs(t, before)
}
