package bench_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twoCPUs returns where a test's two processes run: on one processor if there is no other.
func twoCPUs(t *testing.T) cpuPair {
	t.Helper()
	cpus, err := sys.AllowedCPUs()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return cpuPair{cpus[0], cpus[len(cpus)-1]}
}

func mustPair(t *testing.T, cpus cpuPair, links ...spec) *pair {
	t.Helper()
	shmtest.Watchdog(t, time.Minute)
	p, err := startPair(t, cpus, links)
	require.NoError(t, err)
	return p
}

// eachLink runs test for all transports and ways of waiting of Go's.
func eachLink(t *testing.T, size, batch int, test func(t *testing.T, s spec)) {
	t.Helper()
	for _, transport := range transports() {
		if transport == "c" {
			continue
		}
		for _, wait := range waitsOf(transport) {
			r := row{transport: transport, wait: wait, size: size, batch: batch}
			t.Run(transport+"/"+wait, func(t *testing.T) { test(t, r.spec()) })
		}
	}
}

func TestEveryLinkCarriesRoundTripsAndStreams(t *testing.T) {
	for _, size := range []int{64, 65536} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			eachLink(t, size, 16, func(t *testing.T, s spec) {
				p := mustPair(t, twoCPUs(t), s)
				hist := newHistogram(1)
				n, _, err := p.rally(0, rally{count: 20, hist: hist}, new(counter))
				require.NoError(t, err)
				assert.Equal(t, 20, n)
				assert.Equal(t, int64(20), hist.TotalCount())
				_, r, err := p.stream(0, 10, order{}, new(counter), func(e *end) error {
					return errors.Join(e.blast(50), e.finish())
				})
				require.NoError(t, err)
				assert.Equal(t, 50, r.Messages)
				assert.Len(t, r.Blocks, 5)
				n, _, err = p.rally(0, rally{limit: time.Millisecond, gap: 100 * time.Microsecond, hist: hist}, new(counter))
				require.NoError(t, err, "a round trip after a stream")
				assert.Positive(t, n)
			})
		})
	}
}

func TestSlicesOfTwoLinks(t *testing.T) {
	unix := spec{Transport: "unix", Size: 64, Batch: 1}
	shm := row{transport: "shm", wait: waitAdaptive, size: 64, batch: 16}.spec()
	p := mustPair(t, twoCPUs(t), shm, unix)
	for at := range 2 {
		for _, slice := range []func(time.Duration) (sample, error){p.roundTrips(at, 0, nil), p.streams(at)} {
			for range 2 {
				s, err := slice(2 * time.Millisecond)
				require.NoError(t, err)
				assert.Positive(t, s.messages)
				assert.Positive(t, s.p50)
				assert.GreaterOrEqual(t, s.p99, s.p50)
			}
		}
	}
}

func TestBothOnOneProcessor(t *testing.T) {
	cpus := twoCPUs(t)
	p := mustPair(t, cpuPair{cpus[0], cpus[0]}, row{transport: "shm", wait: waitFutex, size: 64}.spec())
	now, err := sys.AllowedCPUs()
	require.NoError(t, err)
	assert.Equal(t, cpus[:1], now)
	n, _, err := p.rally(0, rally{count: 20}, new(counter))
	require.NoError(t, err)
	assert.Equal(t, 20, n)
}

func TestThisProcessIsReleased(t *testing.T) {
	cpus := twoCPUs(t)
	before, err := sys.AllowedCPUs()
	require.NoError(t, err)
	t.Run("pinned", func(t *testing.T) {
		mustPair(t, cpus, spec{Transport: "socketpair", Size: 64})
	})
	now, err := sys.AllowedCPUs()
	require.NoError(t, err)
	assert.Equal(t, before, now)
}

// A message that is not what it should be ends the row, on whichever side it is seen.
func TestSpoiltMessageEndsTheRow(t *testing.T) {
	eachLink(t, 1024, 1, func(t *testing.T, s spec) {
		p := mustPair(t, twoCPUs(t), s)
		e := p.ends[0]
		e.pattern[700] ^= 1 // ours is no longer the child's
		_, _, err := p.rally(0, rally{count: 600}, new(counter))
		assert.ErrorContains(t, err, "peer process: message 0: begins with 0x0; out of order or spoilt")
	})
}

