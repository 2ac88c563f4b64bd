package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connected starts two processes with a connection between them.
func connected(t testing.TB, uid string) (dialler, listener *shmtest.Process) {
	t.Helper()
	path := shmtest.SocketPath(t)
	if uid != "0" {
		require.NoError(t, os.Chmod(filepath.Dir(path), 0o777))
	}
	listener = shmtest.Child(t, "listen", uid, path)
	require.Equal(t, "listening", listener.Line())
	dialler = shmtest.Child(t, "dial", uid, path)
	require.Equal(t, "shm", dialler.Line())
	require.Equal(t, "shm", listener.Line())
	return dialler, listener
}

func tellTo(p *shmtest.Process, t testing.TB, line string) {
	t.Helper()
	p.Send(line)
	require.Equal(t, "done", p.Line())
}

// between returns the ring from one process to another, as info of the first shows it.
func between(t testing.TB, from, to *shmtest.Process) ringDocument {
	t.Helper()
	d := mustDocument(t, "info", pidText(from), "--dir", t.TempDir())
	require.Len(t, d.Rings, 2)
	require.Len(t, d.Segments, 2)
	for _, r := range d.Rings {
		p, c := r.Producer.Process.PID, r.Consumer.Process.PID
		if p != nil && c != nil && *p == from.PID() && *c == to.PID() {
			return r
		}
	}
	require.Fail(t, "no such ring", "%+v", d.Rings)
	return ringDocument{}
}

// mayOpenMappings skips a test of what only root can see.
func mayOpenMappings(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may open what others have mapped")
	}
}

func TestConnection(t *testing.T) {
	a, b := connected(t, "0")
	tellTo(a, t, "send 3 100")
	r := between(t, a, b)
	assert.Equal(t, stateOK, r.State)
	assert.Equal(t, "connection", r.Kind)
	assert.Equal(t, []int{4096, 64, 64}, []int{*r.CapacityBytes, *r.CapacitySlots, *r.SlotBytes})
	assert.Equal(t, []uint64{3, 300, 6}, []uint64{*r.RecordsWaiting, *r.BytesWaiting, *r.UsedSlots})
	assert.InDelta(t, 9.38, *r.FillPercent, 0)
	assert.Equal(t, []uint64{6, 0}, []uint64{*r.Producer.Position, *r.Consumer.Position})
	assert.Equal(t, []life{alive, alive}, []life{r.Producer.Process.State, r.Consumer.Process.State})
	assert.NotNil(t, r.Producer.Process.Started)
	assert.Equal(t, stateIdle, between(t, b, a).State)

	tellTo(b, t, "receive 3")
	r = between(t, a, b)
	assert.Equal(t, stateIdle, r.State)
	assert.Equal(t, []uint64{6, 6}, []uint64{*r.Producer.Position, *r.Consumer.Position})

	tellTo(b, t, "listen")
	shmtest.Eventually(t, "the consumer sleeps", func() bool { return *between(t, a, b).Consumer.Sleeping == 1 })
	assert.EqualValues(t, 3, between(t, a, b).Consumer.Counters.Records)

	tellTo(a, t, "closewrite")
	assert.Equal(t, stateClosed, between(t, a, b).State)
	assert.Equal(t, stateIdle, between(t, b, a).State, "the other way is open")
}

