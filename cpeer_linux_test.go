package shmwire_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Streams of the records between Go and the C peer, as the C peer numbers them.
const (
	fromC  = 0xc
	fromGo = 0x60
)

// TestCPeer exchanges records with a program in C, which knows the ring only from its documentation. Each side maps what
// the other writes read-only.
func TestCPeer(t *testing.T) {
	program := buildCPeer(t)
	many, some := 1_000_000, 50_000
	if testing.Short() {
		many, some = 50_000, 5_000
	}
	normal := ring.Geometry{Slots: 1024, SlotBytes: 64}
	tests := []exchange{
		{"parking", normal, 0, many, 400, true},
		{"spinning", normal, 0, many, 400, false},
		{"parking, tiny ring", ring.Geometry{Slots: 2, SlotBytes: 16}, 0, some, 16, true},
		{"spinning, tiny ring", ring.Geometry{Slots: 2, SlotBytes: 16}, 0, some, 16, false},
		{"parking, small ring", ring.Geometry{Slots: 16, SlotBytes: 32}, 0, some, 256, true},
		{"parking, records of half the ring", ring.Geometry{Slots: 64, SlotBytes: 16}, 0, some, 512, true},
		{"spinning, large slots", ring.Geometry{Slots: 8, SlotBytes: 4096}, 5, some, 3 * 4096, false},
		{"parking, past position 2^32", ring.Geometry{Slots: 64, SlotBytes: 16}, 1<<32 - 3, some, 100, true},
		{"parking, past the last lap", ring.Geometry{Slots: 64, SlotBytes: 16}, 1<<42 - 3, some, 100, true},
		{"parking, past position 2^64-1", ring.Geometry{Slots: 64, SlotBytes: 16}, math.MaxUint64 - 1000, some, 100, true},
		{"parking, to position 2^64-1", ring.Geometry{Slots: 4, SlotBytes: 16}, math.MaxUint64 - 9, 9, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shmtest.Watchdog(t, 2*time.Minute)
			newCPeer(t, program, tt).run()
		})
	}
}

// A C producer is killed, and one in Go takes over where it stopped.
func TestKilledCPeerIsReplaced(t *testing.T) {
	program := buildCPeer(t)
	for _, start := range []uint64{0, 12345} {
		t.Run(fmt.Sprint("from position ", start), func(t *testing.T) {
			shmtest.Watchdog(t, 2*time.Minute)
			g := ring.Geometry{Slots: 64, SlotBytes: 16}
			c := newCPeer(t, program, exchange{geometry: g, start: start, records: 1 << 30, longest: 100, parks: true})
			c.receiveUntilKilled(5000)
			// Both ends belong to this goroutine from here on, so neither sleeps.
			cfg := ring.Config{Geometry: g, Resume: true, PeerNeverParks: true}
			p, err := ring.NewProducer(c.theirs.Region(0), c.mine.Region(1), cfg)
			require.NoError(t, err)
			s, buf := stream{fromGo, c.longest}, []byte{}
			for i := range uint64(1000) {
				require.NoError(t, p.Send(bg, s.append(nil, i)))
				buf, err = c.in.Receive(bg, buf)
				require.NoError(t, err)
				require.NoError(t, s.check(buf, nil, i))
			}
			p.Close()
			_, err = c.in.Receive(bg, buf)
			assert.Equal(t, io.EOF, err)
		})
	}
}

// receiveUntilKilled kills the C program after so many records and receives what it has committed besides.
func (c *cpeer) receiveUntilKilled(records uint64) {
	c.t.Helper()
	s, buf := stream{fromC, c.longest}, []byte{}
	for i := uint64(0); ; i++ {
		if i == records {
			c.child.Kill()
		}
		ok, err := true, error(nil)
		if i < records {
			buf, err = c.in.Receive(bg, buf)
		} else {
			buf, ok, err = c.in.TryReceive(buf)
		}
		require.NoError(c.t, err)
		if !ok {
			return
		}
		require.NoError(c.t, s.check(buf, nil, i))
	}
}

// exchange is what Go and C are to do.
type exchange struct {
	name     string
	geometry ring.Geometry
	start    uint64 // position of the first slot
	records  int    // in each direction
	longest  int    // bytes
	parks    bool   // both sleep; otherwise both spin
}

// buildCPeer compiles the C peer and returns the program, which runs natively whatever this test runs on.
func buildCPeer(t *testing.T) (program string) {
	t.Helper()
	compiler := strings.Fields(os.Getenv("CC"))
	if len(compiler) == 0 {
		compiler = []string{"cc"}
	}
	if _, err := exec.LookPath(compiler[0]); err != nil {
		t.Skip("no C compiler:", err)
	}
	sources, err := filepath.Glob("testdata/cpeer/*.c")
	require.NoError(t, err)
	program = filepath.Join(t.TempDir(), "cpeer")
	args := append(compiler[1:], "-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-D_GNU_SOURCE", "-pthread", "-o", program)
	out, err := exec.Command(compiler[0], append(args, sources...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out), "warnings")
	return program
}

