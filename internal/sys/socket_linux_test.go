package sys_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// sockets returns two connected sockets, closed when the test ends.
func sockets(t testing.TB) (a, b *sys.Socket, ua, ub *net.UnixConn) {
	t.Helper()
	ua, ub, err := sys.Socketpair()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = ua.Close(), ub.Close() })
	a, err = sys.NewSocket(ua)
	require.NoError(t, err)
	b, err = sys.NewSocket(ub)
	require.NoError(t, err)
	return a, b, ua, ub
}

func TestSocketpair(t *testing.T) {
	before := shmtest.FDs(t)
	a, b, err := sys.Socketpair()
	require.NoError(t, err)
	for _, way := range [][2]*net.UnixConn{{a, b}, {b, a}} {
		_, err := way[0].Write([]byte("ping"))
		require.NoError(t, err)
		buf := make([]byte, 8)
		n, err := way[1].Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "ping", string(buf[:n]))
	}
	for _, uc := range []*net.UnixConn{a, b} {
		rc, err := uc.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, rc.Control(func(fd uintptr) {
			flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC, "a child would inherit it")
		}))
		require.NoError(t, uc.Close())
	}
	assert.Equal(t, before, shmtest.FDs(t))
}

func TestPassDescriptors(t *testing.T) {
	a, b, ua, _ := sockets(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer file.Close()
	before := shmtest.FDs(t)
	require.NoError(t, a.SendMsg([]byte("two"), []int{int(file.Fd()), int(file.Fd())}, false))
	assert.Equal(t, before, shmtest.FDs(t), "the sender's descriptors stay the sender's")

	buf := make([]byte, 16)
	// A look duplicates the descriptors and takes nothing.
	for _, peek := range []bool{true, true, false} {
		r, err := b.RecvMsg(buf, peek)
		require.NoError(t, err)
		assert.Equal(t, "two", string(buf[:r.N]))
		assert.False(t, r.Full)
		assert.False(t, r.Truncated)
		assert.Equal(t, sys.Cred{}, r.Cred, "nobody asked for credentials")
		require.Len(t, r.FDs, 2)
		for _, fd := range r.FDs {
			assertSame(t, file, fd)
		}
		sys.CloseFDs(r.FDs)
	}
	assert.Equal(t, before, shmtest.FDs(t))

	require.NoError(t, ua.Close())
	r, err := b.RecvMsg(buf, false)
	require.NoError(t, err)
	assert.Equal(t, sys.Received{}, r, "the end of the stream")
}

// assertSame fails the test unless fd refers to file and is closed on exec.
func assertSame(t *testing.T, file *os.File, fd int) {
	t.Helper()
	var got, want unix.Stat_t
	require.NoError(t, unix.Fstat(fd, &got))
	require.NoError(t, unix.Fstat(int(file.Fd()), &want))
	assert.Equal(t, want.Ino, got.Ino)
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC, "a child would inherit it")
}

// TestManyDescriptors: beyond the room there is, the kernel closes them and says so.
func TestManyDescriptors(t *testing.T) {
	for _, tt := range []struct {
		sent, got       int
		full, truncated bool
	}{{1, 1, false, false}, {7, 7, false, false}, {8, 8, true, false}, {9, 8, true, true}, {253, 8, true, true}} {
		for _, cred := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, credentials %t", tt.sent, cred), func(t *testing.T) {
				if tt.truncated {
					shmtest.NeedsSurplusClosed(t)
				}
				a, b, _, _ := sockets(t)
				require.NoError(t, b.PassCred(cred))
				null, err := os.Open(os.DevNull)
				require.NoError(t, err)
				defer null.Close()
				fds := make([]int, tt.sent)
				for i := range fds {
					fds[i] = int(null.Fd())
				}
				before := shmtest.FDs(t)
				require.NoError(t, a.SendMsg([]byte("x"), fds, false))
				r, err := b.RecvMsg(make([]byte, 1), false)
				require.NoError(t, err)
				assert.Equal(t, cred, r.Cred.Known)
				// Without credentials there is room for a few more, which is as good.
				assert.GreaterOrEqual(t, len(r.FDs), tt.got)
				assert.Equal(t, tt.full, r.Full)
				if cred {
					assert.Len(t, r.FDs, tt.got)
					assert.Equal(t, tt.truncated, r.Truncated)
				}
				sys.CloseFDs(r.FDs)
				assert.Equal(t, before, shmtest.FDs(t))
			})
		}
	}
}