func TestFullRing(t *testing.T) {
	a, b := connected(t, "0")
	tellTo(a, t, "block 1 40")
	shmtest.Eventually(t, "the producer sleeps", func() bool { return *between(t, a, b).Producer.Sleeping == 1 })
	r := between(t, a, b)
	assert.Equal(t, stateFull, r.State)
	assert.Equal(t, []uint64{64, 64 * 40, 64}, []uint64{*r.RecordsWaiting, *r.BytesWaiting, *r.UsedSlots})
	assert.InDelta(t, 100, *r.FillPercent, 0)
	assert.EqualValues(t, 64, *r.Producer.Counters.HighWaterSlots)
	assert.EqualValues(t, 64, *r.Producer.Position)

	replace := map[string]string{pidText(a): "DIALLER", pidText(b): "LISTENER"}
	o := shmctl("ls", "--dir", t.TempDir())
	assert.Equal(t, statusOK, o.status)
	rows := linesWith(o.stdout, pidText(a), pidText(b))
	assert.Contains(t, rows, "100%")
	golden(t, "ls-full.golden", inOrder(t, normal(rows, replace)))
	assert.NotContains(t, shmctl("ls", "--no-header", "--dir", t.TempDir()).stdout, "CAPACITY")

	name, _, _ := strings.Cut(r.Name, "/")
	o = shmctl("info", r.Name, "--dir", t.TempDir())
	assert.Equal(t, statusOK, o.status)
	golden(t, "info-full.golden", sortedSegments(normal(strings.ReplaceAll(o.stdout, r.Name, name+"/N"), replace)))
	o = shmctl("info", r.Name, "--dir", t.TempDir(), "-o", "json")
	assert.Equal(t, statusOK, o.status)
	golden(t, "info-full.json.golden", withoutSegments(t, normal(strings.ReplaceAll(o.stdout, r.Name, name+"/N"), replace)))

	both := mustDocument(t, "info", name, "--dir", t.TempDir())
	assert.Len(t, both.Rings, 2)
	assert.Equal(t, 2, len(both.Segments))
	assert.Equal(t, both.Rings, mustDocument(t, "info", name[:7], "--dir", t.TempDir()).Rings)
}

// inOrder puts the row of the full ring first: which of a connection's segments was made first differs.
func inOrder(t testing.TB, table string) string {
	t.Helper()
	lines := strings.SplitAfter(strings.NewReplacer("LINK/0", "LINK/N", "LINK/1", "LINK/N").Replace(table), "\n")
	require.Len(t, lines, 4, table)
	slices.SortFunc(lines[1:3], func(a, b string) int { return strings.Index(b, "100%") - strings.Index(a, "100%") })
	return strings.Join(lines, "")
}

// sortedSegments does the same for the segments, what the dialler made first, and for their holders.
func sortedSegments(text string) string {
	text = regexp.MustCompile(`(?m)^(  held by  L.*\n)(  held by  D.*\n?)`).ReplaceAllString(strings.TrimRight(text, "\n")+"\n", "$2$1")
	parts := strings.Split(text, "SEGMENT ")
	slices.SortFunc(parts[1:], func(a, b string) int {
		return strings.Index(a, "creator  LISTENER") - strings.Index(b, "creator  LISTENER")
	})
	for i := range parts {
		parts[i] = strings.TrimRight(parts[i], "\n") + "\n"
	}
	return strings.Join(parts, "\nSEGMENT ")
}

// withoutSegments leaves out of a document what the other golden has.
func withoutSegments(t testing.TB, text string) string {
	t.Helper()
	var d map[string]any
	text = strings.NewReplacer(": N,", ": 0,", ": N\n", ": 0\n").Replace(text)
	require.NoError(t, json.Unmarshal([]byte(text), &d), text)
	delete(d, "segments")
	out, err := json.MarshalIndent(d, "", "  ")
	require.NoError(t, err)
	return string(out) + "\n"
}

func TestDeadPeer(t *testing.T) {
	mayOpenMappings(t)
	a, b := connected(t, "0")
	tellTo(a, t, "send 3 100")
	tellTo(b, t, "send 5 10")
	b.Kill()
	to, from := between(t, a, b), between(t, b, a)
	for _, r := range []ringDocument{to, from} {
		assert.Equal(t, stateDeadPeer, r.State)
	}
	assert.Equal(t, []life{alive, dead}, []life{to.Producer.Process.State, to.Consumer.Process.State})
	assert.Equal(t, []life{dead, alive}, []life{from.Producer.Process.State, from.Consumer.Process.State})
	assert.Equal(t, b.PID(), *to.Consumer.Process.PID)
	assert.NotNil(t, to.Consumer.Process.Started)
	assert.EqualValues(t, 3, *to.RecordsWaiting)
	assert.EqualValues(t, 5, *from.RecordsWaiting, "what the dead sent is still there")
	assert.Equal(t, to, between(t, a, b), "nothing changes any more")
	rows := linesWith(shmctl("ls", "--dir", t.TempDir()).stdout, pidText(a))
	assert.Equal(t, 2, strings.Count(rows, pidText(b)+" dead"))
	assert.Equal(t, 2, strings.Count(rows, "dead peer"))
	assert.Equal(t, statusOK, shmctl("info", pidText(b), "--dir", t.TempDir()).status, "also by the dead one's number")
}

