package shmseg_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// countdown makes real calls until the last one, which fails with errno instead.
type countdown struct {
	left   int
	errno  error
	failed string // the call that failed
}

func (c *countdown) fails(call string) bool {
	if c.left--; c.left == 0 {
		c.failed = call
	}
	return c.left == 0
}

// table has every call that named segments make. byLink says that renameat2 does not know how.
func (c *countdown) table(byLink bool) *sys.Table {
	var real *sys.Table
	plain := func(name string, call func() error) error {
		if c.fails(name) {
			return c.errno
		}
		return call()
	}
	fd := func(name string, call func() (int, error)) (n int, err error) {
		n = -1
		err = plain(name, func() error { n, err = call(); return err })
		return n, err
	}
	stat := func(name string, call func() (sys.Stat, error)) (st sys.Stat, err error) {
		err = plain(name, func() error { st, err = call(); return err })
		return st, err
	}
	return &sys.Table{
		Open: func(path string) (int, error) {
			return fd("open", func() (int, error) { return real.OpenDir(path) })
		},
		OpenatNew: func(dir int, name string) (int, error) {
			return fd("openat", func() (int, error) { return real.CreateAt(dir, name) })
		},
		Openat: func(dir int, name string, readOnly bool) (int, error) {
			return fd("openat", func() (int, error) { return real.OpenAt(dir, name, readOnly) })
		},
		Fstatat: func(dir int, name string) (sys.Stat, error) {
			return stat("fstatat", func() (sys.Stat, error) { return real.StatAt(dir, name) })
		},
		Fstat: func(f int) (sys.Stat, error) {
			return stat("fstat", func() (sys.Stat, error) { return real.Stat(f) })
		},
		Fstatfs: func(f int) (magic uint32, err error) {
			err = plain("fstatfs", func() error { magic, err = real.FileSystem(f); return err })
			return magic, err
		},
		SetLock: func(f int, exclusive bool, at int64) error {
			return plain("fcntl(F_OFD_SETLK)", func() error { return real.LockByte(f, exclusive, at) })
		},
		Fchmod: func(f int, mode uint32) error {
			return plain("fchmod", func() error { return real.Chmod(f, mode) })
		},
		Fallocate: func(f int, at, size int64) error {
			return plain("fallocate", func() error { return real.Reserve(f, at+size) })
		},
		Populate: func(b []byte) error { return plain("madvise", func() error { return real.Prefault(b) }) },
		Renameat2: func(dir int, from, to string) error {
			if byLink {
				return sys.EINVAL
			}
			return plain("renameat2", func() error { return real.RenameAt(dir, from, to) })
		},
		Linkat: func(dir int, from, to string) error {
			return plain("linkat", func() error { return real.LinkAt(dir, from, to) })
		},
		Unlinkat: func(dir int, name string) error {
			return plain("unlinkat", func() error { return real.UnlinkAt(dir, name) })
		},
		Pread: func(f int, b []byte, at int64) (n int, err error) {
			err = plain("pread", func() error { n, err = real.ReadAt(f, b, at); return err })
			return n, err
		},
	}
}

// eachCallFails lets the first, second, third... call of do fail with EIO, until do gets by without, and returns the
// names of those that failed. leaves checks what is left after a failure.
func eachCallFails(t *testing.T, byLink bool, leaves func(call func()), do func(*sys.Table) error) []string {
	t.Helper()
	var calls []string
	for n := 1; n < 100; n++ {
		c := &countdown{left: n, errno: sys.EIO}
		var err error
		leaves(func() {
			if err = do(c.table(byLink)); c.failed == "" {
				return
			}
			var named *os.SyscallError
			require.ErrorAs(t, err, &named, "call %d: %s", n, c.failed)
			assert.Equal(t, c.failed, named.Syscall)
			assert.ErrorIs(t, err, sys.EIO)
		})
		if c.failed == "" {
			require.NoError(t, err)
			return calls
		}
		calls = append(calls, c.failed)
	}
	t.Fatal("there is always one more call to fail")
	return nil
}

