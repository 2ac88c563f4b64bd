package bench_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
)

func TestMain(m *testing.M) {
	shmtest.Main(m, map[string]shmtest.Role{"peer": peerRole, "awake": awakeRole})
}

// BenchmarkRoundTrip sends a message there and back between two processes.
func BenchmarkRoundTrip(b *testing.B) { runRows(b, roundTripRows()) }

// BenchmarkStream sends messages one way between two processes, as fast as they go.
func BenchmarkStream(b *testing.B) { runRows(b, streamRows()) }

// BenchmarkInPlace is a stream without copies: claim, fill, commit; next, add up, release.
func BenchmarkInPlace(b *testing.B) { runRows(b, inPlaceRows()) }

// stage is what all rows of a benchmark share.
type stage struct {
	cpus      []int
	reference string // the C program; "" if there is none
	missing   string // why
	effort    effort
	measured  map[row]outcome // by the first run of a row: the others only count
}

// outcome is what the slices of a row came to.
type outcome struct {
	figures
	ratios []ratio
}

func runRows(b *testing.B, rows []row) {
	cpus, err := sys.AllowedCPUs()
	if err != nil {
		b.Skip("cannot pin processes: ", err)
	}
	s := &stage{cpus: cpus, effort: effortFor(benchtime()), measured: map[row]outcome{}}
	if s.reference, err = compileReference(b); err != nil {
		s.missing = err.Error()
	}
	printMachine(cpus, s.missing)
	for _, r := range rows {
		b.Run(r.name(), func(b *testing.B) { s.run(b, r) })
	}
}

// benchtime is what -benchtime says.
func benchtime() string { return flag.Lookup("test.benchtime").Value.String() }

// effortFor returns how much to measure: for a count of iterations (1x) one short slice, and otherwise what takes about
// as long as the benchmark itself.
func effortFor(benchtime string) effort {
	d, err := time.ParseDuration(benchtime)
	if err != nil {
		return effort{slice: 3 * time.Millisecond, probe: time.Millisecond, rounds: 1, atMost: 1}
	}
	rounds := min(21, max(5, int(d/(200*time.Millisecond))))
	return effort{
		slice:  min(100*time.Millisecond, max(20*time.Millisecond, d/20)),
		probe:  2 * time.Millisecond,
		rounds: rounds, atMost: patience * rounds,
	}
}

// run is one invocation of a row. The testing package makes several, with growing b.N.
func (s *stage) run(b *testing.B, r row) {
	b.StopTimer()
	if reason := r.senseless(); reason != "" {
		b.Skip(reason)
	}
	cpus, reason := r.cpus(s.cpus)
	if reason != "" {
		b.Skip(reason)
	}
	if r.transport == "c" && s.reference == "" {
		b.Skip(s.missing)
	}
	_, known := s.measured[r]
	t, err := s.open(b, r, cpus, b.N > 1 && known)
	if err != nil {
		b.Fatal(err)
	}
	if b.N == 1 || !known {
		if s.measured[r], err = t.measure(s.effort); err != nil {
			b.Fatal(err)
		}
	}
	perOp, err := t.loop(b)
	if err != nil {
		b.Fatal(err)
	}
	s.measured[r].report(b, r)
	if !math.IsNaN(perOp) {
		b.ReportMetric(perOp, "ns/op")
	}
}

// theatre is a row ready to run.
type theatre struct {
	row        row
	pair       *pair
	ref        *reference
	keeper     *keeper
	contenders []contender
}

// open starts what the row needs; for the loop alone that is its own link.
func (s *stage) open(b *testing.B, r row, cpus cpuPair, loopOnly bool) (t *theatre, err error) {
	t = &theatre{row: r}
	if s.reference != "" && (!loopOnly || r.transport == "c") {
		if t.ref, err = startReference(b, s.reference, cpus, r.ring(), max(1, r.producers)); err != nil {
			return nil, err
		}
	}
	if r.placement == placeAwake && !r.stream {
		if t.keeper, err = startKeeper(b, cpus); err != nil {
			return nil, err
		}
	}
	var links []spec
	if r.transport != "c" {
		links = append(links, r.spec())
	}
	if slices.Contains(r.comparedWith(), "unix") && !loopOnly {
		links = append(links, spec{Transport: "unix", Size: r.size, Batch: 1})
	}
	if t.pair, err = startPair(b, cpus, links); err != nil {
		return nil, err
	}
	if !loopOnly {
		t.engage()
	}
	return t, nil
}

// engage sets up the contenders: the row itself, then what it is compared with.
func (t *theatre) engage() {
	own := 0
	if t.row.transport == "c" {
		own = -1
		t.contenders = append(t.contenders, contender{"c", t.inC("cring", t.row.batch)})
	} else {
		t.contenders = append(t.contenders, contender{t.row.transport, t.inGo(own, t.row.wait)})
	}
	for _, name := range t.row.comparedWith() {
		switch {
		case name == "unix":
			t.contenders = append(t.contenders, contender{name, t.inGo(own+1, waitBlock)})
		case t.ref == nil:
		case name == "pingpong":
			t.contenders = append(t.contenders, contender{name, func(d time.Duration) (sample, error) {
				return t.ref.run(name, 64, 1024, 1, d, false)
			}})
		case name == "cbatch" || name == "ccasbatch" || name == "cfixed":
			t.contenders = append(t.contenders, contender{name, t.inC(name, t.row.batch)})
		default:
			t.contenders = append(t.contenders, contender{name, t.inC(name, 1)})
		}
	}
}