// A peer that closed before it ended is no dead peer.
func TestPeerThatClosedAndLeft(t *testing.T) {
	mayOpenMappings(t)
	a, b := connected(t, "0")
	tellTo(b, t, "send 2 10")
	tellTo(b, t, "close")
	b.Kill()
	assert.Equal(t, stateClosed, between(t, a, b).State)
	r := between(t, b, a)
	assert.Equal(t, stateClosed, r.State)
	assert.EqualValues(t, 2, *r.RecordsWaiting)
	assert.Equal(t, dead, r.Producer.Process.State)
}

const otherUser = "54321"

// Somebody without privileges sees the connections of his own processes, and is told what he does not see.
func TestWithoutPrivileges(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	a, b := connected(t, otherUser)
	roots, _ := connected(t, "0")
	tellTo(a, t, "send 3 100")
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	asOther := func(args ...string) (text string) {
		child := shmtest.Child(t, "shmctl", append(append([]string{otherUser}, args...), "--dir", dir)...)
		for !strings.Contains(text, "status ") {
			text += child.Line() + "\n"
		}
		return text
	}
	text := asOther("ls")
	assert.Contains(t, text, "processes that could not be looked into: ")
	assert.NotContains(t, text, "segments that are not readable")
	assert.Equal(t, 2, strings.Count(text, pidText(a)+" alive"))
	assert.Equal(t, 2, strings.Count(text, pidText(b)+" alive"))
	assert.NotContains(t, text, pidText(roots))
	assert.Contains(t, text, "status 0")
	text = asOther("info", pidText(roots))
	assert.Contains(t, text, "permission denied")
	assert.Contains(t, text, "status 2")

	b.Kill()
	text = asOther("ls")
	assert.Contains(t, text, "segments that are not readable: 1")
	rows := linesWith(text, pidText(a))
	assert.Equal(t, 2, strings.Count(rows, "unreadable"), text)
	text = asOther("info", pidText(a))
	assert.Contains(t, text, "peer's side not readable")
	assert.Contains(t, text, "status 0")
	assert.Equal(t, stateDeadPeer, between(t, a, b).State, "root sees that the peer is dead")
}

// files returns the content of every segment file and how many blocks it takes.
func files(t testing.TB, paths ...string) (content []string, blocks []int64) {
	t.Helper()
	for _, p := range paths {
		b, err := os.ReadFile(p)
		require.NoError(t, err)
		var st syscall.Stat_t
		require.NoError(t, syscall.Stat(p, &st))
		content, blocks = append(content, string(b)), append(blocks, st.Blocks)
	}
	return content, blocks
}

// memfdPaths returns paths to the memfds that a process has made.
func memfdPaths(t testing.TB, pid string) (paths []string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/" + pid + "/fd")
	require.NoError(t, err)
	for _, fd := range fds {
		path := "/proc/" + pid + "/fd/" + fd.Name()
		if target, err := os.Readlink(path); err == nil && strings.HasPrefix(target, "/memfd:shmwire:") {
			paths = append(paths, path)
		}
	}
	require.NotEmpty(t, paths)
	return paths
}