func TestEveryFailingStepOfCreateNamedLeavesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		byLink bool
		calls  []string
	}{
		"renameat2": {false, []string{
			"open", "fstatfs", "fstatat", "openat", "fcntl(F_OFD_SETLK)", "fchmod", "fstat", "fallocate", "madvise",
			"renameat2",
		}},
		"link and unlink": {true, []string{
			"open", "fstatfs", "fstatat", "openat", "fcntl(F_OFD_SETLK)", "fchmod", "fstat", "fallocate", "madvise",
			"linkat", "unlinkat",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shmtest.ShmDir(t)
			calls := eachCallFails(t, tt.byLink, func(call func()) { leavesDir(t, dir, call) }, func(table *sys.Table) error {
				s, err := shmseg.CreateNamed("n", shmseg.NamedOptions{
					Dir: dir, Regions: []int{4000}, Prefault: true, Sys: table,
				})
				if err != nil {
					assert.Nil(t, s)
					return err
				}
				assert.Equal(t, []string{"shmwire.n"}, entries(t, dir))
				assert.NoError(t, shmseg.RemoveNamed("n", shmseg.RemoveOptions{Dir: dir}))
				return s.Detach()
			})
			assert.Equal(t, tt.calls, calls)
		})
	}
}

func TestEveryFailingStepOfOpenNamedLeavesNothing(t *testing.T) {
	dir := shmtest.ShmDir(t)
	mustNamed(t, "n", shmseg.NamedOptions{Dir: dir, Regions: []int{4000}})
	calls := eachCallFails(t, false, func(call func()) { leavesDir(t, dir, call) }, func(table *sys.Table) error {
		s, err := shmseg.OpenNamed("n", shmseg.OpenOptions{Dir: dir, Sys: table})
		if err != nil {
			assert.Nil(t, s)
			return err
		}
		return s.Detach()
	})
	assert.Equal(t, []string{
		"open", "fstatfs", "openat", "fstat", "fstatfs", "fcntl(F_OFD_SETLK)", "fstatat", "pread",
	}, calls)
}

func TestEveryFailingStepOfRemoveLeavesTheName(t *testing.T) {
	dir := shmtest.ShmDir(t)
	o := shmseg.NamedOptions{Dir: dir, Regions: []int{4000}}
	mustNamed(t, "n", o)
	leaves := func(call func()) {
		fds := len(shmtest.FDs(t)) // what they are called changes with the name
		call()
		assert.Len(t, shmtest.FDs(t), fds)
	}
	steps := []string{"open", "fstatfs", "openat", "fstat", "fcntl(F_OFD_SETLK)", "fstatat", "unlinkat"}
	calls := eachCallFails(t, false, leaves, func(table *sys.Table) error {
		assert.Equal(t, []string{"shmwire.n"}, entries(t, dir))
		return shmseg.RemoveNamed("n", shmseg.RemoveOptions{Dir: dir, Sys: table})
	})
	assert.Equal(t, steps, calls)

	mustNamed(t, "n", o)
	calls = eachCallFails(t, false, func(call func()) { call() }, func(table *sys.Table) error {
		var real *sys.Table
		opening := &sys.Table{}
		s, err := shmseg.OpenNamed("n", shmseg.OpenOptions{Dir: dir, Sys: opening})
		require.NoError(t, err)
		defer func() { assert.NoError(t, s.Detach()) }()
		*opening = *table // only from here on
		opening.Pread = real.ReadAt
		return s.Remove()
	})
	assert.Equal(t, append([]string{"fstatat"}, steps...), calls)
}

// A descriptor that cannot do what the mapping needs is the surest way to make mmap fail.
func TestFailingMapOfNamedLeavesNothing(t *testing.T) {
	dir := shmtest.ShmDir(t)
	mustNamed(t, "there", shmseg.NamedOptions{Dir: dir, Regions: []int{4000}})
	var real *sys.Table
	refusedMap := func(err error) {
		var named *os.SyscallError
		require.ErrorAs(t, err, &named)
		assert.Equal(t, "mmap", named.Syscall)
		assert.ErrorIs(t, err, sys.EACCES)
	}
	leavesDir(t, dir, func() {
		_, err := shmseg.CreateNamed("new", shmseg.NamedOptions{Dir: dir, Regions: []int{4000}, Sys: &sys.Table{
			OpenatNew: func(at int, name string) (int, error) {
				fd, err := real.CreateAt(at, name)
				require.NoError(t, errors.Join(err, sys.Close(fd)))
				return mustOpen(t, filepath.Join(dir, name), unix.O_WRONLY), nil
			},
			SetLock: func(int, bool, int64) error { return nil }, // a shared one needs a descriptor that can read
		}})
		refusedMap(err)
	})
	leavesDir(t, dir, func() {
		_, err := shmseg.OpenNamed("there", shmseg.OpenOptions{Dir: dir, Sys: &sys.Table{
			Openat: func(at int, name string, _ bool) (int, error) { return real.OpenAt(at, name, true) },
		}})
		refusedMap(err)
	})
}

