package bench_test

import (
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// maxMoved is how much the placement probes around a slice may differ.
	maxMoved = 1.3
	// patience is how many rounds are tried for each that is wanted.
	patience = 3
)

// sample is what one slice of one contender came to. Times are ns of a round trip, or per message of a block.
type sample struct {
	p50, p99 float64
	messages int
	mallocs  uint64                  // both processes; 0 of the C reference
	hist     *hdrhistogram.Histogram // nil of the C reference
	scale    float64                 // of hist's values, per ns
}

// contender is something that runs slices. The first of a measurement is the row itself, the others what it is
// compared with.
type contender struct {
	name  string
	slice func(d time.Duration) (sample, error)
}

// round is one slice of each contender in turn: a probe before the first and one after each.
type round struct {
	probes  []float64 // none without a compiler
	samples []sample
}

// effort is how much to measure.
type effort struct {
	slice, probe time.Duration
	rounds       int // valid ones wanted of each comparison
	atMost       int
}

// measure runs rounds, A B C A B C …, until there are enough valid ones.
func measure(cs []contender, probe func(d time.Duration) (float64, error), e effort) (rounds []round, err error) {
	for len(rounds) < e.atMost && !enough(rounds, len(cs), e.rounds) {
		r, err := oneRound(cs, probe, e)
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, r)
	}
	return rounds, nil
}

