package bench_test

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNamesFollowTheGrammar(t *testing.T) {
	const transport = `^transport=(shm|conn|unix|socketpair|tcp|fifo|c)/wait=(spin|adaptive|futex|poller|block)/`
	const many = `^transport=shm-mpsc/wait=spin/producers=(1|2|4)/`
	const size = `size=(8|64|256|1024|4096|65536|1048576)$`
	tests := []struct {
		name    string
		rows    []row
		grammar string
		wanted  []string
	}{
		{"RoundTrip", roundTripRows(), transport + `placement=(same|awake|idle)/` + size, []string{
			"transport=shm/wait=spin/placement=awake/size=8",
			"transport=shm/wait=spin/placement=awake/size=64",
			"transport=shm/wait=futex/placement=same/size=64",
			"transport=shm/wait=futex/placement=idle/size=64",
			"transport=shm/wait=poller/placement=same/size=64",
			"transport=shm/wait=poller/placement=idle/size=64",
		}},
		{"Stream", streamRows(), transport + `batch=(1|16|64)/` + size + `|` + many + `batch=(1|16)/size=(64|1024)$`, []string{
			"transport=shm/wait=spin/batch=1/size=8",
			"transport=shm/wait=futex/batch=64/size=256",
			"transport=shm-mpsc/wait=spin/producers=4/batch=16/size=64",
			"transport=shm/wait=spin/batch=1/size=64",
			"transport=shm/wait=adaptive/batch=16/size=64",
			"transport=conn/wait=adaptive/batch=1/size=65536",
		}},
		{"InPlace", inPlaceRows(), `^transport=shm/wait=spin/size=(65536|1048576)$`, []string{
			"transport=shm/wait=spin/size=65536", "transport=shm/wait=spin/size=1048576",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := map[string]bool{}
			for _, r := range tt.rows {
				assert.Regexp(t, regexp.MustCompile(tt.grammar), r.name())
				assert.False(t, seen[r.name()], "%s stands twice", r.name())
				seen[r.name()] = r.senseless() == ""
				assert.Equal(t, r.wait == waitBlock, !strings.Contains("shm shm-mpsc conn c", r.transport), r.name())
			}
			for _, name := range tt.wanted {
				assert.True(t, seen[name], "%s is to be measured", name)
			}
		})
	}
}

func TestRowsHaveRoomAndBaselines(t *testing.T) {
	assert.Equal(t, 256<<10, row{size: 64}.ring())
	assert.Equal(t, 256<<10, row{size: 65536}.ring())
	assert.Equal(t, 4<<20, row{size: 1 << 20}.ring())
	assert.Equal(t, 16, row{size: 8}.slot())
	assert.Equal(t, 64, row{size: 64}.slot())
	_, reason := row{placement: placeIdle}.cpus([]int{5})
	assert.Equal(t, "needs two processors", reason)
	cpus, reason := row{placement: placeSame}.cpus([]int{5})
	assert.Equal(t, cpuPair{5, 5}, cpus)
	assert.Empty(t, reason)
}

func TestBaselines(t *testing.T) {
	tests := map[string]struct {
		row  row
		want []string
	}{
		"stream":        {row{stream: true, transport: "shm", wait: waitSpin, batch: 1}, []string{"unix", "cring"}},
		"batches":       {row{stream: true, transport: "shm", wait: waitFutex, batch: 16}, []string{"unix", "cring", "cbatch"}},
		"in place":      {row{stream: true, inPlace: true, transport: "shm", wait: waitSpin, batch: 1}, []string{"unix", "cinplace"}},
		"C itself":      {row{transport: "c", wait: waitSpin, placement: placeAwake}, []string{"unix", "pingpong"}},
		"C in batches":  {row{stream: true, transport: "c", wait: waitSpin, batch: 16}, []string{"unix", "cring"}},
		"spinning":      {row{transport: "shm", wait: waitSpin, placement: placeAwake}, []string{"unix", "pingpong", "cring", "cslot"}},
		"may spin":      {row{transport: "shm", wait: waitAdaptive, placement: placeAwake}, []string{"unix", "pingpong"}},
		"parked":        {row{transport: "shm", wait: waitFutex, placement: placeIdle}, []string{"unix"}},
		"Unix itself":   {row{transport: "unix", wait: waitBlock, placement: placeIdle}, nil},
		"short":         {row{stream: true, transport: "shm", wait: waitFutex, batch: 16, size: 8}, []string{"unix", "cring", "cbatch", "cfixed"}},
		"short answers": {row{transport: "shm", wait: waitSpin, placement: placeAwake, size: 64}, []string{"unix", "pingpong", "cring", "cslot", "cfixed"}},
		"short, many":   {row{stream: true, transport: "shm-mpsc", producers: 2, batch: 1, size: 64}, []string{"ccas", "cfixed"}},
		"one of many":   {row{stream: true, transport: "shm-mpsc", producers: 1, batch: 1}, []string{"unix", "cring", "ccas"}},
		"many":          {row{stream: true, transport: "shm-mpsc", producers: 2, batch: 1}, []string{"ccas"}},
		"many, batches": {row{stream: true, transport: "shm-mpsc", producers: 4, batch: 16}, []string{"ccas", "ccasbatch"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.want, tt.row.comparedWith()) })
	}
}