func TestKernelsWithoutRenameat2(t *testing.T) {
	for _, errno := range []error{sys.EINVAL, sys.ENOSYS} {
		t.Run(errno.Error(), func(t *testing.T) {
			dir := shmtest.ShmDir(t)
			old := &sys.Table{Renameat2: func(int, string, string) error { return errno }}
			o := shmseg.NamedOptions{Dir: dir, Regions: []int{64}, Sys: old}
			mustNamed(t, "old", o)
			assert.Equal(t, []string{"shmwire.old"}, entries(t, dir))
			mustOpenNamed(t, "old", shmseg.OpenOptions{Dir: dir})
			o.Sys = &sys.Table{Renameat2: old.Renameat2, Fstatat: func(int, string) (sys.Stat, error) {
				return sys.Stat{}, sys.ENOENT // not there yet when it was looked for
			}}
			leavesDir(t, dir, func() {
				_, err := shmseg.CreateNamed("old", o)
				assert.ErrorIs(t, err, os.ErrExist)
			})
		})
	}
	t.Run("other errors", func(t *testing.T) {
		dir := shmtest.ShmDir(t)
		leavesDir(t, dir, func() {
			_, err := shmseg.CreateNamed("x", shmseg.NamedOptions{Dir: dir, Regions: []int{64}, Sys: &sys.Table{
				Renameat2: func(int, string, string) error { return sys.EPERM },
				Linkat:    func(int, string, string) error { panic("not asked for") },
			}})
			assert.ErrorIs(t, err, os.ErrPermission)
		})
	})
}

func TestKernelsWithoutTheLocks(t *testing.T) {
	dir := shmtest.ShmDir(t)
	mustNamed(t, "there", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	for _, errno := range []error{sys.EINVAL, sys.ENOSYS} {
		leavesDir(t, dir, func() {
			table := &sys.Table{SetLock: func(int, bool, int64) error { return errno }}
			_, err := shmseg.CreateNamed("x", shmseg.NamedOptions{Dir: dir, Regions: []int{64}, Sys: table})
			assert.ErrorIs(t, err, errors.ErrUnsupported)
			_, err = shmseg.OpenNamed("there", shmseg.OpenOptions{Dir: dir, Sys: table})
			assert.ErrorIs(t, err, errors.ErrUnsupported)
		})
	}
}

// Who cleans up may find a new file in the moment before its creator has locked it.
func TestCreateAfterItsFileWasCleanedUp(t *testing.T) {
	var real *sys.Table
	first := func(err error) func() error {
		again := false
		return func() error {
			if again {
				return nil
			}
			again = true
			return err
		}
	}
	temporaryExists, locked, gone := first(sys.EEXIST), first(sys.EAGAIN), first(sys.ENOENT)
	for name, table := range map[string]*sys.Table{
		"name taken": {OpenatNew: func(dir int, name string) (int, error) {
			if err := temporaryExists(); err != nil {
				return -1, err
			}
			return real.CreateAt(dir, name)
		}},
		"about to be": {SetLock: func(fd int, exclusive bool, at int64) error {
			if err := locked(); err != nil {
				return err
			}
			return real.LockByte(fd, exclusive, at)
		}},
		"gone": {Renameat2: func(dir int, from, to string) error {
			if gone() != nil {
				require.NoError(t, real.UnlinkAt(dir, from))
			}
			return real.RenameAt(dir, from, to)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shmtest.ShmDir(t)
			made := 0
			s := mustNamed(t, "x", shmseg.NamedOptions{Dir: dir, Regions: []int{64}, Sys: table, Init: func(*shmseg.Segment) error {
				made++
				return nil
			}})
			assert.NoError(t, s.Stale())
			assert.Equal(t, []string{"shmwire.x"}, entries(t, dir))
			assert.Equal(t, name == "gone", made == 2)
		})
	}
}

// The name is given to another file after it was opened: the old one is not what was asked for any more.
func TestOpenOfWhatIsReplacedMeanwhile(t *testing.T) {
	dir := shmtest.ShmDir(t)
	o := shmseg.NamedOptions{Dir: dir, Regions: []int{64}}
	for name, replace := range map[string]func(){
		"removed":  func() {},
		"replaced": func() { mustNamed(t, "x", o).Region(0)[0] = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			old := mustNamed(t, "x", o)
			var real *sys.Table
			opened := 0
			table := &sys.Table{Openat: func(dir int, name string, readOnly bool) (int, error) {
				fd, err := real.OpenAt(dir, name, readOnly)
				if opened++; opened == 1 {
					assert.NoError(t, old.Remove())
					replace()
				}
				return fd, err
			}}
			s, err := shmseg.OpenNamed("x", shmseg.OpenOptions{Dir: dir, Sys: table})
			assert.Equal(t, 2, opened)
			if name == "removed" {
				assert.ErrorIs(t, err, os.ErrNotExist)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, byte(2), s.Region(0)[0])
			require.NoError(t, errors.Join(s.Remove(), s.Detach()))
		})
	}
}