func oneRound(cs []contender, probe func(d time.Duration) (float64, error), e effort) (r round, err error) {
	look := func() error {
		if probe == nil {
			return nil
		}
		ns, err := probe(e.probe)
		r.probes = append(r.probes, ns)
		return err
	}
	if err := look(); err != nil {
		return r, err
	}
	for _, c := range cs {
		s, err := c.slice(e.slice)
		if err != nil {
			return r, err
		}
		r.samples = append(r.samples, s)
		if err := look(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// enough reports whether the row and each of its comparisons have their valid rounds.
func enough(rounds []round, contenders, want int) bool {
	for i := range contenders {
		valid := 0
		for _, r := range rounds {
			if r.valid(i) {
				valid++
			}
		}
		if valid < want {
			return false
		}
	}
	return true
}

// valid reports whether the machine stood still around the slices of the row and of contender i.
func (r round) valid(i int) bool {
	if len(r.probes) == 0 {
		return true
	}
	around := []float64{r.probes[0], r.probes[1], r.probes[i], r.probes[i+1]}
	return slices.Max(around) <= maxMoved*slices.Min(around)
}

// ratio is how many times faster the row was than a contender, over the valid rounds.
type ratio struct {
	name             string
	median, min, max float64
}

// ratios compares the row with each other contender. One without a valid round is left out.
func ratios(rounds []round, cs []contender) (all []ratio) {
	for i, c := range cs[1:] {
		var of []float64
		for _, r := range rounds {
			if ours := r.samples[0].p50; r.valid(i+1) && ours > 0 && r.samples[i+1].p50 > 0 {
				of = append(of, r.samples[i+1].p50/ours)
			}
		}
		if len(of) > 0 {
			all = append(all, ratio{c.name, median(of), slices.Min(of), slices.Max(of)})
		}
	}
	return all
}

// figures are the columns of a row that come from its own slices.
type figures struct {
	p50, p99, allocs float64
	probe            float64 // NaN without a compiler
	pairs, dropped   int
}

// summarize takes the row's own valid slices together; if there are none, all of them, and says so by pairs = 0.
func summarize(rounds []round) (f figures) {
	var kept []sample
	var all []sample
	var probes []float64
	for _, r := range rounds {
		all = append(all, r.samples[0])
		probes = append(probes, r.probes...)
		if r.valid(0) {
			kept = append(kept, r.samples[0])
		}
	}
	f.pairs, f.dropped = len(kept), len(all)-len(kept)
	f.probe = median(probes)
	if len(kept) == 0 {
		kept = all
	}
	f.p50, f.p99 = percentiles(kept)
	var allocs []float64
	for _, s := range kept {
		allocs = append(allocs, float64(s.mallocs)/float64(max(1, s.messages)))
	}
	f.allocs = median(allocs)
	return f
}

// percentiles merges the slices' histograms; of slices without, it takes the median slice's.
func percentiles(kept []sample) (p50, p99 float64) {
	if kept[0].hist != nil {
		whole := kept[0].hist.Clone()
		for _, s := range kept[1:] {
			whole.Merge(s.hist)
		}
		scale := kept[0].scale
		return float64(whole.ValueAtQuantile(50)) / scale, float64(whole.ValueAtQuantile(99)) / scale
	}
	var halves, tails []float64
	for _, s := range kept {
		halves, tails = append(halves, s.p50), append(tails, s.p99)
	}
	return median(halves), median(tails)
}

// median returns the middle of values, the mean of the middle two of an even number, NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

const (
	// maxNanoseconds is the longest time that histograms take.
	maxNanoseconds = int64(10 * time.Second)
	significant    = 3
)

// newHistogram returns a histogram for times in units of 1/scale ns.
func newHistogram(scale float64) *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(float64(maxNanoseconds)*scale), significant)
}

// counter counts what this process allocates between start and stop, and allocates nothing itself.
type counter struct{ before, after runtime.MemStats }

func (c *counter) start() { runtime.ReadMemStats(&c.before) }

func (c *counter) stop() uint64 {
	runtime.ReadMemStats(&c.after)
	return c.after.Mallocs - c.before.Mallocs
}

// roundTrips returns the slices of round trips over a link of the pair.
func (p *pair) roundTrips(at int, gap time.Duration, awake *keeper) func(d time.Duration) (sample, error) {
	count := new(counter)
	return func(d time.Duration) (s sample, err error) {
		s.hist, s.scale = newHistogram(1), 1
		err = awake.during(func() error {
			s.messages, s.mallocs, err = p.rally(at, rally{limit: d, gap: gap, hist: s.hist}, count)
			return err
		})
		s.p50, s.p99 = float64(s.hist.ValueAtQuantile(50)), float64(s.hist.ValueAtQuantile(99))
		return s, err
	}
}

// rally makes round trips over a link and returns how many, and what both processes allocated for them.
func (p *pair) rally(at int, r rally, count *counter) (n int, mallocs uint64, err error) {
	defer p.guard(longest).Stop()
	if err := p.order(order{Op: "echo", Link: at}); err != nil {
		return 0, 0, err
	}
	count.start()
	n, err = p.ends[at].ping(r)
	mallocs = count.stop()
	if err != nil {
		return n, 0, p.verdict(err)
	}
	back, err := p.report()
	return n, mallocs + back.Mallocs, err
}

// longest is what no slice takes: then something hangs.
const longest = 2 * time.Minute

// picoseconds is the scale of histograms of times per message.
const picoseconds = 1000

// streams returns the slices of a stream over a link of the pair. The first call finds out how many messages a block
// has.
func (p *pair) streams(at int) func(d time.Duration) (sample, error) {
	count, block := new(counter), 0
	return func(d time.Duration) (s sample, err error) {
		if block == 0 {
			if block, err = p.blockSize(at, d); err != nil {
				return s, err
			}
		}
		mallocs, r, err := p.produce(at, block, block, d, count)
		if err != nil {
			return s, err
		}
		s.hist, s.scale = newHistogram(picoseconds), picoseconds
		times := r.Blocks
		if len(times) > 1 {
			times = times[1:] // the first has the start in it
		}
		for _, ns := range times {
			_ = s.hist.RecordValue(ns * picoseconds / int64(block)) // beyond its range: as good as lost
		}
		s.messages, s.mallocs = r.Messages, mallocs+r.Mallocs
		s.p50 = float64(s.hist.ValueAtQuantile(50)) / picoseconds
		s.p99 = float64(s.hist.ValueAtQuantile(99)) / picoseconds
		return s, nil
	}
}

// blockTime is what a block should last: 0.05 to 1 ms.
const blockTime = 200 * time.Microsecond

// blockSize warms up and returns how many messages take about blockTime.
func (p *pair) blockSize(at int, d time.Duration) (int, error) {
	const trial = 64
	_, r, err := p.produce(at, 0, trial, d/4, new(counter))
	if err != nil {
		return 0, err
	}
	each := max(1, r.Elapsed/int64(max(1, r.Messages)))
	return int(max(1, int64(blockTime)/each, int64(p.ends[at].leastBlock))), nil
}

// produce has the child consume, and time in blocks, what this process and the other producers send for so long.
func (p *pair) produce(at, block, each int, d time.Duration, count *counter) (mallocs uint64, r report, err error) {
	until := p.ends[at].clock() + d
	others := order{Op: "produce", Block: each, Until: time.Now().Add(d).UnixNano()}
	return p.stream(at, block, others, count, func(e *end) error { return e.produce(each, until) })
}

// stream has the child consume what send sends here, and what the other producers are ordered to.
func (p *pair) stream(at, block int, others order, count *counter, send func(*end) error) (mallocs uint64, r report, err error) {
	defer p.guard(longest).Stop()
	if err := p.order(order{Op: "consume", Link: at, Block: block}); err != nil {
		return 0, r, err
	}
	if err := p.orderOthers(others); err != nil {
		return 0, r, err
	}
	count.start()
	err = send(p.ends[at])
	mallocs = count.stop()
	if err != nil {
		return 0, r, p.verdict(err)
	}
	if r, err = p.report(); err != nil {
		return 0, r, err
	}
	theirs, err := p.reportOthers()
	return mallocs + theirs, r, err
}