// inGo returns the slices of a link of the pair.
func (t *theatre) inGo(at int, wait string) func(d time.Duration) (sample, error) {
	if t.row.stream {
		return t.pair.streams(at)
	}
	return t.pair.roundTrips(at, t.row.gap(), t.keeperFor(wait))
}

// keeperFor returns the keeper if a way of waiting needs it: who spins keeps its processor awake itself.
func (t *theatre) keeperFor(wait string) *keeper {
	if wait == waitSpin {
		return nil
	}
	return t.keeper
}

// inC returns the slices of one of the C reference's rings.
func (t *theatre) inC(name string, batch int) func(d time.Duration) (sample, error) {
	command := t.row.command(name)
	return func(d time.Duration) (sample, error) {
		return t.ref.run(command, t.row.size, t.row.ring(), batch, d, name == "cfixed")
	}
}

// measure runs the slices, the benchmark's timer being stopped.
func (t *theatre) measure(e effort) (o outcome, err error) {
	for _, c := range t.contenders { // warm up
		if _, err := c.slice(e.slice / 4); err != nil {
			return o, fmt.Errorf("warm %s up: %w", c.name, err)
		}
	}
	var probe func(d time.Duration) (float64, error)
	if t.ref != nil {
		probe = t.ref.probe
	}
	rounds, err := measure(t.contenders, probe, e)
	if err != nil {
		return o, err
	}
	return outcome{summarize(rounds), ratios(rounds, t.contenders)}, nil
}

// loop moves b.N messages, timed by the benchmark. Where that would count more than the messages it returns the ns of
// one, else NaN.
func (t *theatre) loop(b *testing.B) (perOp float64, err error) {
	if t.row.gap() == 0 && t.row.transport != "c" {
		b.SetBytes(int64(t.row.size))
	}
	switch {
	case t.row.transport == "c":
		b.ResetTimer()
		return 0, nil // nothing of Go's to be timed, so no ns/op: the columns from the slices are the row
	case t.row.stream:
		return math.NaN(), t.loopStream(b)
	case t.row.gap() > 0:
		return t.loopIdle(b)
	}
	return math.NaN(), t.keeperFor(t.row.wait).during(func() error { return t.loopRoundTrips(b) })
}

func (t *theatre) loopRoundTrips(b *testing.B) error {
	p := t.pair
	defer p.guard(longest).Stop()
	if err := p.order(order{Op: "echo"}); err != nil {
		return err
	}
	b.ResetTimer()
	b.StartTimer()
	_, err := p.ends[0].ping(rally{count: b.N})
	b.StopTimer()
	if err != nil {
		return p.verdict(err)
	}
	_, err = p.report()
	return err
}

// loopIdle times each round trip by itself, without the gaps.
func (t *theatre) loopIdle(b *testing.B) (perOp float64, err error) {
	hist := newHistogram(1)
	b.ResetTimer()
	b.StartTimer()
	_, _, err = t.pair.rally(0, rally{count: b.N, gap: t.row.gap(), hist: hist}, new(counter))
	b.StopTimer()
	return hist.Mean(), err
}

// loopStream counts from the first message sent to the last received.
func (t *theatre) loopStream(b *testing.B) error {
	p := t.pair
	defer p.guard(longest).Stop()
	if err := p.order(order{Op: "consume"}); err != nil {
		return err
	}
	each := b.N / (1 + len(p.others))
	b.ResetTimer()
	b.StartTimer()
	err := p.orderOthers(order{Op: "send", Count: each})
	if err != nil {
		return err
	}
	if err := p.ends[0].burst(b.N - each*len(p.others)); err != nil {
		return p.verdict(err)
	}
	_, err = p.report()
	b.StopTimer()
	if err != nil {
		return err
	}
	_, err = p.reportOthers()
	return err
}

// report adds the columns from the slices.
func (o outcome) report(b *testing.B, r row) {
	b.ReportMetric(o.p50, "p50-ns")
	b.ReportMetric(o.p99, "p99-ns")
	if o.p50 > 0 {
		b.ReportMetric(1e9/o.p50, "msgs/s")
	}
	if r.transport != "c" {
		b.ReportMetric(o.allocs, "allocs-both/op")
	}
	if !math.IsNaN(o.probe) {
		b.ReportMetric(o.probe, "probe-ns")
	}
	for _, x := range o.ratios {
		b.ReportMetric(x.median, "x-"+x.name)
		b.ReportMetric(x.min, "x-"+x.name+"-min")
		b.ReportMetric(x.max, "x-"+x.name+"-max")
	}
	b.ReportMetric(float64(o.pairs), "slices")
	b.ReportMetric(float64(o.dropped), "dropped")
	b.ReportMetric(float64(r.ring()), "ring-bytes")
}

// machineOnce keeps the head of the output from being printed for every benchmark.
var machineOnce sync.Once

// printMachine prints what figures cannot be read without, in lines that benchstat takes for configuration.
func printMachine(cpus []int, missing string) {
	machineOnce.Do(func() {
		for _, line := range machine(cpus, missing) {
			fmt.Fprintln(os.Stdout, strings.TrimSpace(line))
		}
	})
}