func TestMedian(t *testing.T) {
	assert.Equal(t, 2.0, median([]float64{3, 1, 2}))
	assert.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	assert.Equal(t, 7.0, median([]float64{7}))
	assert.True(t, math.IsNaN(median(nil)))
	values := []float64{3, 1, 2}
	median(values)
	assert.Equal(t, []float64{3, 1, 2}, values, "left as they were")
}

func TestEffort(t *testing.T) {
	assert.Equal(t, 1, effortFor("1x").atMost)
	assert.Equal(t, 1, effortFor("100x").rounds)
	e := effortFor("1s")
	assert.Equal(t, 50*time.Millisecond, e.slice)
	assert.Equal(t, 5, e.rounds)
	assert.Equal(t, 20*time.Millisecond, effortFor("10ms").slice)
	assert.Equal(t, 100*time.Millisecond, effortFor("1h").slice)
	assert.Equal(t, 21, effortFor("1h").rounds)
}

// scripted returns a probe that says one value after another and then the last one for ever.
func scripted(values ...float64) func(time.Duration) (float64, error) {
	return func(time.Duration) (float64, error) {
		v := values[0]
		if len(values) > 1 {
			values = values[1:]
		}
		return v, nil
	}
}

// always is a contender whose every slice takes so long, and notes that it ran.
func always(name string, p50 float64, ran *string) contender {
	return contender{name, func(time.Duration) (sample, error) {
		*ran += name
		return sample{p50: p50, p99: 2 * p50, messages: 10}, nil
	}}
}

func TestContendersTakeTurns(t *testing.T) {
	var ran string
	cs := []contender{always("A", 100, &ran), always("B", 300, &ran), always("C", 50, &ran)}
	rounds, err := measure(cs, scripted(1), effort{rounds: 3, atMost: 9})
	require.NoError(t, err)
	assert.Equal(t, "ABCABCABC", ran)
	assert.Equal(t, []ratio{{"B", 3, 3, 3}, {"C", 0.5, 0.5, 0.5}}, ratios(rounds, cs))
	f := summarize(rounds)
	assert.Equal(t, figures{p50: 100, p99: 200, probe: 1, pairs: 3}, f)
}

func TestSliceDuringWhichTheMachineMovedIsDropped(t *testing.T) {
	var ran string
	cs := []contender{always("A", 100, &ran), always("B", 300, &ran)}
	// The first round: moved during A. The second: during B. Then still, but for what is tolerated.
	rounds, err := measure(cs, scripted(100, 131, 131, 100, 100, 200, 100, 130, 129), effort{rounds: 1, atMost: 9})
	require.NoError(t, err)
	assert.Equal(t, "ABABAB", ran)
	require.Len(t, rounds, 3)
	assert.Equal(t, []bool{false, true, true}, []bool{rounds[0].valid(0), rounds[1].valid(0), rounds[2].valid(0)})
	assert.Equal(t, []bool{false, false, true}, []bool{rounds[0].valid(1), rounds[1].valid(1), rounds[2].valid(1)})
	f := summarize(rounds)
	assert.Equal(t, []int{2, 1}, []int{f.pairs, f.dropped})
}

