package shmwire_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errAddrInUse = error(sys.EADDRINUSE)

func mustListen(t testing.TB, cfg *shmwire.Config) (*shmwire.Listener, string) {
	t.Helper()
	path := shmtest.SocketPath(t)
	ln, err := shmwire.Listen(path, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln, path
}

func TestListenAndDialBetweenProcesses(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			path := shmtest.SocketPath(t)
			server := shmtest.Child(t, "listen", path, k.name)
			require.Equal(t, "listening", server.Line())
			st, err := os.Lstat(path)
			require.NoError(t, err)
			assert.Equal(t, fs.FileMode(0o600), st.Mode().Perm())
			for range 3 {
				c, err := shmwire.Dial(bg, path, &k.cfg)
				require.NoError(t, err)
				transport, _ := c.Transport()
				assert.Equal(t, k.transport, transport)
				assert.Equal(t, server.PID(), c.Peer().PID)
				assert.Equal(t, path, c.RemoteAddr().String())
				roundTrips(t, c)
				require.NoError(t, c.Close())
			}
			server.Send("end")
			assert.Zero(t, server.Wait())
			_, err = os.Lstat(path)
			assert.ErrorIs(t, err, fs.ErrNotExist, "Close removes the socket file")
			_, err = shmwire.Dial(bg, path, nil)
			assert.ErrorIs(t, err, fs.ErrNotExist)
		})
	}
}

func TestDeadListenersFileIsReplaced(t *testing.T) {
	path := shmtest.SocketPath(t)
	server := shmtest.Child(t, "listen", path, "shm")
	require.Equal(t, "listening", server.Line())
	_, err := shmwire.Listen(path, nil)
	require.ErrorIs(t, err, errAddrInUse)
	assert.ErrorContains(t, err, "alive")
	server.Kill()
	_, err = os.Lstat(path)
	require.NoError(t, err, "the dead one leaves its file")
	ln, err := shmwire.Listen(path, nil)
	require.NoError(t, err)
	require.NoError(t, ln.Close())
}

func TestOfManyThatStartAtOnceOneListens(t *testing.T) {
	path := shmtest.SocketPath(t)
	dead := shmtest.Child(t, "listen", path, "shm")
	require.Equal(t, "listening", dead.Line())
	dead.Kill()
	var all []*shmtest.Process
	for range 16 {
		all = append(all, shmtest.Child(t, "attempt", path))
	}
	for _, p := range all {
		require.Equal(t, "ready", p.Line())
	}
	for _, p := range all {
		p.Send("go")
	}
	count := map[string]int{}
	for _, p := range all {
		count[p.Line()]++
	}
	assert.Equal(t, map[string]int{"won": 1, "in use": 15}, count)
	for _, p := range all {
		p.Send("end")
		assert.Zero(t, p.Wait())
	}
}

func TestListenRefusesPaths(t *testing.T) {
	dir := filepath.Dir(shmtest.SocketPath(t))
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o600))
	tests := []struct {
		name, path, text string
		is               error
	}{
		{"empty", "", "empty", nil},
		{"too long", filepath.Join(dir, strings.Repeat("x", 108)), "at most 107", nil},
		{"NUL", dir + "/a\x00b", "NUL", nil},
		{"abstract", "@name", "abstract", nil},
		{"regular file", file, "regular file", fs.ErrExist},
		{"directory", dir, "directory", fs.ErrExist},
		{"no directory", filepath.Join(dir, "missing", "s"), "missing", fs.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := shmwire.Listen(tt.path, nil)
			require.ErrorContains(t, err, tt.text)
			if tt.is != nil {
				assert.ErrorIs(t, err, tt.is)
			}
		})
	}
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(kept))
	_, err = shmwire.Dial(bg, filepath.Join(dir, strings.Repeat("x", 108)), nil)
	assert.ErrorContains(t, err, "at most 107")
	_, err = shmwire.Dial(bg, file, nil)
	assert.Error(t, err)
}

// rejections collects what a listener reports.
func rejections() (*shmwire.Config, <-chan error) {
	ch := make(chan error, 64)
	return &shmwire.Config{
		HandshakeTimeout: 300 * time.Millisecond,
		OnReject:         func(_ shmwire.Peer, err error) { ch <- err },
	}, ch
}