func TestMissingMessageEndsTheRow(t *testing.T) {
	p := mustPair(t, twoCPUs(t), row{transport: "shm", wait: waitFutex, size: 64}.spec())
	_, _, err := p.stream(0, 0, order{}, new(counter), func(e *end) error {
		err := e.blast(5)
		e.sent++
		return errors.Join(err, e.finish())
	})
	assert.ErrorContains(t, err, "message 5: begins with 0x8000000000000006; out of order or spoilt")
}

func TestDeadPeerEndsTheRow(t *testing.T) {
	eachLink(t, 64, 1, func(t *testing.T, s spec) {
		p := mustPair(t, twoCPUs(t), s)
		require.NoError(t, p.order(order{Op: "echo"}))
		ended := make(chan error, 1)
		go func() {
			_, err := p.ends[0].ping(rally{limit: time.Hour})
			ended <- p.verdict(err)
		}()
		p.child.Kill()
		assert.ErrorContains(t, shmtest.Soon(t, ended, "round trips with a dead peer"), "peer process ended")
	})
}

func TestHangingRowIsGivenUp(t *testing.T) {
	eachLink(t, 64, 1, func(t *testing.T, s spec) {
		p := mustPair(t, twoCPUs(t), s)
		defer p.guard(10 * time.Millisecond).Stop()
		err := p.verdict(p.ends[0].link.receive(p.ends[0].buf)) // nothing was ever sent
		assert.ErrorContains(t, err, "no end within 10ms")
	})
}

func TestKeeper(t *testing.T) {
	k, err := startKeeper(t, twoCPUs(t))
	require.NoError(t, err)
	boom := errors.New("boom")
	for range 3 {
		assert.ErrorIs(t, k.during(func() error { return boom }), boom)
	}
	assert.NoError(t, (*keeper)(nil).during(func() error { return nil }))
}

func TestReference(t *testing.T) {
	cpus := twoCPUs(t)
	program, err := compileReference(t)
	if err != nil {
		t.Skip(err)
	}
	placements := map[string]cpuPair{"two": cpus, "one": {cpus[0], cpus[0]}}
	for name, at := range placements {
		t.Run(name, func(t *testing.T) {
			shmtest.Watchdog(t, time.Minute)
			ref, err := startReference(t, program, at, 4*65536, 3)
			require.NoError(t, err)
			ns, err := ref.probe(time.Millisecond)
			require.NoError(t, err)
			assert.Positive(t, ns)
			if at[0] == at[1] {
				return // its rings spin
			}
			for _, command := range []string{"roundtrip", "slottrip", "stream", "inplace", "mpsc"} {
				for _, batch := range []int{1, 4} { // a ring of the longer messages takes four
					for _, size := range []int{8, 64, 1024, 65536} {
						for _, fixed := range []bool{false, fixedSize(size)} {
							s, err := ref.run(command, size, 4*65536, batch, time.Millisecond, fixed)
							require.NoError(t, err)
							assert.Positive(t, s.messages)
						}
					}
				}
			}
			for _, impossible := range []struct{ size, ring, batch int }{{60, 4096, 1}, {64, 1 << 20, 1}, {64, 4096, 0}, {4096, 4096, 1}} {
				_, err = ref.run("stream", impossible.size, impossible.ring, impossible.batch, time.Millisecond, false)
				assert.ErrorContains(t, err, "impossible command")
			}
			_, err = ref.run("mpsc", 65536, 4*65536, 16, time.Millisecond, false)
			assert.ErrorContains(t, err, "impossible command", "a batch longer than the ring")
			_, err = ref.run("stream", 1024, 4096, 1, time.Millisecond, true)
			assert.ErrorContains(t, err, "impossible command", "a size for which nothing was compiled")
			_, err = ref.run("fly", 64, 4096, 1, time.Millisecond, false)
			assert.ErrorContains(t, err, "impossible command")
		})
	}
}
