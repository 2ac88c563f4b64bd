package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestNamedSegment(t *testing.T) {
	dir := t.TempDir()
	maker := shmtest.Child(t, "produce", filepath.Join(dir, "shmwire.orders"), "5")
	require.Equal(t, "ready", maker.Line())
	d := mustDocument(t, "info", "orders", "--dir", dir)
	require.Len(t, d.Rings, 1)
	r := d.Rings[0]
	assert.Equal(t, stateOK, r.State)
	assert.Equal(t, "named", r.Kind)
	assert.Equal(t, []uint64{5, 200}, []uint64{*r.RecordsWaiting, *r.BytesWaiting})
	assert.Nil(t, r.Producer.Process.PID, "nobody says who has which side")
	require.Len(t, d.Segments, 1)
	s := d.Segments[0]
	assert.Equal(t, maker.PID(), *s.Creator.PID)
	assert.Equal(t, alive, s.Creator.State)
	assert.Equal(t, []holderDocument{{PID: maker.PID(), Mapped: true, Writable: true}}, s.Holders)
	assert.Equal(t, d.Rings, mustDocument(t, "info", pidText(maker), "--dir", dir).Rings)
	assert.Equal(t, r, ringNamed(t, mustDocument(t, "ls", "--dir", dir), "orders"))
}

func TestEveryPeerDead(t *testing.T) {
	dir := t.TempDir()
	maker := shmtest.Child(t, "produce", filepath.Join(dir, "shmwire.orders"), "16")
	require.Equal(t, "ready", maker.Line())
	assert.Equal(t, stateFull, ringNamed(t, mustDocument(t, "ls", "--dir", dir), "orders").State)
	maker.Kill()
	d := mustDocument(t, "info", "orders", "--dir", dir)
	r := d.Rings[0]
	assert.Equal(t, stateDeadPeer, r.State)
	assert.Equal(t, []uint64{16, 640}, []uint64{*r.RecordsWaiting, *r.BytesWaiting})
	assert.Equal(t, dead, d.Segments[0].Creator.State)
	assert.Empty(t, d.Segments[0].Holders)

	o := shmctl("ls", "--dir", dir)
	assert.Equal(t, statusOK, o.status)
	golden(t, "ls-dead.golden", normal(linesWith(o.stdout, "orders"), nil))

	// What was made before the machine last started is dead, whoever has the number now.
	path := filepath.Join(dir, "shmwire.orders")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[88]++
	binary.LittleEndian.PutUint32(b[72:], uint32(os.Getpid()))
	repair(b)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	d = mustDocument(t, "info", "orders", "--dir", dir)
	assert.Equal(t, stateDeadPeer, d.Rings[0].State)
	assert.False(t, *d.Segments[0].ThisBoot)
}

// namedWith writes a named segment of one empty ring, changed by spoil, and returns its directory.
func namedWith(t testing.TB, spoil func(b []byte) []byte) string {
	t.Helper()
	b := spoil(wholeSegment(t, namedGeometry()))
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shmwire.it"), b, 0o600))
	return dir
}

// wholeSegment is a named segment made by this process with three records in its ring.
func wholeSegment(t testing.TB, geo ring.Geometry) []byte {
	t.Helper()
	made, err := namedBytes(geo.ProducerBytes(), geo.ConsumerBytes())
	require.NoError(t, err)
	b := mem.AlignedBytes(len(made))
	copy(b, made)
	offsets, _ := shmseg.Layout(geo.ProducerBytes(), geo.ConsumerBytes())
	producer, consumer := b[offsets[0]:offsets[0]+geo.ProducerBytes()], b[offsets[1]:offsets[1]+geo.ConsumerBytes()]
	cfg := ring.Config{Geometry: geo, PeerNeverParks: true}
	_, err = ring.NewConsumer(consumer, producer, cfg)
	require.NoError(t, err)
	p, err := ring.NewProducer(producer, consumer, cfg)
	require.NoError(t, err)
	for range 3 {
		ok, err := p.TrySend(make([]byte, 100))
		require.NoError(t, err)
		require.True(t, ok)
	}
	return b
}

func TestForeignVersionShowsTheHeader(t *testing.T) {
	for name, n := range map[string]int{"whole": 1 << 20, "its first 16 bytes": 16} {
		t.Run(name, func(t *testing.T) {
			dir := namedWith(t, func(b []byte) []byte {
				b[8], b[13] = 7, 0x20
				return b[:min(n, len(b))]
			})
			d := mustDocument(t, "info", "it", "--dir", dir)
			assert.Equal(t, stateForeign, d.Rings[0].State)
			assert.Contains(t, d.Rings[0].Notes[0], "version 7, header of 8192 bytes")
			assert.Equal(t, []uint32{7, 8192}, []uint32{*d.Segments[0].Version, *d.Segments[0].HeaderBytes})
			assert.Nil(t, d.Segments[0].ID, "what we do not understand we do not show")
			assert.Nil(t, d.Rings[0].UsedSlots)
			if name == "whole" {
				o := shmctl("info", "it", "--dir", dir)
				assert.Equal(t, statusOK, o.status)
				golden(t, "info-foreign.golden", normal(o.stdout, nil))
			}
			assert.Regexp(t, `it +named +-.* foreign\n`, shmctl("ls", "--dir", dir).stdout)
		})
	}
}