func TestCredentials(t *testing.T) {
	me := sys.Cred{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid(), Known: true}
	tests := []struct {
		name string
		send func(t *testing.T, a, b *sys.Socket)
		want sys.Cred
	}{
		{"attached", func(t *testing.T, a, b *sys.Socket) {
			require.NoError(t, b.PassCred(true))
			require.NoError(t, a.SendMsg([]byte("x"), nil, true))
		}, me},
		{"attached before they were asked for", func(t *testing.T, a, b *sys.Socket) {
			require.NoError(t, a.SendMsg([]byte("x"), nil, true))
			require.NoError(t, b.PassCred(true))
		}, me},
		{"attached by the kernel", func(t *testing.T, a, b *sys.Socket) {
			require.NoError(t, b.PassCred(true))
			require.NoError(t, a.SendMsg([]byte("x"), nil, false))
		}, me},
		{"not there", func(t *testing.T, a, b *sys.Socket) {
			require.NoError(t, a.SendMsg([]byte("x"), nil, false))
			require.NoError(t, b.PassCred(true))
		}, sys.Cred{}},
		{"not asked for", func(t *testing.T, a, b *sys.Socket) {
			require.NoError(t, b.PassCred(true))
			require.NoError(t, a.SendMsg([]byte("x"), nil, true))
			require.NoError(t, b.PassCred(false))
		}, sys.Cred{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, _, _ := sockets(t)
			tt.send(t, a, b)
			r, err := b.RecvMsg(make([]byte, 1), false)
			require.NoError(t, err)
			assert.Equal(t, 1, r.N)
			assert.Equal(t, tt.want, r.Cred)
		})
	}
}

// TestSendMsgWaits: a message larger than the socket is sent whole, its descriptors once.
func TestSendMsgWaits(t *testing.T) {
	a, b, _, _ := sockets(t)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	const size = 4 << 20
	sent := make(chan error, 1)
	go func() { sent <- a.SendMsg(make([]byte, size), []int{int(null.Fd())}, false) }()
	shmtest.StillBlocked(t, sent, "SendMsg")
	got, fds := 0, 0
	for buf := make([]byte, 1<<16); got < size; {
		r, err := b.RecvMsg(buf, false)
		require.NoError(t, err)
		require.NotZero(t, r.N)
		if len(r.FDs) > 0 {
			assert.Zero(t, got, "descriptors inside the message")
		}
		got += r.N
		fds += len(r.FDs)
		sys.CloseFDs(r.FDs)
	}
	assert.Equal(t, size, got)
	assert.Equal(t, 1, fds)
	require.NoError(t, shmtest.Soon(t, sent, "SendMsg"))
}

func TestSocketDeadlines(t *testing.T) {
	a, b, ua, ub := sockets(t)
	require.NoError(t, a.Check())
	require.NoError(t, ua.SetDeadline(time.Now().Add(20*time.Millisecond)))
	_, err := a.RecvMsg(make([]byte, 1), false)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = a.RecvMsg(make([]byte, 1), true)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.ErrorIs(t, a.SendMsg(make([]byte, 4<<20), nil, false), os.ErrDeadlineExceeded)
	assert.ErrorIs(t, a.Check(), os.ErrDeadlineExceeded)

	require.NoError(t, ub.Close())
	_, err = b.RecvMsg(make([]byte, 1), false)
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.ErrorIs(t, b.SendMsg([]byte("x"), nil, false), net.ErrClosed)
	assert.ErrorIs(t, b.Check(), net.ErrClosed)
	assert.ErrorIs(t, b.Ring(), net.ErrClosed)
	assert.ErrorIs(t, b.PassCred(true), net.ErrClosed)
	_, err = b.TrySend([]byte("x"))
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = sys.NewSocket(ub)
	assert.NoError(t, err, "it is found out by the first call")
}

// TestSocketErrorsNameTheirCall, so that a log line says what was tried.
func TestSocketErrorsNameTheirCall(t *testing.T) {
	a, _, _, ub := sockets(t)
	require.NoError(t, ub.Close())
	_, trySend := a.TrySend([]byte("x"))
	for call, err := range map[string]error{
		"sendmsg": a.SendMsg([]byte("x"), nil, false), "send": a.Ring(), "send ": trySend,
	} {
		var se *os.SyscallError
		require.ErrorAs(t, err, &se, call)
		assert.Contains(t, call, se.Syscall)
		assert.ErrorIs(t, err, sys.EPIPE)
	}
	var se *os.SyscallError
	require.ErrorAs(t, a.SendMsg([]byte("x"), []int{-1}, false), &se)
	assert.ErrorIs(t, se, sys.EBADF)
}

// TestRingOnAFullSocket: bells are pending in it, so one more says nothing new.
func TestRingOnAFullSocket(t *testing.T) {
	a, b, ua, _ := sockets(t)
	require.NoError(t, ua.SetWriteBuffer(1))
	fits := 0
	for {
		ok, err := a.TrySend([]byte("12345"))
		require.NoError(t, err)
		if !ok {
			break
		}
		fits++
	}
	require.Positive(t, fits)
	for range 100 {
		require.NoError(t, a.Ring())
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if err := a.Ring(); err != nil {
			panic(err)
		}
	}))
	got := 0
	for got < 5*fits {
		r, err := b.RecvMsg(make([]byte, 1<<10), false)
		require.NoError(t, err)
		got += r.N
	}
	assert.Equal(t, 5*fits, got, "part of a frame, or a bell, was sent to a full socket")
	require.NoError(t, a.Ring())
	buf := []byte{7}
	r, err := b.RecvMsg(buf, false)
	require.NoError(t, err)
	assert.Equal(t, 1, r.N)
	assert.Equal(t, []byte{0}, buf)
}

func TestOverflowUID(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no /proc")
	}
	require.NoError(t, err)
	assert.Equal(t, string(b), fmt.Sprintln(sys.OverflowUID()))
}
