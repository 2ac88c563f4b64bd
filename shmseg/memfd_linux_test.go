package shmseg_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// attachAgain maps the segment a second time, as a peer in this process.
func attachAgain(t testing.TB, s *shmseg.Segment, regions ...int) *shmseg.Segment {
	t.Helper()
	peer, err := shmseg.AttachMemfd(mustDup(t, s.FD()), shmseg.AttachOptions{Regions: regions})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, peer.Detach()) })
	return peer
}

// mappings returns how many mappings of memfd segments this process has.
func mappings(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	return strings.Count(string(text), "memfd:shmwire")
}

// leavesNothing checks that the call leaves the descriptors and mappings of this process as they are.
func leavesNothing(t testing.TB, call func()) {
	t.Helper()
	fds, maps := shmtest.FDs(t), mappings(t)
	call()
	assert.Equal(t, fds, shmtest.FDs(t))
	assert.Equal(t, maps, mappings(t))
}

func TestCreateAndAttach(t *testing.T) {
	leavesNothing(t, func() {
		s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Name: "two sides", Regions: []int{100, 4096, 1}})
		require.NoError(t, err)
		peer, err := shmseg.AttachMemfd(mustDup(t, s.FD()), shmseg.AttachOptions{Regions: []int{100, 4096, 1}})
		require.NoError(t, err)

		assert.True(t, s.Writable())
		assert.False(t, peer.Writable())
		assert.Equal(t, -1, peer.FD())
		assert.Contains(t, shmtest.FDs(t)[s.FD()], "memfd:shmwire:two sides")
		for i, size := range []int{100, 4096, 1} {
			own, theirs := s.Region(i), peer.Region(i)
			assert.Equal(t, [2]int{size, size}, [2]int{len(own), cap(own)})
			assert.Equal(t, [2]int{size, size}, [2]int{len(theirs), cap(theirs)})
			assert.Equal(t, make([]byte, size), theirs, "a new region is zero")
			own[0], own[size-1] = byte(i+1), byte(i+1)
			assert.Equal(t, own, theirs)
		}
		_, total := shmseg.Layout(100, 4096, 1)
		assert.Equal(t, total, s.Size())
		assert.Len(t, peer.Bytes(), total)
		assert.Equal(t, s.Bytes(), peer.Bytes())
		require.NoError(t, errors.Join(s.Detach(), peer.Detach()))
	})
}

func TestOptionsAreCopied(t *testing.T) {
	sizes := []int{64, 64}
	s := mustCreate(t, shmseg.MemfdOptions{Regions: sizes})
	sizes[1] = 1 << 30
	assert.Len(t, s.Region(1), 64)
}

func TestHeaderOfSegment(t *testing.T) {
	before := time.Now()
	s := mustCreate(t, shmseg.MemfdOptions{Regions: []int{100, 200}})
	other := mustCreate(t, shmseg.MemfdOptions{Regions: []int{100, 200}})
	h, err := attachAgain(t, s, 100, 200).Header()
	require.NoError(t, err)

	self := sys.Self()
	assert.NotZero(t, self.Start)
	assert.False(t, h.Created.Before(before.Round(0).UTC()) || h.Created.After(time.Now()), "created %v", h.Created)
	want := shmseg.Header{
		Version: 1, PageBytes: uint32(os.Getpagesize()), LineBytes: 128, Kind: shmseg.Memfd, Size: 8192,
		Regions: []shmseg.Region{{Offset: 4096, Size: 100}, {Offset: 4224, Size: 200}},
		ID:      h.ID, Generation: 1, Created: h.Created,
		CreatorPID: os.Getpid(), CreatorStart: self.Start, BootID: self.BootID, PIDNamespace: self.PIDNamespace,
	}
	assert.Equal(t, want, h)
	otherHeader, err := other.Header()
	require.NoError(t, err)
	assert.NotEqual(t, h.ID, otherHeader.ID)
}

