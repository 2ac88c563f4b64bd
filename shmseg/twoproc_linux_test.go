package shmseg_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func roles() map[string]shmtest.Role {
	return map[string]shmtest.Role{
		"attacker": attacker, "reader": reader,
		"umask": umaskRole, "contender": contenderRole, "churner": churnerRole, "opener": openerRole,
		"limited": limitedRole, "small tmpfs": smallTmpfsRole, "nobody": nobodyRole, "counter": counterRole,
		"half": halfRole,
	}
}

// peerRegions are the regions that tests of two processes agree on.
func peerRegions() []int { return []int{256, 5000} }

func mustCreate(t testing.TB, o shmseg.MemfdOptions) *shmseg.Segment {
	t.Helper()
	s, err := shmseg.CreateMemfd(o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Detach()) })
	return s
}

// mustDup returns a descriptor of its own for what fd refers to.
func mustDup(t testing.TB, fd int) int {
	t.Helper()
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	return dup
}

// childWith starts a child that has the segment as descriptors 3 and 4.
func childWith(t testing.TB, s *shmseg.Segment, role string) *shmtest.Process {
	t.Helper()
	f := os.NewFile(uintptr(mustDup(t, s.FD())), "segment")
	defer f.Close()
	return shmtest.ChildFiles(t, []*os.File{f, f}, role)
}

// attacker tries to change the segment behind descriptor 3 in every way there is, and writes what came of it.
func attacker([]string) int {
	f := os.NewFile(3, "segment")
	s, err := shmseg.AttachMemfd(4, shmseg.AttachOptions{Regions: peerRegions()})
	if err != nil {
		fmt.Println("attach:", err)
		return 1
	}
	mapped := func(f *os.File, err error) error {
		if err != nil {
			return fmt.Errorf("not even opened: %w", err)
		}
		_, err = shmseg.MapFile(f, s.Size(), true)
		return err
	}
	attacks := []struct {
		name string
		do   func() error
	}{
		{"write", func() error { _, err := f.WriteAt([]byte{66}, shmseg.HeaderBytes); return err }},
		{"append", func() error { _, err := f.WriteAt([]byte{66}, int64(s.Size())); return err }},
		{"map writable", func() error { return mapped(f, nil) }},
		{"open again and map writable", func() error { return mapped(os.OpenFile("/proc/self/fd/3", os.O_RDWR, 0)) }},
		{"make mapping writable", func() error { return unix.Mprotect(s.Bytes(), unix.PROT_READ|unix.PROT_WRITE) }},
		{"shrink", func() error { return f.Truncate(shmseg.HeaderBytes) }},
		{"grow", func() error { return f.Truncate(int64(s.Size()) + 1) }},
		{"truncate on open", func() error { _, err := os.OpenFile("/proc/self/fd/3", os.O_RDWR|os.O_TRUNC, 0); return err }},
		{"punch hole", func() error {
			return unix.Fallocate(3, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, shmseg.HeaderBytes)
		}},
		{"extend by fallocate", func() error { return unix.Fallocate(3, 0, 0, int64(s.Size())+1) }},
		{"add seal", func() error { return (*sys.Table)(nil).Seal(3, sys.F_SEAL_WRITE) }},
	}
	for _, a := range attacks {
		fmt.Printf("%s: %v\n", a.name, refusal(a.do()))
	}
	fmt.Println("done")
	return 0
}

// refusal names the errno inside err.
func refusal(err error) string {
	var errno sys.Errno
	if !errors.As(err, &errno) {
		return fmt.Sprint("no errno: ", err)
	}
	return unix.ErrnoName(errno)
}

func TestOnlyTheCreatorCanWrite(t *testing.T) {
	s := mustCreate(t, shmseg.MemfdOptions{Name: "attacked", Regions: peerRegions()})
	s.Region(0)[0] = 65
	before := string(s.Bytes())

	child := childWith(t, s, "attacker")
	for _, want := range []string{
		"write: EPERM",
		"append: EPERM",
		"map writable: EPERM",
		"open again and map writable: EPERM",
		"make mapping writable: EACCES",
		"shrink: EPERM",
		"grow: EPERM",
		"truncate on open: EPERM",
		"punch hole: EPERM",
		"extend by fallocate: EPERM",
		"add seal: EPERM",
		"done",
	} {
		assert.Equal(t, want, child.Line())
	}
	assert.Zero(t, child.Wait())

	assert.True(t, before == string(s.Bytes()), "the segment changed")
	s.Region(1)[4999] = 7
	assert.Equal(t, byte(7), attachAgain(t, s, peerRegions()...).Region(1)[4999], "the creator can still write")
}

// reader attaches descriptor 3 and, for each line, writes the value of the first word of the region of that number.
func reader([]string) int {
	s, err := shmseg.AttachMemfd(3, shmseg.AttachOptions{Regions: peerRegions()})
	if err != nil {
		fmt.Println("attach:", err)
		return 1
	}
	h, err := s.Header()
	if err != nil {
		fmt.Println("header:", err)
		return 1
	}
	fmt.Println("creator", h.CreatorPID, "writable", s.Writable(), "fd", s.FD())
	for in := bufio.NewScanner(os.Stdin); in.Scan() && in.Text() != "end"; {
		fmt.Println(mem.Uint64At(s.Region(strings.Index("01", in.Text())), 0).Load())
	}
	if err := s.Detach(); err != nil {
		fmt.Println("detach:", err)
		return 1
	}
	return 0
}

func TestPeerSeesWhatTheCreatorWrites(t *testing.T) {
	s := mustCreate(t, shmseg.MemfdOptions{Name: "read", Regions: peerRegions()})
	mem.Uint64At(s.Region(1), 0).Store(41)
	child := childWith(t, s, "reader")
	assert.Equal(t, fmt.Sprintf("creator %d writable false fd -1", os.Getpid()), child.Line())

	child.Send("1")
	assert.Equal(t, "41", child.Line())
	for round := range 3 {
		mem.Uint64At(s.Region(0), 0).Store(uint64(100 + round))
		child.Send("0")
		assert.Equal(t, fmt.Sprint(100+round), child.Line())
	}
	child.Send("end")
	assert.Zero(t, child.Wait())
}

func TestSegmentOutlivesItsCreatorsDescriptor(t *testing.T) {
	s := mustCreate(t, shmseg.MemfdOptions{Regions: peerRegions()})
	mem.Uint64At(s.Region(0), 0).Store(9)
	child := childWith(t, s, "reader")
	child.Line()
	require.NoError(t, s.Detach())
	child.Send("0")
	assert.Equal(t, "9", child.Line())
	child.Send("end")
	assert.Zero(t, child.Wait())
}
