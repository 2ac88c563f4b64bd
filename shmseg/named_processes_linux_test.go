package shmseg_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
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

// outcome names what came of making or opening a segment.
func outcome(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{os.ErrExist, "exists"},
		{os.ErrNotExist, "not there"},
		{os.ErrPermission, "permission"},
		{shmseg.ErrStale, "stale"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	if bad := (*shmseg.AttachError)(nil); errors.As(err, &bad) {
		return "check " + bad.Check
	}
	if err != nil {
		return refusal(err)
	}
	return "ok"
}

// umaskRole makes the segment "u" in a directory with a umask and writes its permission bits.
func umaskRole(args []string) int {
	mask, _ := strconv.ParseInt(args[1], 8, 0)
	unix.Umask(int(mask))
	mode, _ := strconv.ParseInt(args[2], 8, 0)
	s, err := shmseg.CreateNamed("u", shmseg.NamedOptions{Dir: args[0], Regions: []int{1}, Mode: os.FileMode(mode)})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	st, err := os.Stat(filepath.Join(args[0], "shmwire.u"))
	fmt.Printf("%#o %v %v\n", st.Mode(), err, errors.Join(s.Remove(), s.Detach()))
	return 0
}

func TestModeWhateverTheUmask(t *testing.T) {
	dir := shmtest.ShmDir(t)
	for _, umask := range []string{"0", "022", "077", "0777"} {
		for _, mode := range []string{"0600", "0640", "0666"} {
			child := shmtest.Child(t, "umask", dir, umask, mode)
			assert.Equal(t, mode+" <nil> <nil>", child.Line(), "umask %s", umask)
			assert.Zero(t, child.Wait())
		}
	}
}

// contenderRole makes the segment "c" when told to, and keeps it until told to end.
func contenderRole(args []string) int {
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	in.Scan()
	s, err := shmseg.CreateNamed("c", shmseg.NamedOptions{Dir: args[0], Regions: []int{1 << 16}})
	fmt.Println(outcome(err))
	in.Scan()
	if s != nil && s.Detach() != nil {
		return 1
	}
	return 0
}

func TestOneOfManyCreatorsWins(t *testing.T) {
	const many, rounds = 16, 3
	dir := shmtest.ShmDir(t)
	for range rounds {
		var children []*shmtest.Process
		for range many {
			children = append(children, shmtest.Child(t, "contender", dir))
		}
		for _, c := range children {
			require.Equal(t, "ready", c.Line())
		}
		for _, c := range children {
			c.Send("go")
		}
		got := map[string]int{}
		for _, c := range children {
			got[c.Line()]++
		}
		assert.Equal(t, map[string]int{"ok": 1, "exists": many - 1}, got)
		assert.Equal(t, []string{"shmwire.c"}, entries(t, dir))
		mustOpenNamed(t, "c", shmseg.OpenOptions{Dir: dir, Regions: []int{1 << 16}})
		require.NoError(t, shmseg.RemoveNamed("c", shmseg.RemoveOptions{Dir: dir}))
		for _, c := range children {
			c.Send("end")
		}
		for _, c := range children {
			assert.Zero(t, c.Wait())
		}
	}
}

// churnRegions has a region that takes a while to fill, so that a half-made segment would be met.
func churnRegions() []int { return []int{8, 20_000} }

// churnStep is how many rounds of a churner take no time worth waiting for, on the slowest machine.
const churnStep = 50

// churnerRole makes and removes the segment "x" a number of times, in competition with others of its kind, and writes
// after every so many how often it did.
func churnerRole(args []string) int {
	rounds, _ := strconv.Atoi(args[1])
	made, fill := 0, bytes.Repeat([]byte{0xab}, churnRegions()[1])
	for round := range rounds {
		if round%churnStep == churnStep-1 {
			fmt.Println(made)
		}
		s, err := shmseg.CreateNamed("x", shmseg.NamedOptions{
			Dir: args[0], Regions: churnRegions(), Init: func(s *shmseg.Segment) error {
				copy(s.Region(1), fill)
				mem.Uint64At(s.Region(0), 0).Store(uint64(os.Getpid()))
				return nil
			},
		})
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil {
			made++
			err = errors.Join(s.Remove(), s.Detach())
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

// openerRole opens the segment "x" again and again until its input says so, and writes how often it was there and, in
// case, what was wrong with it.
func openerRole(args []string) int {
	end := make(chan struct{})
	go func() {
		bufio.NewScanner(os.Stdin).Scan()
		close(end)
	}()
	opened := 0
	fmt.Println("ready")
	for {
		select {
		case <-end:
			fmt.Println("opened", opened)
			return 0
		default:
		}
		found, err := openWhole(args[0])
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if found {
			opened++
		}
	}
}

// openWhole reports whether the segment "x" was there, and an error if it was, but not whole.
func openWhole(dir string) (found bool, err error) {
	s, err := shmseg.OpenNamed("x", shmseg.OpenOptions{Dir: dir, ReadOnly: true})
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	defer func() { err = errors.Join(err, s.Detach()) }()
	if _, err := s.Header(); err != nil {
		return true, err
	}
	if fill := s.Region(1); bytes.Count(fill, []byte{0xab}) != len(fill) || mem.Uint64At(s.Region(0), 0).Load() == 0 {
		return true, errors.New("half-made")
	}
	if err := s.Stale(); err != nil && !errors.Is(err, shmseg.ErrStale) {
		return true, err
	}
	return true, nil
}

// Two processes make and remove one name as fast as they can, two open it: what is found is whole, and nobody removes
// what is another's.
func TestOpenersSeeOnlyWholeSegments(t *testing.T) {
	dir := shmtest.ShmDir(t)
	var openers, churners []*shmtest.Process
	for range 2 {
		openers = append(openers, shmtest.Child(t, "opener", dir))
	}
	for _, c := range openers {
		require.Equal(t, "ready", c.Line())
	}
	const rounds = 1000
	for range 2 {
		churners = append(churners, shmtest.Child(t, "churner", dir, strconv.Itoa(rounds)))
	}
	made := 0
	for range rounds / churnStep {
		for _, c := range churners {
			n, err := strconv.Atoi(c.Line())
			require.NoError(t, err)
			made = max(made, n)
		}
	}
	assert.Positive(t, made)
	for _, c := range churners {
		assert.Zero(t, c.Wait())
	}
	for _, c := range openers {
		c.Send("end")
		words := strings.Fields(c.Line())
		require.Equal(t, "opened", words[0], "%q", words)
		t.Log(words)
		assert.Zero(t, c.Wait())
	}
	assert.Empty(t, entries(t, dir))
}

// limitedRole makes segments under limits and writes what comes of it.
func limitedRole(args []string) int {
	create := func() error {
		_, err := shmseg.CreateNamed("l", shmseg.NamedOptions{Dir: args[0], Regions: []int{4 << 20}})
		return err
	}
	for _, limit := range []struct {
		which int
		value uint64
	}{
		{unix.RLIMIT_FSIZE, 3 << 20}, // in the middle of the second piece that is reserved
		{unix.RLIMIT_NOFILE, 0},
	} {
		err := under(limit.which, limit.value, create)
		left, readErr := os.ReadDir(args[0])
		fmt.Println(outcome(err), len(left), readErr)
	}
	fmt.Println(outcome(create()), outcome(shmseg.RemoveNamed("l", shmseg.RemoveOptions{Dir: args[0]})))
	return 0
}

// under calls do with a limit of this process lowered to value.
func under(limit int, value uint64, do func() error) error {
	var old unix.Rlimit
	if err := unix.Getrlimit(limit, &old); err != nil {
		return err
	}
	if err := unix.Setrlimit(limit, &unix.Rlimit{Cur: value, Max: old.Max}); err != nil {
		return err
	}
	return errors.Join(do(), unix.Setrlimit(limit, &old))
}

func TestLimitsOfTheProcess(t *testing.T) {
	dir := shmtest.ShmDir(t)
	child := shmtest.Child(t, "limited", dir)
	assert.Equal(t, "EFBIG 0 <nil>", child.Line(), "RLIMIT_FSIZE")
	assert.Equal(t, "EMFILE 0 <nil>", child.Line(), "RLIMIT_NOFILE")
	assert.Equal(t, "ok ok", child.Line(), "without")
	assert.Zero(t, child.Wait())
}

// smallTmpfsRole mounts a tmpfs of 1 MiB where nobody else sees it, fills it, and writes what comes of it.
func smallTmpfsRole(args []string) int {
	runtime.LockOSThread() // the name space is this thread's, which ends with the process
	dir := args[0]
	if err := errors.Join(
		unix.Unshare(unix.CLONE_NEWNS),
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"),
	); err != nil {
		fmt.Println("no tmpfs:", err)
		return 0
	}
	o := shmseg.NamedOptions{Dir: dir, Regions: []int{600 << 10}, Prefault: true}
	_, tooLarge := shmseg.CreateNamed("large", shmseg.NamedOptions{Dir: dir, Regions: []int{2 << 20}})
	left, _ := os.ReadDir(dir)
	fmt.Println(outcome(tooLarge), len(left))
	first, err := shmseg.CreateNamed("first", o)
	_, second := shmseg.CreateNamed("second", o)
	left, _ = os.ReadDir(dir)
	fmt.Println(outcome(err), outcome(second), left)
	clear(first.Region(0)) // nothing of it is missing
	err = errors.Join(first.Remove(), first.Detach())
	again, third := shmseg.CreateNamed("third", o)
	fmt.Println(outcome(err), outcome(third), "after", errors.Join(again.Remove(), again.Detach()))
	return 0
}

func TestFullFileSystem(t *testing.T) {
	child := shmtest.Child(t, "small tmpfs", shmtest.ShmDir(t))
	line := child.Line()
	if strings.HasPrefix(line, "no tmpfs") {
		t.Skipf("needs a mount of its own: %s", line)
	}
	assert.Equal(t, "ENOSPC 0", line)
	assert.Equal(t, "ok ENOSPC [- shmwire.first]", child.Line())
	assert.Equal(t, "ok ok after <nil>", child.Line())
	assert.Zero(t, child.Wait())
}

// nobodyRole becomes another user and writes what opening and making come to.
func nobodyRole(args []string) int {
	uid, _ := strconv.Atoi(args[1])
	if err := shmtest.Become(uid); err != nil {
		fmt.Println(err)
		return 1
	}
	try := func(name string, o shmseg.OpenOptions) error {
		o.Dir = args[0]
		s, err := shmseg.OpenNamed(name, o)
		if err != nil {
			return err
		}
		return s.Detach()
	}
	fmt.Println(
		outcome(try("private", shmseg.OpenOptions{ReadOnly: true})), "|",
		outcome(try("public", shmseg.OpenOptions{ReadOnly: true})), "|",
		outcome(try("public", shmseg.OpenOptions{ReadOnly: true, Owners: []int{1, 0}})), "|",
		outcome(try("public", shmseg.OpenOptions{Owners: []int{0}})), "|",
		outcome(shmseg.RemoveNamed("public", shmseg.RemoveOptions{Dir: args[0]})), "|",
		outcome(try("mine", shmseg.OpenOptions{})), "|",
		outcome(try("mine", shmseg.OpenOptions{Owners: []int{uid}})),
	)
	return 0
}

func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := shmtest.ShmDir(t)
	require.NoError(t, os.Chmod(dir, 0o1777))
	mustNamed(t, "private", shmseg.NamedOptions{Dir: dir, Regions: []int{8}})
	mustNamed(t, "public", shmseg.NamedOptions{Dir: dir, Regions: []int{8}, Mode: 0o644})
	mustNamed(t, "mine", shmseg.NamedOptions{Dir: dir, Regions: []int{8}})
	const others = "permission | check owner | ok | permission | permission | "
	for uid, own := range map[int]string{
		4711:              "ok | ok",
		sys.OverflowUID(): "check owner | ok", // stands for many
	} {
		require.NoError(t, os.Chown(filepath.Join(dir, "shmwire.mine"), uid, uid))
		child := shmtest.Child(t, "nobody", dir, strconv.Itoa(uid))
		assert.Equal(t, others+own, child.Line(), "uid %d", uid)
		assert.Zero(t, child.Wait())
	}
}

// counterRole opens the segment "n" and counts its word upwards, whenever it is even, until the word says end; or is
// killed.
func counterRole(args []string) int {
	s, err := shmseg.OpenNamed("n", shmseg.OpenOptions{Dir: args[0], Regions: []int{8, 64}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("open")
	word := mem.Uint64At(s.Region(0), 0)
	for {
		if v := word.Load(); v%2 == 0 {
			word.Store(v + 1)
		}
		runtime.Gosched()
	}
}

// Two processes write one word in turn. One is killed; the segment is as good as before, and so is its name, and the
// next process takes up where the last one ended.
func TestPartnerKilled(t *testing.T) {
	dir := shmtest.ShmDir(t)
	s := mustNamed(t, "n", shmseg.NamedOptions{Dir: dir, Regions: []int{8, 64}})
	word := mem.Uint64At(s.Region(0), 0)
	value := uint64(0)
	for range 3 {
		child := shmtest.Child(t, "counter", dir)
		require.Equal(t, "open", child.Line())
		for range 50 {
			shmtest.Eventually(t, "the other's turn", func() bool { return word.Load() == value+1 })
			value += 2
			word.Store(value)
		}
		child.Kill()
		value = (word.Load() + 1) &^ 1 // whether or not it was killed before its turn
		word.Store(value)
		assert.NoError(t, s.Stale())
		_, err := s.Header()
		assert.NoError(t, err)
	}
	require.NoError(t, s.Detach())
	release := hold(t, filepath.Join(dir, "shmwire.n"), shmseg.LifeByte) // the dead hold no lock
	release()
	require.NoError(t, shmseg.RemoveNamed("n", shmseg.RemoveOptions{Dir: dir}))
}

// halfRole is killed, or told to go on, when its segment has all but the name.
func halfRole(args []string) int {
	_, err := shmseg.CreateNamed("half", shmseg.NamedOptions{
		Dir: args[0], Regions: []int{64}, Init: func(*shmseg.Segment) error {
			fmt.Println("half")
			bufio.NewScanner(os.Stdin).Scan()
			return nil
		},
	})
	fmt.Println(outcome(err))
	return 0
}

// What a killed creator leaves is nobody's, has no name that anybody opens, and is in nobody's way.
func TestCreatorKilledHalfWay(t *testing.T) {
	dir := shmtest.ShmDir(t)
	child := shmtest.Child(t, "half", dir)
	require.Equal(t, "half", child.Line())
	half := entries(t, dir)
	require.Len(t, half, 1)
	var real *sys.Table
	fd, err := real.OpenAt(sys.AtCwd, filepath.Join(dir, half[0]), false)
	require.NoError(t, err)
	defer func() { assert.NoError(t, sys.Close(fd)) }()
	assert.ErrorIs(t, real.LockByte(fd, true, shmseg.LifeByte), sys.EAGAIN, "while its creator lives")
	child.Kill()
	shmtest.Eventually(t, "the lock of the dead", func() bool { return real.LockByte(fd, true, shmseg.LifeByte) == nil })

	mustNamed(t, "half", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	assert.ElementsMatch(t, []string{half[0], "shmwire.half"}, entries(t, dir))
	require.NoError(t, os.Remove(filepath.Join(dir, half[0])))
}