// cpeer is a C program that runs and our ends of the two rings to it.
type cpeer struct {
	exchange
	t          *testing.T
	out        *ring.Producer
	in         *ring.Consumer
	mine, its  *shmseg.Segment // as we may map them
	theirs     *shmseg.Segment // as the C program maps its own
	child      *shmtest.Process
	stop       chan struct{} // closed when the test is over
	interrupts []func()
}

// newCPeer makes the segments, as the two sides of a connection have them: one that we write, with the producer region of
// the ring out and the consumer region of the ring in, and one that the C program writes.
func newCPeer(t *testing.T, program string, e exchange) *cpeer {
	t.Helper()
	dir := shmtest.ShmDir(t)
	c := &cpeer{exchange: e, t: t, stop: make(chan struct{})}
	c.mine = c.segment(dir, "go")
	c.theirs = c.segment(dir, "c")
	var err error
	c.its, err = shmseg.OpenNamed("c", shmseg.OpenOptions{Dir: dir, ReadOnly: true})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.its.Detach()) })
	c.attach()
	mode := map[bool]string{true: "park", false: "spin"}[e.parks]
	c.child = shmtest.Program(t, program, filepath.Join(dir, "shmwire.go"), filepath.Join(dir, "shmwire.c"),
		strconv.Itoa(e.geometry.Slots), strconv.Itoa(e.geometry.SlotBytes), strconv.FormatUint(e.start, 10),
		strconv.Itoa(e.records), strconv.Itoa(e.longest), mode)
	// Zeroed memory says position 0, so a producer that starts elsewhere has to wait for its consumer.
	require.Equal(t, "attached", c.child.Line())
	return c
}

func (c *cpeer) segment(dir, name string) *shmseg.Segment {
	c.t.Helper()
	regions := []int{c.geometry.ProducerBytes(), c.geometry.ConsumerBytes()}
	s, err := shmseg.CreateNamed(name, shmseg.NamedOptions{Dir: dir, Regions: regions})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { assert.NoError(c.t, errors.Join(s.Remove(), s.Detach())) })
	return s
}

// attach makes our two ends.
func (c *cpeer) attach() {
	c.t.Helper()
	var err error
	c.in, err = ring.NewConsumer(c.mine.Region(1), c.its.Region(0),
		c.config(1, ring.ConsumerDoorbellOffset, 0, ring.ProducerDoorbellOffset))
	require.NoError(c.t, err)
	c.out, err = ring.NewProducer(c.mine.Region(0), c.its.Region(1),
		c.config(0, ring.ProducerDoorbellOffset, 1, ring.ConsumerDoorbellOffset))
	require.NoError(c.t, err)
}

// config returns how an end sleeps and wakes, given region and doorbell of either side.
func (c *cpeer) config(own, ownBell, peer, peerBell int) ring.Config {
	c.t.Helper()
	bell, err := sem.NewFutexDoorbell(c.mine.Region(own), ownBell, false)
	require.NoError(c.t, err)
	cfg := ring.Config{
		Geometry: c.geometry, Start: c.start, Doorbell: bell, PeerNeverParks: !c.parks, Stopped: c.stopped,
	}
	if !c.parks {
		cfg.Spin = spinPolitely
	} else {
		w, err := sem.NewFutexWaiter(c.its.Region(peer), peerBell)
		require.NoError(c.t, err)
		c.t.Cleanup(func() { assert.NoError(c.t, w.Close()) })
		c.interrupts = append(c.interrupts, w.Interrupt)
		cfg.Waiter = untilRung{w, c.stopped}
	}
	return cfg
}

func (c *cpeer) stopped() error {
	select {
	case <-c.stop:
		return errors.New("the test is over")
	default:
		return nil
	}
}

// spinPolitely looks, and gives the processor to another thread: four that spin may have to share two processors.
func spinPolitely(look func() bool) bool {
	for range 64 {
		if look() {
			return true
		}
	}
	_, _, errno := syscall.Syscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	return errno == 0 && look()
}

// untilRung sleeps until the doorbell has been rung: a lost wake-up hangs the test instead of costing it a second.
type untilRung struct {
	*sem.FutexWaiter
	stopped func() error
}

func (w untilRung) Wait(value uint32, timeout time.Duration) error {
	for w.Load() == value && w.stopped() == nil {
		if err := w.FutexWaiter.Wait(value, timeout); err != nil {
			return err
		}
	}
	return nil
}