func TestForeignClientsAreRejectedAndOthersServed(t *testing.T) {
	tests := []struct {
		name  string
		bytes string
		end   bool // the client hangs up after its bytes, otherwise it falls silent
		stage string
		got   string
	}{
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, "hello", `"GET / HT"`},
		{"nothing, then silence", "", false, "hello", "silence for 300ms"},
		{"nothing, then the end", "", true, "hello", "end of the connection"},
		{"half a header, then silence", "shmw", false, "hello", "silence for 300ms"},
		{"half a header, then the end", "shmw", true, "hello", "end of the connection"},
		{"half a hello", "shmw\x01\x00\x38\x00abc", true, "hello", "end of the connection"},
		{"another message", "shmw\x03\x00\x01\x00\x01", true, "hello", "accept"},
		{"oversize", "shmw\x01\x00\xff\xff", false, "hello", "65535 bytes"},
		{"short hello", "shmw\x01\x00\x04\x00abcd", false, "hello", "4 bytes"},
		{"version", "shmw\x01\x00\x38\x00\x02\x00\x09\x00\x01\x01" + strings.Repeat("\x00", 50), false, "hello", "versions 2 to 9"},
		{"geometry", "shmw\x01\x00\x38\x00\x01\x00\x01\x00\x01\x01" + strings.Repeat("\x00", 10) + "\x03" + strings.Repeat("\x00", 39), false, "hello", "3 slots"},
	}
	cfg, rejected := rejections()
	ln, path := mustListen(t, cfg)
	accepted := make(chan *shmwire.Conn, 1)
	go func() {
		for {
			c, err := ln.AcceptConn()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	before := shmtest.FDs(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			foreign, err := net.Dial("unix", path)
			require.NoError(t, err)
			defer foreign.Close()
			if tt.bytes != "" {
				_, _, err = foreign.(*net.UnixConn).WriteMsgUnix([]byte(tt.bytes), credentials(), nil)
				require.NoError(t, err)
			}
			if tt.end {
				foreign.Close()
			}
			genuine, err := shmwire.Dial(bg, path, nil)
			require.NoError(t, err, "a genuine client beside the foreign one")
			(<-accepted).Close()
			genuine.Close()
			err = shmtest.Soon(t, rejected, "the rejection")
			var he *shmwire.HandshakeError
			require.ErrorAs(t, err, &he)
			assert.ErrorIs(t, err, shmwire.ErrHandshake)
			assert.Equal(t, tt.stage, he.Stage)
			assert.Contains(t, he.Got, tt.got)
			assert.NotEmpty(t, he.Want)
		})
	}
	shmtest.Eventually(t, "all descriptors closed", func() bool { return len(shmtest.FDs(t)) == len(before) })
}

func TestSilentClientsHoldUpNobody(t *testing.T) {
	cfg, _ := rejections()
	cfg.HandshakeTimeout = time.Minute
	cfg.OnReject = nil
	ln, path := mustListen(t, cfg)
	var silent []net.Conn
	for range 300 {
		c, err := net.Dial("unix", path)
		require.NoError(t, err)
		silent = append(silent, c)
	}
	genuine, err := shmwire.Dial(bg, path, nil)
	require.NoError(t, err)
	c, err := ln.AcceptConn()
	require.NoError(t, err)
	mustSend(t, genuine, "hello")
	assert.Equal(t, "hello", mustReceive(t, c))
	c.Close()
	genuine.Close()
	require.NoError(t, ln.Close(), "Close does not wait for the handshakes' deadline")
	for _, s := range silent {
		s.Close()
	}
}

func TestMaxPending(t *testing.T) {
	cfg, rejected := rejections()
	cfg.MaxPending = 2
	cfg.HandshakeTimeout = time.Minute
	_, path := mustListen(t, cfg)
	for range 3 {
		c, err := net.Dial("unix", path)
		require.NoError(t, err)
		defer c.Close()
	}
	assert.ErrorContains(t, shmtest.Soon(t, rejected, "the rejection"), "at most 2 pending")
}