func TestRepeatsAreBounded(t *testing.T) {
	var ran string
	cs := []contender{always("A", 100, &ran), always("B", 300, &ran)}
	n := 1.0
	restless := func(time.Duration) (float64, error) { n *= 2; return n, nil }
	rounds, err := measure(cs, restless, effort{rounds: 5, atMost: 15})
	require.NoError(t, err)
	assert.Len(t, rounds, 15)
	assert.Empty(t, ratios(rounds, cs), "no ratio is better than a wrong one")
	f := summarize(rounds)
	assert.Equal(t, []int{0, 15}, []int{f.pairs, f.dropped})
	assert.Equal(t, 100.0, f.p50)
}

func TestWithoutProbeNothingIsDropped(t *testing.T) {
	var ran string
	cs := []contender{always("A", 100, &ran), always("B", 300, &ran)}
	rounds, err := measure(cs, nil, effort{rounds: 2, atMost: 9})
	require.NoError(t, err)
	assert.Len(t, rounds, 2)
	assert.True(t, math.IsNaN(summarize(rounds).probe))
}

func TestFailureEndsTheMeasurement(t *testing.T) {
	boom := errors.New("boom")
	cs := []contender{{"A", func(time.Duration) (sample, error) { return sample{}, boom }}}
	_, err := measure(cs, nil, effort{rounds: 1, atMost: 1})
	assert.ErrorIs(t, err, boom)
	var ran string
	_, err = measure([]contender{always("A", 1, &ran)}, func(time.Duration) (float64, error) { return 0, boom }, effort{rounds: 1, atMost: 1})
	assert.ErrorIs(t, err, boom)
	assert.Empty(t, ran)
}

func TestHistogramsOfAllSlicesAreOne(t *testing.T) {
	var kept []sample
	for i := range 4 {
		s := sample{hist: newHistogram(picoseconds), scale: picoseconds}
		for v := range 25 {
			require.NoError(t, s.hist.RecordValue(int64(25*i+v+1)*picoseconds))
		}
		kept = append(kept, s)
	}
	p50, p99 := percentiles(kept)
	assert.InEpsilon(t, 50, p50, 0.002)
	assert.InEpsilon(t, 99, p99, 0.002)
	assert.Equal(t, int64(25), kept[0].hist.TotalCount(), "left as they were")
}

func TestAllocationsAreThoseOfTheMiddleSlice(t *testing.T) {
	var rounds []round
	for _, mallocs := range []uint64{0, 7, 0, 0, 3} {
		rounds = append(rounds, round{samples: []sample{{messages: 10, mallocs: mallocs}}})
	}
	assert.Zero(t, summarize(rounds).allocs, "what the runtime allocates now and then")
	for i := range rounds {
		rounds[i].samples[0].mallocs += 5
	}
	assert.Equal(t, 0.5, summarize(rounds).allocs)
}

func TestParseReference(t *testing.T) {
	tests := []struct {
		line string
		want sample
		err  string
	}{
		{"ok 5 12.500 99.125", sample{messages: 5, p50: 12.5, p99: 99.125}, ""},
		{"ok 0 0.000 0.000", sample{}, ""},
		{"error message 3 out of order or spoilt", sample{}, "C reference: message 3 out of order or spoilt"},
		{"", sample{}, "want"},
		{"ok", sample{}, "want"},
		{"ok 5 12.5", sample{}, "want"},
		{"ok -5 1 2", sample{}, "want"},
		{"ok 5 2 1", sample{}, "want"},
		{"ok 5 nan nan", sample{}, "want"},
		{"fine 5 1 2", sample{}, "want"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			s, err := parseReference(tt.line)
			assert.Equal(t, tt.want, s)
			if tt.err == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, tt.err)
			}
		})
	}
}

func TestEveryByteOfAMessageIsRead(t *testing.T) {
	p := newPattern()
	for _, size := range []int{8, 64, 1024, chunk, chunk + 8, 3*chunk + 16} {
		msg := make([]byte, size)
		for _, num := range []uint64{0, 1, 511, 512, 1 << 40, 77 | lastFlag} {
			p.fill(msg, num)
			require.True(t, p.intact(msg, num))
			require.False(t, p.intact(msg, num+1))
			require.False(t, p.intact(msg, num^lastFlag))
		}
		for i := range msg {
			msg[i] ^= 1
			require.False(t, p.intact(msg, 77|lastFlag), "size %d, byte %d", size, i)
			msg[i] ^= 1
		}
	}
}