// run sends and receives all there is, and checks what the C program says at its end and what it left.
func (c *cpeer) run() {
	sent, received := inBackground(c.send), inBackground(c.receive)
	defer func() { // also when the test fails: nobody runs on memory that is taken away
		close(c.stop)
		for _, interrupt := range c.interrupts {
			interrupt()
		}
		<-sent
		<-received
	}()
	line := c.child.Line()
	for line == "received" { // some more records
		line = c.child.Line()
	}
	require.Contains(c.t, line, "sent ", "half a line of a program that failed")
	s, r := <-sent, <-received
	sent, received = closedChannel(), closedChannel()
	require.NoError(c.t, s.err)
	require.NoError(c.t, r.err)
	assert.Equal(c.t, fmt.Sprintf("sent %d records, %d bytes; received %d records, %d bytes",
		c.records, r.n, c.records, s.n), line)
	c.t.Log("C:", c.child.Line())
	assert.Zero(c.t, c.child.Wait())
	c.checkEnd()
}

// closedChannel is a result that has been taken already.
func closedChannel() <-chan result {
	ch := make(chan result)
	close(ch)
	return ch
}

// send sends all records in every way there is and returns how many bytes they had.
func (c *cpeer) send() (bytes int, err error) {
	defer c.out.Close()
	s := stream{fromGo, c.longest}
	var batch [][]byte
	for i := uint64(0); i < uint64(c.records); i += uint64(len(batch)) {
		batch = batch[:cap(batch)]
		want := min(1+int(mixed(i)%5), c.records-int(i))
		for len(batch) < want {
			batch = append(batch, nil)
		}
		batch = batch[:want]
		for k := range batch {
			batch[k] = s.append(batch[k][:0], i+uint64(k))
			bytes += len(batch[k])
		}
		if err := c.sendOne(batch, mixed(i)>>8); err != nil {
			return bytes, fmt.Errorf("send record %d: %w", i, err)
		}
	}
	return bytes, nil
}

// sendOne sends a batch, and one of several ways if it is of one record.
func (c *cpeer) sendOne(batch [][]byte, way uint64) error {
	if len(batch) > 1 {
		_, err := c.out.SendBatch(bg, batch)
		return err
	}
	switch msg := batch[0]; way % 3 {
	case 0:
		claim, err := c.out.Claim(bg, len(msg))
		if err != nil {
			return err
		}
		copy(claim.Bytes(), msg)
		if way%2 == 0 { // thought better of it
			claim.Abort()
			return c.out.Send(bg, msg)
		}
		claim.Commit()
		return nil
	case 1:
		if ok, err := c.out.TrySend(msg); ok || err != nil {
			return err
		}
	}
	return c.out.Send(bg, batch[0])
}

// receive takes and checks all records, alternately by copy and in place, and returns how many bytes they had.
func (c *cpeer) receive() (bytes int, err error) {
	s := stream{fromC, c.longest}
	var buf, scratch []byte
	for i := uint64(0); i <= uint64(c.records); i++ {
		if i%2 == 0 {
			buf, err = c.in.Receive(bg, buf)
			if err == nil {
				err = s.check(buf, scratch, i)
			}
			bytes += len(buf)
		} else {
			var r ring.Record
			if r, err = c.in.Next(bg); err == nil {
				err = s.check(r.Bytes(), scratch, i)
				bytes += len(r.Bytes())
				r.Release()
			}
		}
		switch {
		case err == io.EOF && i == uint64(c.records):
			c.in.Close()
			return bytes, nil
		case err != nil:
			return bytes, fmt.Errorf("receive record %d: %w", i, err)
		}
	}
	return bytes, errors.New("received a record more than was sent")
}

// checkEnd looks at what both sides left in memory, and at how they slept.
func (c *cpeer) checkEnd() {
	c.t.Logf("Go: sent %+v\nreceived %+v", c.out.Stats(), c.in.Stats())
	if !c.parks {
		assert.Zero(c.t, c.out.Stats().Parks+c.in.Stats().Parks)
		assert.Equal(c.t, uint64(4), c.out.Stats().Rings+c.in.Stats().Rings, "when made and when closed")
	}
	ends := []struct {
		producer, consumer []byte
		at                 uint64
	}{
		{c.mine.Region(0), c.its.Region(1), c.out.Position()},
		{c.its.Region(0), c.mine.Region(1), c.in.Position()},
	}
	for i, end := range ends {
		look, err := ring.Inspect(end.producer, end.consumer, c.geometry)
		require.NoError(c.t, err)
		assert.Nil(c.t, look.Trouble)
		assert.Zero(c.t, look.Slots, "of ring %d", i)
		assert.Equal(c.t, end.at, look.Producer.Position)
		assert.Equal(c.t, end.at, look.Consumer.Position)
		assert.True(c.t, look.Producer.Closed && look.Consumer.Closed)
		assert.Zero(c.t, look.Producer.Sleeping+look.Consumer.Sleeping)
	}
	for i, kind := range []uint32{ring.KindSPSCProducer, ring.KindSPSCConsumer} {
		h, err := ring.ReadHeader(c.its.Region(i))
		require.NoError(c.t, err)
		assert.Equal(c.t, ring.RegionHeader{Kind: kind, Geometry: c.geometry, Start: c.start}, h)
	}
}