func TestStatesAndExitStatus(t *testing.T) {
	geo := namedGeometry()
	offsets, _ := shmseg.Layout(geo.ProducerBytes(), geo.ConsumerBytes())
	same := func(f func(b []byte)) func([]byte) []byte { return func(b []byte) []byte { f(b); return b } }
	for _, tt := range []struct {
		name   string
		spoil  func(b []byte) []byte
		state  state
		status int
	}{
		{"as it was made", same(func([]byte) {}), stateOK, 0},
		{"closed", same(func(b []byte) { b[offsets[0]+ring.ProducerClosedOffset] = 7 }), stateClosed, 0},
		{"reader gone", same(func(b []byte) { b[offsets[1]+ring.ConsumerClosedOffset] = 1 }), stateClosed, 0},
		{"no ring yet", same(func(b []byte) { clear(b[shmseg.HeaderBytes:]) }), stateIdle, 0},
		{"a kind of ring to come", same(func(b []byte) { b[offsets[0]+12] = 5 }), stateForeign, 0},
		{"other byte order", same(func(b []byte) { b[16], b[19] = b[19], b[16] }), stateForeign, 0},
		{"empty", func([]byte) []byte { return nil }, stateCorrupt, 4},
		{"text", func([]byte) []byte { return []byte("this is no segment") }, stateCorrupt, 4},
		{"cut off in the header", func(b []byte) []byte { return b[:1000] }, stateCorrupt, 4},
		{"cut off behind it", func(b []byte) []byte { return b[:shmseg.HeaderBytes+100] }, stateCorrupt, 4},
		{"bad checksum", same(func(b []byte) { b[60]++ }), stateCorrupt, 4},
		{"bad size", same(func(b []byte) { b[33]++; repair(b) }), stateCorrupt, 4},
		{"bad geometry", same(func(b []byte) { b[offsets[0]+16]++ }), stateCorrupt, 4},
		{"geometry too large", same(func(b []byte) { b[offsets[0]+18], b[offsets[0]+16] = 1, 0; clear(b[offsets[1]:]) }), stateCorrupt, 4},
		{"sides that disagree", same(func(b []byte) { b[offsets[1]+16] = 32 }), stateCorrupt, 4},
		{"one producer and many", same(func(b []byte) { b[offsets[0]+12] = 3 }), stateCorrupt, 4},
		{"sides swapped", same(func(b []byte) { b[offsets[0]+12] = 2 }), stateCorrupt, 4},
		{"bad descriptor", same(func(b []byte) { b[offsets[0]+ring.ProducerDescriptorsOffset] |= 3 }), stateCorrupt, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := namedWith(t, tt.spoil)
			o := shmctl("info", "it", "--dir", dir)
			assert.Equal(t, tt.status, o.status, "%s%s", o.stdout, o.stderr)
			assert.Equal(t, tt.state, ringNamed(t, mustDocument(t, "ls", "--dir", dir), "it").State, o.stdout)
			assert.Equal(t, tt.status == statusCorrupt, strings.Contains(o.stderr, "corrupt"))
		})
	}
}

func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "shmwire.fifo"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "shmwire.dir"), 0o700))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "shmwire.link")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other"), nil, 0o600))
	d := mustDocument(t, "ls", "--dir", dir)
	assert.Equal(t, stateCorrupt, ringNamed(t, d, "fifo").State)
	assert.Equal(t, stateCorrupt, ringNamed(t, d, "dir").State)
	assert.Equal(t, stateUnreadable, ringNamed(t, d, "link").State)
	assert.Equal(t, statusNotFound, shmctl("info", "link", "--dir", dir).status)
	for _, r := range d.Rings {
		assert.NotEqual(t, "other", r.Name)
	}
}

func TestNamesCannotDriveTheTerminal(t *testing.T) {
	dir := dirWith(t, "\x1b[2J\tx")
	o := shmctl("ls", "--dir", dir)
	assert.Regexp(t, `(?m)^\\x1b\[2J\\tx +named`, o.stdout) // as wide as what other processes have
	assert.NotContains(t, o.stdout, "\x1b")
	o = shmctl("info", "\x1b[2J\tx", "--dir", dir)
	assert.NotContains(t, o.stdout+o.stderr, "\x1b")
	assert.Equal(t, statusCorrupt, o.status)
}

// FuzzGarbageFiles: whatever is in the file of a named segment, it has a state, and looking at it ends.
func FuzzGarbageFiles(f *testing.F) {
	kinds := [][]byte{wholeSegment(f, namedGeometry()), wholeSegment(f, manyGeometry())}
	f.Add([]byte{}, uint(0), false)
	f.Add([]byte{}, uint(1), false)
	f.Add([]byte("shmwire\x00"), uint(0), true)
	f.Add([]byte{0, 32, 3, 0, 200, 1}, uint(0), true)
	f.Add([]byte{16, 128, 2, 20, 0, 9, 147, 128, 1}, uint(1), false)
	path := filepath.Join(f.TempDir(), "shmwire.fuzz")
	h := thisHost()
	f.Fuzz(func(t *testing.T, edits []byte, kind uint, raw bool) {
		b := edits
		if !raw { // each three bytes change one of a good segment, whose checksum is made right again
			b = append([]byte{}, kinds[kind%2]...)
			for ; len(edits) >= 3; edits = edits[3:] {
				b[(int(edits[0])<<8|int(edits[1]))%len(b)] = edits[2]
			}
			repair(b)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &survey{host: h}
		r := s.add("named", "fuzz", nil, nil)
		r.in = namedSegment(h, "fuzz", path, shmseg.Found{})
		r.out = r.in
		r.inspect()
		r.findOwners(h)
		r.judge(true)
		if r.state == "" || r.complete() && r.snapshot.Slots > uint64(r.snapshot.Geometry.Slots) {
			t.Fatalf("%+v", r)
		}
		s.details(new(bytes.Buffer), s.rings, true)
		s.document(s.rings)
		s.segmentDocument(r.in)
	})
}