func TestAuthorize(t *testing.T) {
	refuse := errors.New("not you")
	cfg, rejected := rejections()
	cfg.Authorize = func(p shmwire.Peer) error {
		if p.PID != os.Getpid() {
			return fmt.Errorf("unexpected pid %d", p.PID)
		}
		return refuse
	}
	_, path := mustListen(t, cfg)
	_, err := shmwire.Dial(bg, path, nil)
	assert.ErrorIs(t, err, shmwire.ErrHandshake, "the refused side learns that there was no handshake")
	err = shmtest.Soon(t, rejected, "the rejection")
	assert.ErrorIs(t, err, refuse)
	assert.ErrorContains(t, err, fmt.Sprintf("pid %d, uid %d", os.Getpid(), os.Geteuid()))

	ln, path := mustListen(t, nil)
	go ln.AcceptConn() //nolint:errcheck // the dialler refuses
	_, err = shmwire.Dial(bg, path, &shmwire.Config{Authorize: func(shmwire.Peer) error { return refuse }})
	assert.ErrorIs(t, err, refuse, "a dialler decides about the server by the same rule")
	ln.Close()
}

func TestBudget(t *testing.T) {
	for name, cfg := range map[string]*shmwire.Config{
		"MaxBytes":        {MaxBytes: 1 << 20},
		"MaxBytesPerUser": {MaxBytesPerUser: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			ln, path := mustListen(t, cfg)
			dial := func() (transport shmwire.Transport, reason string, end func()) {
				c, err := shmwire.Dial(bg, path, nil)
				require.NoError(t, err)
				s, err := ln.AcceptConn()
				require.NoError(t, err)
				transport, reason = s.Transport()
				return transport, reason, func() { c.Close(); s.Close() }
			}
			transport, _, end := dial() // two rings of 256 KiB and their descriptors
			assert.Equal(t, shmwire.SharedMemory, transport)
			transport, reason, end2 := dial()
			assert.Equal(t, shmwire.UnixSocket, transport)
			assert.Contains(t, reason, name+":")
			end2()
			end()
			transport, _, end = dial()
			assert.Equal(t, shmwire.SharedMemory, transport, "a closed connection gives its share back")
			end()
		})
	}
}

func TestGeometryIsTheLargerWish(t *testing.T) {
	ln, path := mustListen(t, &shmwire.Config{RingBytes: 1 << 20, MaxRingBytes: 2 << 20})
	c, err := shmwire.Dial(bg, path, nil)
	require.NoError(t, err)
	s, err := ln.AcceptConn()
	require.NoError(t, err)
	assert.Equal(t, 512<<10, c.MaxMessage())
	assert.Equal(t, 512<<10, s.MaxMessage())
	c.Close()
	s.Close()
	_, err = shmwire.Dial(bg, path, &shmwire.Config{RingBytes: 4 << 20})
	var he *shmwire.HandshakeError
	require.ErrorAs(t, err, &he)
}

func TestAcceptAfterClose(t *testing.T) {
	ln, path := mustListen(t, nil)
	accepted := inBackground(func() (int, error) {
		c, err := ln.Accept()
		if err == nil {
			c.Close()
		}
		return 0, err
	})
	shmtest.StillBlocked(t, accepted, "Accept")
	waiting, err := shmwire.Dial(bg, path, nil)
	require.NoError(t, err)
	require.NoError(t, shmtest.Soon(t, accepted, "Accept").err)
	unaccepted, err := shmwire.Dial(bg, path, nil)
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	_, err = ln.Accept()
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = unaccepted.Receive(bg, nil)
	assert.Error(t, err, "a connection that nobody accepted is closed")
	assert.ErrorIs(t, ln.Close(), net.ErrClosed)
	waiting.Close()
	unaccepted.Close()
}

func TestDialEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("unix", shmtest.SocketPath(t))
	require.NoError(t, err)
	defer silent.Close()
	ctx, cancel := context.WithCancel(bg)
	dialled := inBackground(func() (int, error) {
		_, err := shmwire.Dial(ctx, silent.Addr().String(), nil)
		return 0, err
	})
	shmtest.StillBlocked(t, dialled, "Dial to a silent server")
	cancel()
	err = shmtest.Soon(t, dialled, "Dial").err
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, err, shmwire.ErrHandshake)
}
