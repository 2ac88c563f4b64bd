package shmwire_test

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWrongDescriptorsAreRejected: whatever a client offers instead of a sealed memfd of the agreed size and an
// eventfd ends its handshake, is told to OnReject, and leaves no descriptor, mapping or share of the budget here.
func TestWrongDescriptorsAreRejected(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	const seals = sys.F_SEAL_SHRINK | sys.F_SEAL_GROW | sys.F_SEAL_FUTURE_WRITE | sys.F_SEAL_SEAL
	open := func(path string, flags int) int {
		fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC, 0)
		require.NoError(t, err)
		return fd
	}
	memfd := func(size int64, with int) int {
		var table *sys.Table
		fd, err := table.CreateMemfd("shmwire-test")
		require.NoError(t, err)
		require.NoError(t, table.Truncate(fd, size))
		if with != 0 {
			require.NoError(t, table.Seal(fd, with))
		}
		return fd
	}
	pipe := func() int {
		var p [2]int
		require.NoError(t, syscall.Pipe2(p[:], syscall.O_CLOEXEC))
		syscall.Close(p[1])
		return p[0]
	}
	bell := func() int {
		e, err := sem.NewEventfd(nil)
		require.NoError(t, err)
		defer e.Close()
		fd, err := e.Dup()
		require.NoError(t, err)
		return fd
	}
	many := func(size int64, n int) (fds []int) {
		for range n {
			fds = append(fds, memfd(size, seals))
		}
		return fds
	}
	tests := []struct {
		name string
		fds  func(size int64) []int
		got  string
	}{
		{"none", func(int64) []int { return nil }, "0 descriptors with status 1"},
		{"no eventfd", func(n int64) []int { return []int{memfd(n, seals)} }, "1 descriptors"},
		{"three", func(n int64) []int { return many(n, 3) }, "3 descriptors"},
		{"eight", func(n int64) []int { return many(n, 8) }, "descriptors"},
		{"nine", func(n int64) []int { return many(n, 9) }, "descriptors"},
		{"253", func(n int64) []int { return many(n, 253) }, "descriptors"},
		{"unsealed", func(n int64) []int { return []int{memfd(n, 0), bell()} }, "seals"},
		{"not sealed against writing", func(n int64) []int { return []int{memfd(n, seals&^sys.F_SEAL_FUTURE_WRITE), bell()} }, "seals"},
		{"not sealed against shrinking", func(n int64) []int { return []int{memfd(n, seals&^sys.F_SEAL_SHRINK), bell()} }, "seals"},
		{"too small", func(n int64) []int { return []int{memfd(n-1, seals), bell()} }, "bytes"},
		{"too large", func(n int64) []int { return []int{memfd(n+1, seals), bell()} }, "bytes"},
		{"empty", func(int64) []int { return []int{memfd(0, seals), bell()} }, "0 bytes"},
		{"/dev/zero", func(int64) []int { return []int{open("/dev/zero", os.O_RDONLY), bell()} }, "seals"},
		{"directory", func(int64) []int { return []int{open("/", os.O_RDONLY), bell()} }, "seals"},
		{"pipe", func(int64) []int { return []int{pipe(), bell()} }, "seals"},
		{"swapped", func(n int64) []int { return []int{bell(), memfd(n, seals)} }, "seals"},
		{"a memfd as bell", func(n int64) []int { return []int{memfd(n, seals), memfd(n, seals)} }, "no eventfd"},
		{"a pipe as bell", func(n int64) []int { return []int{memfd(n, seals), pipe()} }, "no eventfd"},
	}
	surplus := map[string]bool{"nine": true, "253": true} // more than there is room for
	cfg, rejected := rejections()
	cfg.MaxBytes = 1 << 20 // one connection
	cfg.HandshakeTimeout = 5 * time.Second
	ln, path := mustListen(t, cfg)
	before := shmtest.FDs(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if surplus[tt.name] {
				shmtest.NeedsSurplusClosed(t)
			}
			conn, err := net.Dial("unix", path)
			require.NoError(t, err)
			var sent []int
			_, err = fallback.Handshake(conn.(*net.UnixConn), fallback.Params{
				Hello: fallback.Hello{SharesMemory: true, Wake: fallback.WakeEventfd, Slots: 4096, SlotBytes: 64, MaxRingBytes: 1 << 20},
				Make: func(a fallback.Agreement) (fallback.Offer, error) {
					g := ring.Geometry{Slots: int(a.Slots), SlotBytes: int(a.SlotBytes)}
					_, size := shmseg.Layout(g.ProducerBytes(), g.ConsumerBytes())
					sent = tt.fds(int64(size))
					return fallback.Offer{FDs: sent}, nil
				},
				Take: func(_ fallback.Agreement, o fallback.Offer) error { sys.CloseFDs(o.FDs); return nil },
			})
			assert.Error(t, err)
			conn.Close()
			sys.CloseFDs(sent)
			err = shmtest.Soon(t, rejected, "the rejection")
			var he *shmwire.HandshakeError
			require.ErrorAs(t, err, &he)
			assert.Equal(t, "offer", he.Stage, err)
			assert.Contains(t, he.Got, tt.got, err)
			assert.NotEmpty(t, he.Want)
			shmtest.Eventually(t, fmt.Sprint("descriptors as before, ", len(before)), func() bool { return len(shmtest.FDs(t)) == len(before) })
			genuine, err := shmwire.Dial(bg, path, nil)
			require.NoError(t, err)
			served, err := ln.AcceptConn()
			require.NoError(t, err)
			transport, reason := served.Transport()
			assert.Equal(t, shmwire.SharedMemory, transport, reason)
			genuine.Close()
			served.Close()
		})
	}
}
