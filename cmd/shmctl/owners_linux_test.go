package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyRing makes a named ring for many producers, the first of which has sent three records and left.
func manyRing(t testing.TB) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "shmwire.many")
	require.NoError(t, writeNamed(path, manyGeometry()))
	joined(t, path, "3", "close")
	return dir, path
}

// joined starts one more producer.
func joined(t testing.TB, path, records, end string) *shmtest.Process {
	t.Helper()
	p := shmtest.Child(t, "join", path, records, end)
	require.Equal(t, "ready", p.Line())
	return p
}

func TestManyProducers(t *testing.T) {
	dir, path := manyRing(t)
	second := joined(t, path, "2", "nothing") // the number of the first, which is free again
	third := joined(t, path, "1", "nothing")
	d := mustDocument(t, "info", "many", "--dir", dir)
	r := d.Rings[0]
	assert.Equal(t, stateOK, r.State)
	assert.Equal(t, []string{"named", "mpsc"}, []string{r.Kind, *r.RingKind})
	assert.Equal(t, []uint64{6, 240, 6}, []uint64{*r.RecordsWaiting, *r.BytesWaiting, *r.UsedSlots})
	assert.EqualValues(t, 6, *r.Producer.Position)
	assert.Empty(t, r.Unfinished)
	require.Len(t, r.Owners, 2)
	for i, p := range []*shmtest.Process{second, third} {
		o := r.Owners[i]
		assert.Equal(t, i+1, o.Number)
		assert.EqualValues(t, 2-i, o.Generation)
		assert.False(t, o.Left)
		assert.Equal(t, p.PID(), *o.Process.PID)
		assert.Equal(t, alive, o.Process.State)
		assert.NotNil(t, o.Process.Started)
	}
	assert.Equal(t, d.Rings, mustDocument(t, "info", pidText(third), "--dir", dir).Rings)
	assert.Equal(t, r, ringNamed(t, mustDocument(t, "ls", "--dir", dir), "many"))
}

// A producer is killed inside a claim: shmctl says for whom everybody waits, and after the consumer has stepped over the
// claim, that it has.
func TestProducerKilledInsideAClaim(t *testing.T) {
	dir, path := manyRing(t)
	slow := joined(t, path, "0", "nothing")
	victim := joined(t, path, "2", "claim")
	r := mustDocument(t, "info", "many", "--dir", dir).Rings[0]
	assert.Equal(t, stateOK, r.State)
	require.Len(t, r.Unfinished, 1)
	claim := unfinishedDocument{Owner: 2, Process: r.Owners[1].Process, Position: 5, Slots: 2}
	assert.Equal(t, claim, r.Unfinished[0])
	assert.Equal(t, victim.PID(), *claim.Process.PID)
	assert.Equal(t, alive, claim.Process.State)
	fourth := joined(t, path, "1", "claim")
	require.Len(t, mustDocument(t, "info", "many", "--dir", dir).Rings[0].Unfinished, 2)

	victim.Kill()
	r = mustDocument(t, "info", "many", "--dir", dir).Rings[0]
	assert.Equal(t, stateDeadPeer, r.State)
	assert.Equal(t, []life{dead, alive}, []life{r.Unfinished[0].Process.State, r.Unfinished[1].Process.State})
	assert.Equal(t, []bool{true, false}, []bool{r.Unfinished[0].Described, r.Unfinished[1].Described})
	assert.Equal(t, []life{alive, dead, alive}, []life{r.Owners[0].Process.State, r.Owners[1].Process.State, r.Owners[2].Process.State})
	assert.NotNil(t, r.Owners[1].Process.Started)
	o := shmctl("info", pidText(victim), "--dir", dir)
	assert.Equal(t, statusOK, o.status)
	assert.Contains(t, o.stdout, "waits for owner 2, pid "+pidText(victim)+" (dead)")
	text, _, _ := strings.Cut(o.stdout, "SEGMENT")
	golden(t, "info-owners.golden", normal(text, map[string]string{
		pidText(slow): "SLOW", pidText(victim): "VICTIM", pidText(fourth): "FOURTH",
	}))

	take(t, path, 6)
	r = mustDocument(t, "info", "many", "--dir", dir).Rings[0]
	assert.EqualValues(t, 1, *r.Consumer.Counters.Recovered)
	assert.Nil(t, r.Producer.Counters.Recovered)
	assert.Len(t, r.Unfinished, 1)
	assert.Contains(t, shmctl("info", "many", "--dir", dir).stdout, "1 claims of dead producers")
	assert.Equal(t, stateClosed, r.State)
}

// take takes so many records out of a ring in whose claims owner 2 is proven dead, and closes the consumer.
func take(t testing.TB, path string, records int) {
	t.Helper()
	producer, consumer, unmap, err := mapNamed(path, manyGeometry())
	require.NoError(t, err)
	defer func() { assert.NoError(t, unmap()) }()
	c, err := ring.NewConsumer(consumer, producer, ring.Config{
		Geometry: manyGeometry(), PeerNeverParks: true, ProvenDead: func(owner int) bool { return owner == 2 },
	})
	require.NoError(t, err)
	for range records {
		_, err := c.Receive(context.Background(), nil)
		require.NoError(t, err)
	}
	c.Close()
}

// An owner's process number is the ring's word for it, and may be anything.
func TestOwnersThatCannotBe(t *testing.T) {
	dir, path := manyRing(t)
	producer, _, unmap, err := mapNamed(path, manyGeometry())
	require.NoError(t, err)
	defer func() { assert.NoError(t, unmap()) }()
	self := thisHost().self
	for _, tt := range []struct {
		name       string
		pid, start uint64
		want       life
		known      bool
	}{
		{"nobody", 0, 0, unknown, false},
		{"no number of a process", 1 << 32, 0, unknown, false},
		{"no such process", 1<<31 - 1, 0, dead, true},
		{"ourselves", uint64(self.PID), self.Start, alive, true},
		{"somebody before us", uint64(self.PID), self.Start - 1, dead, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const pidAt = ring.ProducerOwnersOffset + ring.OwnerBytes + 8
			mem.Uint64At(producer, pidAt).Store(tt.pid)
			mem.Uint64At(producer, pidAt+8).Store(tt.start)
			o := mustDocument(t, "info", "many", "--dir", dir).Rings[0].Owners[0]
			assert.Equal(t, tt.want, o.Process.State)
			assert.Equal(t, tt.known, o.Process.PID != nil)
		})
	}
}