// A creator may write anything into its header; whoever shows it compares it with the segment.
func TestHeaderThatContradictsTheSegment(t *testing.T) {
	le := binary.LittleEndian
	tests := []struct {
		name   string
		change func(b []byte)
		err    error
	}{
		{"larger than the segment", func(b []byte) { le.PutUint64(b[32:], 12288) }, shmseg.ErrTruncated},
		{"smaller than the segment", func(b []byte) {
			le.PutUint64(b[32:], 8192)
			le.PutUint32(b[40:], 1)
			clear(b[144:160])
		}, shmseg.ErrGeometry},
		{"another kind", func(b []byte) { le.PutUint32(b[20:], uint32(shmseg.SysV)) }, shmseg.ErrGeometry},
		{"a region more", func(b []byte) {
			le.PutUint32(b[40:], 3)
			le.PutUint64(b[160:], 4480)
			le.PutUint64(b[168:], 1)
		}, shmseg.ErrGeometry},
		{"a longer region", func(b []byte) { le.PutUint64(b[136:], 128) }, shmseg.ErrGeometry},
		{"another start of the machine", func(b []byte) { b[88] ^= 1 }, shmseg.ErrStale},
		{"half written", func(b []byte) { clear(b[:8]) }, shmseg.ErrNotSegment},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			regions := []int{100, 200}
			if tt.name == "smaller than the segment" {
				regions = []int{100, 8000}
			}
			s := mustCreate(t, shmseg.MemfdOptions{Regions: regions})
			peer := attachAgain(t, s, regions...)
			tt.change(s.Bytes())
			repair(s.Bytes())
			_, err := peer.Header()
			assert.ErrorIs(t, err, tt.err)
			assert.Len(t, peer.Region(0), 100, "the segment is as agreed, whatever the header says")
		})
	}
	t.Run("unknown start of the machine", func(t *testing.T) {
		s := mustCreate(t, shmseg.MemfdOptions{Regions: []int{1}})
		clear(s.Bytes()[88:104])
		repair(s.Bytes())
		_, err := s.Header()
		assert.NoError(t, err)
	})
}

func TestDetachTwice(t *testing.T) {
	s := mustCreate(t, shmseg.MemfdOptions{Regions: []int{64}})
	peer := attachAgain(t, s, 64)
	for range 3 {
		assert.NoError(t, s.Detach())
		assert.NoError(t, peer.Detach())
	}
	assert.Equal(t, -1, s.FD())
	assert.Equal(t, 8192, s.Size())
	assert.Panics(t, func() { s.Region(0) })
	assert.Panics(t, func() { peer.Bytes() })
	assert.Panics(t, func() { _, _ = peer.Header() })
}

func TestDetachFromManyGoroutines(t *testing.T) {
	s := mustCreate(t, shmseg.MemfdOptions{Regions: []int{64}})
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			s.FD()
			errs[i] = s.Detach()
		})
	}
	wg.Wait()
	assert.Equal(t, make([]error, 8), errs)
}

func TestRegionThatIsNot(t *testing.T) {
	s := mustCreate(t, shmseg.MemfdOptions{Regions: []int{64}})
	for _, i := range []int{-1, 1, 1 << 30} {
		assert.Panics(t, func() { s.Region(i) }, "region %d", i)
	}
}

func TestSealsOfCreatedSegment(t *testing.T) {
	s := mustCreate(t, shmseg.MemfdOptions{Regions: []int{64}})
	seals, err := (*sys.Table)(nil).Seals(s.FD())
	require.NoError(t, err)
	assert.Equal(t, shmseg.OneWriter, seals&shmseg.OneWriter)
	flags, err := unix.FcntlInt(uintptr(s.FD()), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.Equal(t, unix.FD_CLOEXEC, flags)
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "a b", "über", strings.Repeat("n", shmseg.MaxNameBytes)} {
		s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Name: name, Regions: []int{1}})
		require.NoError(t, err, "%q", name)
		assert.Contains(t, shmtest.FDs(t)[s.FD()], "memfd:shmwire:"+name)
		require.NoError(t, s.Detach())
	}
	for _, name := range []string{strings.Repeat("n", shmseg.MaxNameBytes+1), "a\x00b"} {
		leavesNothing(t, func() {
			_, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Name: name, Regions: []int{1}})
			require.Error(t, err, "%q", name)
			assert.Contains(t, err.Error(), fmt.Sprintf("%d bytes", len(name)))
			assert.NotErrorIs(t, err, errors.ErrUnsupported)
		})
	}
}

func TestPrefaultTakesTheMemoryAtOnce(t *testing.T) {
	const size = 1 << 20
	taken := func(s *shmseg.Segment) int64 {
		var st unix.Stat_t
		require.NoError(t, unix.Fstat(s.FD(), &st))
		return st.Blocks * 512
	}
	sparse := mustCreate(t, shmseg.MemfdOptions{Regions: []int{size}})
	old := &sys.Table{Populate: func([]byte) error { return sys.EINVAL }}
	reserved := mustCreate(t, shmseg.MemfdOptions{Regions: []int{size}, Prefault: true, Sys: old})
	assert.Less(t, taken(sparse), int64(size))
	assert.GreaterOrEqual(t, taken(reserved), int64(size), "without MADV_POPULATE_WRITE")
	const noSuchAdvice = 4711
	if unix.Madvise(sparse.Bytes(), noSuchAdvice) == nil {
		t.Skip("madvise says yes to everything and does nothing: qemu-user takes it for a hint")
	}
	full := mustCreate(t, shmseg.MemfdOptions{Regions: []int{size}, Prefault: true})
	assert.GreaterOrEqual(t, taken(full), int64(size))
}