func TestNothingIsWritten(t *testing.T) {
	a, b := connected(t, "0")
	tellTo(a, t, "send 30 100")
	tellTo(b, t, "send 2 1")
	tellTo(a, t, "receive 1")
	dir := t.TempDir()
	maker := shmtest.Child(t, "produce", filepath.Join(dir, "shmwire.queue"), "5")
	require.Equal(t, "ready", maker.Line())
	paths := append(memfdPaths(t, pidText(a)), memfdPaths(t, pidText(b))...)
	paths = append(paths, filepath.Join(dir, "shmwire.queue"))

	content, blocks := files(t, paths...)
	for _, args := range [][]string{{"ls"}, {"ls", "-o", "json"}, {"info", pidText(a)}, {"info", "queue"}, {"info", "queue", "-o", "json"}} {
		require.Equal(t, statusOK, shmctl(append(args, "--dir", dir)...).status)
	}
	contentAfter, blocksAfter := files(t, paths...)
	for i, p := range paths {
		assert.True(t, content[i] == contentAfter[i], "%s was changed", p)
	}
	assert.Equal(t, blocks, blocksAfter, "no memory was given to pages that had none")

	// Nothing could have been: what shmctl maps, it maps read-only.
	s, err := look(t.Context(), dir)
	require.NoError(t, err)
	looked := 0
	for _, r := range s.called(pidText(a)) {
		looked += mappedReadOnly(t, r)
	}
	for _, r := range s.called("queue") {
		looked += mappedReadOnly(t, r)
	}
	assert.Equal(t, 5, looked) // two segments of two rings, and one
}

// mappedReadOnly maps the segments of r as an inspection does and returns how many there were.
func mappedReadOnly(t testing.TB, r *ringView) int {
	t.Helper()
	segments := r.segments()
	for _, s := range segments {
		p, err := mapped(s)
		require.NoError(t, err)
		maps, err := os.ReadFile("/proc/self/maps")
		require.NoError(t, err)
		found := 0
		for line := range strings.Lines(string(maps)) {
			if f := strings.Fields(line); len(f) > 5 && f[4] == strconv.FormatUint(s.ino, 10) && strings.Contains(line, "shmwire") {
				assert.Equal(t, "r--s", f[1], line)
				found++
			}
		}
		assert.Equal(t, 1, found)
		assert.True(t, faults(func() { p.Region(0)[0] = 1 }))
		require.NoError(t, p.Close())
	}
	return len(segments)
}

// faults reports whether f touches memory that it must not.
func faults(f func()) (fault bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _, fault = recover().(interface{ Addr() uintptr }) }()
	f()
	return false
}

// Whose number was used again is dead all the same.
func TestNumberUsedAgain(t *testing.T) {
	h := thisHost()
	hd := &shmseg.Header{
		CreatorPID: os.Getpid(), CreatorStart: h.self.Start, BootID: h.self.BootID, PIDNamespace: h.self.PIDNamespace,
	}
	for _, tt := range []struct {
		name   string
		change func(hd *shmseg.Header)
		want   life
	}{
		{"ourselves", func(*shmseg.Header) {}, alive},
		{"started at another time", func(hd *shmseg.Header) { hd.CreatorStart++ }, dead},
		{"started nobody knows when", func(hd *shmseg.Header) { hd.CreatorStart = 0 }, alive},
		{"before the machine started", func(hd *shmseg.Header) { hd.BootID[0]++ }, dead},
		{"in another PID namespace", func(hd *shmseg.Header) { hd.PIDNamespace++ }, unknown},
		{"in a PID namespace nobody knows", func(hd *shmseg.Header) { hd.PIDNamespace = 0 }, alive},
		{"no such number", func(hd *shmseg.Header) { hd.CreatorPID = 1 << 30 }, dead},
	} {
		changed := *hd
		tt.change(&changed)
		assert.Equal(t, tt.want, h.creator(&changed).life, tt.name)
	}
}

func TestInfoOfProcessesWithoutSegments(t *testing.T) {
	o := shmctl("info", strconv.Itoa(os.Getpid()), "--dir", t.TempDir())
	assert.Equal(t, statusNotFound, o.status)
	assert.Contains(t, o.stderr, "has no segments")
	o = shmctl("info", strconv.Itoa(1<<30), "--dir", t.TempDir())
	assert.Equal(t, statusNotFound, o.status)
	assert.Contains(t, o.stderr, "no process")
	o = shmctl("info", "nosuchname", "--dir", t.TempDir())
	assert.Equal(t, statusNotFound, o.status)
	assert.Empty(t, o.stdout)
}
