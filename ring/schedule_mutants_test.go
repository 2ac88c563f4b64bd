//go:build shmsteps

package ring_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mutant is the ring with one mistake in it.
type mutant struct {
	name     string
	file     string
	old, new string // old occurs in file once
	run      string // the scenario that must find it
	within   int    // schedules
}

// mutants are mistakes that reviewers and models have found worth fearing. Each must be found by schedules, or these
// prove nothing about the ring without it.
var mutants = []mutant{
	{
		"nothing keeps the look at the other's announcements behind the store", "ringer.go",
		"\tw.Store(v)\n", "\tmem.StoreRelease64(w, v)\n",
		"SPSC/both_sides_live", 5_000,
	},
	{
		"nor on the fast path", "producer.go",
		"\tw.Store(word)\n", "\tmem.StoreRelease64(w, word)\n",
		"SPSC/both_sides_live", 50_000,
	},
	{
		"a sleeper does not look again after its announcement", "wait.go",
		"} else if found = s.look(); !found {", "} else {",
		"SPSC/both_sides_live", 5_000,
	},
	{
		"producers lose announcements of each other", "wait.go",
		"\ts.parks.Add(1)\n", "\ts.parks.Store(s.parks.Load() + 1)\n",
		"MPSC/three_producers_wait", 50_000,
	},
	{
		"the first descriptor of a batch is written first", "batch.go",
		"\t\tb.first = word\n", "\t\tb.first = word\n\t\tmem.StoreRelease64(&p.descs[at&p.mask], word)\n",
		"SPSC/both_sides_live", 20_000,
	},
	{
		"slots are given back before they are copied", "consumer.go",
		"\tmsg = append(buf[:0], c.payload(c.pos, n)...)\n\tc.give(n)\n",
		"\tat := c.pos\n\tc.give(n)\n\tmsg = append(buf[:0], c.payload(at, n)...)\n",
		"SPSC/both_sides_live", 5_000,
	},
	{
		"a new producer leaves what the killed one had not committed", "restart.go",
		"mem.StoreRelease64(d, stateEmpty)", "_ = d",
		"SPSC/producers_are_killed", 20_000,
	},
	{
		"the claim word is not read again", "multi_claim.go",
		"\tif p.seat.claim.Load() != t {\n\t\treturn t, 0, false, nil\n\t}\n", "",
		"MPSC/two_producers", 5_000,
	},
	{
		"nobody describes the last claim for its owner", "multi_claim.go",
		"\t\tw.CompareAndSwap(d, descriptor(start, p.lapShift, busyX(t), stateBusy))", "\t\t_ = w",
		"MPSC/two_producers", 10_000,
	},
	{
		"a helper overwrites what the owner has committed meanwhile", "multi_claim.go",
		"\t\tw.CompareAndSwap(d, descriptor(start, p.lapShift, busyX(t), stateBusy))",
		"\t\tw.Store(descriptor(start, p.lapShift, busyX(t), stateBusy))",
		"MPSC/two_producers", 5_000,
	},
	{
		"a claim's batch is published by its first descriptor first", "multi_batch.go",
		"\t\tif i > 0 {\n", "\t\tif i >= 0 {\n",
		"MPSC/two_producers", 20_000,
	},
	{
		"a producer without space lets the consumer sleep", "multi_claim.go",
		"\tp.answer()\n\treturn nil\n", "\treturn nil\n",
		"MPSC/producers_are_killed", 100_000,
	},
	{
		"the slow are taken for dead", "stalled.go",
		"c.watch.provenDead == nil || !c.watch.provenDead(int(h.owner))", "c.watch.provenDead == nil",
		"MPSC/two_producers", 5_000,
	},
	{
		"a claim of the dead is stepped over without another look", "stalled.go",
		"\tif c.descs[c.pos&c.mask].Load() == d {\n", "\t{\n",
		"MPSC/producers_are_killed", 20_000,
	},
	{
		"the number of a dead owner is free at once", "owners.go",
		"\treturn int64(n.position.Load()-q.end) >= 0\n", "\treturn true\n",
		"MPSC/producers_are_killed", 5_000,
	},
	{
		"a number is taken though it has changed hands", "owners.go",
		"\tif !w.CompareAndSwap(word, next) {\n", "\tif w.Store(next); false {\n",
		"MPSC/two_producers", 50_000,
	},
}

// foundBySchedule is how explore reports a failure; anything else, a mutant that does not compile for one, is no success.
var foundBySchedule = regexp.MustCompile(`schedule \d+ of seed \d+: .*`)

func TestScheduleFindsMutants(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go tool")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			found := m.hunt(t, goTool)
			require.NotEmpty(t, found, "%d schedules of %s have not found that %s", m.within, m.run, m.name)
			t.Log(found)
		})
	}
}

// hunt runs the schedules of a copy of this package with the mistake in it, and returns what they say is wrong.
func (m *mutant) hunt(t *testing.T, goTool string) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "mutant.test")
	build := exec.CommandContext(t.Context(), goTool, "test", "-c", "-vet=off", "-tags=shmsteps", "-ldflags=-s -w",
		"-overlay="+m.overlay(t, dir), "-o="+binary, ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	run := exec.CommandContext(t.Context(), binary, "-test.run=TestSchedule"+m.run, "-schedule.each="+strconv.Itoa(m.within))
	out, err = run.CombinedOutput()
	if err == nil {
		return ""
	}
	found := foundBySchedule.Find(out)
	assert.NotEmpty(t, found, "%v: %s", err, out)
	return string(found)
}

// overlay writes the changed file into dir, and what has the go command read it in place of the original.
func (m *mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	original, err := filepath.Abs(m.file)
	require.NoError(t, err)
	source, err := os.ReadFile(original)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(source), m.old), "%q in %s", m.old, m.file)
	changed := filepath.Join(dir, m.file)
	require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600))
	table, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	require.NoError(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, table, 0o600))
	return overlay
}