// Starting over has an end, also when others never stop.
func TestLosingEveryRace(t *testing.T) {
	dir := shmtest.ShmDir(t)
	mustNamed(t, "x", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	var real *sys.Table
	leavesDir(t, dir, func() {
		rounds := 0
		_, err := shmseg.OpenNamed("x", shmseg.OpenOptions{Dir: dir, Sys: &sys.Table{
			Fstatat: func(dir int, name string) (sys.Stat, error) {
				rounds++
				st, err := real.StatAt(dir, name)
				st.Ino += uint64(rounds)
				return st, err
			},
		}})
		assert.ErrorIs(t, err, shmseg.ErrStale)
		assert.Greater(t, rounds, 1)
		assert.ErrorContains(t, err, fmt.Sprint(shmseg.Patience))
	})
}

// hold opens the file and takes the lock, until the function that it returns is called.
func hold(t *testing.T, path string, at int64) (release func()) {
	t.Helper()
	var real *sys.Table
	fd, err := real.OpenAt(sys.AtCwd, path, false)
	require.NoError(t, err)
	require.NoError(t, real.LockByte(fd, true, at))
	return func() { assert.NoError(t, sys.Close(fd)) }
}

// Who takes away the name of an unused segment holds its life byte meanwhile: openers wait for the outcome.
func TestOpenDuringRemoval(t *testing.T) {
	dir := shmtest.ShmDir(t)
	s := mustNamed(t, "x", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	require.NoError(t, s.Detach())
	release := hold(t, filepath.Join(dir, "shmwire.x"), shmseg.LifeByte)

	asked := make(chan struct{}, 10_000)
	var real *sys.Table
	table := &sys.Table{SetLock: func(fd int, exclusive bool, at int64) error {
		asked <- struct{}{}
		return real.LockByte(fd, exclusive, at)
	}}
	done := make(chan error)
	go func() {
		s, err := shmseg.OpenNamed("x", shmseg.OpenOptions{Dir: dir, Sys: table})
		if err == nil {
			err = s.Detach()
		}
		done <- err
	}()
	shmtest.Soon(t, asked, "first try")
	shmtest.Soon(t, asked, "second try")
	release() // without having removed it
	assert.NoError(t, shmtest.Soon(t, done, "open"))
	require.NoError(t, shmseg.RemoveNamed("x", shmseg.RemoveOptions{Dir: dir}))
}

// Between the look at the name and its removal, others may remove and create as they like: nobody's successor goes.
func TestRemoveDuringRemoval(t *testing.T) {
	dir := shmtest.ShmDir(t)
	o := shmseg.NamedOptions{Dir: dir, Regions: []int{64}}
	overtaken := func(t *testing.T, remove func(*sys.Table) error) error {
		var real *sys.Table
		locks := 0
		return remove(&sys.Table{SetLock: func(fd int, exclusive bool, at int64) error {
			if locks++; locks == 1 {
				assert.True(t, exclusive)
				assert.Equal(t, int64(shmseg.NameByte), at)
				assert.NoError(t, shmseg.RemoveNamed("x", shmseg.RemoveOptions{Dir: dir}))
				mustNamed(t, "x", o)
			}
			return real.LockByte(fd, exclusive, at)
		}})
	}
	t.Run("by segment", func(t *testing.T) {
		mustNamed(t, "x", o)
		err := overtaken(t, func(table *sys.Table) error {
			opening := &sys.Table{}
			s := mustOpenNamed(t, "x", shmseg.OpenOptions{Dir: dir, Sys: opening})
			*opening = *table
			return s.Remove()
		})
		assert.ErrorIs(t, err, shmseg.ErrStale)
		assert.Equal(t, []string{"shmwire.x"}, entries(t, dir), "the successor")
	})
	t.Run("by name", func(t *testing.T) {
		mustNamed(t, "x", o)
		assert.NoError(t, overtaken(t, func(table *sys.Table) error {
			return shmseg.RemoveNamed("x", shmseg.RemoveOptions{Dir: dir, Sys: table})
		}))
		assert.Empty(t, entries(t, dir), "whatever has the name")
	})
	t.Run("held", func(t *testing.T) {
		s := mustNamed(t, "x", o)
		release := hold(t, filepath.Join(dir, "shmwire.x"), shmseg.NameByte)
		assert.ErrorIs(t, s.Remove(), sys.EAGAIN)
		release()
		assert.NoError(t, s.Remove())
	})
}