func TestContentDependsOnNumberAndPlace(t *testing.T) {
	p := newPattern()
	a, b := make([]byte, 3*chunk), make([]byte, 3*chunk)
	p.fill(a, 1)
	p.fill(b, 2)
	for at := 0; at < len(a); at += chunk {
		assert.NotEqual(t, a[at:at+chunk], b[at:at+chunk])
	}
	copy(a[chunk:2*chunk], a[2*chunk:]) // a chunk in the place of another
	assert.False(t, p.intact(a, 1))
}

func TestEveryWordOfAMessageIsAddedUp(t *testing.T) {
	p := newPattern()
	sums := p.sums()
	for _, size := range []int{8, 64, 72, 1024, chunk, chunk + 8, 3*chunk + 16} {
		msg := make([]byte, size)
		for _, num := range []uint64{0, 1, 511, 512, 1 << 40, 77 | lastFlag} {
			p.fill(msg, num)
			require.Equal(t, sums.of(p, size, num), sum(msg), "size %d, message %d", size, num)
			if size > 8 { // the number alone tells no other difference
				require.NotEqual(t, sums.of(p, size, num+1), sum(msg))
			}
		}
		for i := range msg {
			msg[i] ^= 1
			require.NotEqual(t, sums.of(p, size, 77|lastFlag), sum(msg), "size %d, byte %d", size, i)
			msg[i] ^= 1
		}
	}
}

func TestMachineIsConfigurationForBenchstat(t *testing.T) {
	lines := machine([]int{0, 1}, "no C compiler\nand more")
	for _, line := range lines {
		assert.Regexp(t, `^[a-z][a-z-]*: \S.*$`, line)
	}
	assert.Contains(t, strings.Join(lines, "\n"), "probe: none, no slice is dropped: no C compiler\n")
}

func TestTable(t *testing.T) {
	awk, err := exec.LookPath("awk")
	if err != nil {
		t.Skip("no awk")
	}
	cmd := exec.Command(awk, "-f", "table.awk")
	cmd.Stdin = strings.NewReader(`kernel: 6.1
goos: linux
BenchmarkStream/transport=shm/wait=spin/batch=1/size=64-2   	 1	 12 ns/op	 0 allocs-both/op	 10.53 p50-ns	 20 p99-ns	 5.000 slices	 1.5 x-cring	 1.25 x-cring-min	 1.75 x-cring-max
BenchmarkStream/transport=shm-mpsc/wait=spin/producers=2/batch=16/size=64-2   	 1	 12 ns/op	 21 p50-ns	 3 slices	 3 x-ccas	 2 x-ccas-min	 4 x-ccas-max	 1 x-ccasbatch	 1 x-ccasbatch-min	 1 x-ccasbatch-max
BenchmarkRoundTrip/transport=unix/wait=block/placement=idle/size=64-2   	 1	 12 ns/op	 40000 p50-ns	 0 slices	 100000 msgs/s
PASS
`)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, `- kernel: 6.1
- goos: linux

| row | p50-ns | p99-ns | msgs/s | allocs-both/op | probe-ns | x-unix | x-pingpong | x-cring | x-cslot | x-cbatch | x-cinplace | x-ccas | x-ccasbatch | x-cfixed |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
| Stream/transport=shm/wait=spin/batch=1/size=64 | 10.5 | 20 |  | 0 |  |  |  | 1.5 (1.25 to 1.75) |  |  |  |  |  |  |
| Stream/transport=shm-mpsc/wait=spin/producers=2/batch=16/size=64 | 21 |  |  |  |  |  |  |  |  |  |  | 3 (2 to 4) | 1 (1 to 1) |  |
| RoundTrip/transport=unix/wait=block/placement=idle/size=64 * | 40000 |  | 100000 |  |  |  |  |  |  |  |  |  |  |  |
`, string(out))
}
