package ring_test

import (
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
)

// sentRecord is a record that some producer has claimed space for, as a model of the ring sees it.
type sentRecord struct {
	owner, length int
	state         int // openRecord, wholeRecord or goneRecord
	claim         ring.Claim
}

const (
	openRecord = iota
	wholeRecord
	goneRecord // aborted
)

// queue is the model: all records in the order of their claims, from the first that has not been taken.
type queue struct {
	r       *crowd
	records []*sentRecord
}

func (q *queue) open(p *ring.Producer) *sentRecord {
	for _, rec := range q.records {
		if rec.owner == p.Owner() && rec.state == openRecord {
			return rec
		}
	}
	return nil
}

// send lets p do something: end its open claim, or else make one or send.
func (q *queue) send(t *testing.T, p *ring.Producer, n, choice int) {
	t.Helper()
	if rec := q.open(p); rec != nil {
		if choice%2 == 0 {
			rec.claim.Commit()
			rec.state = wholeRecord
		} else {
			rec.claim.Abort()
			rec.state = goneRecord
		}
		return
	}
	rec := &sentRecord{owner: p.Owner(), length: n, state: wholeRecord}
	var ok bool
	var err error
	if choice == 0 {
		rec.state = openRecord
		rec.claim, ok, err = p.TryClaim(n)
	} else {
		ok, err = p.TrySend(make([]byte, n))
	}
	require.NoError(t, err)
	if ok {
		q.records = append(q.records, rec)
	}
}

// receive takes a record, which the model must have whole behind nothing but aborted ones.
func (q *queue) receive(t *testing.T) {
	t.Helper()
	msg, ok, err := q.r.c.TryReceive(nil)
	require.NoError(t, err)
	q.drop()
	if !ok {
		require.False(t, len(q.records) > 0 && q.records[0].state == wholeRecord)
		return
	}
	require.NotEmpty(t, q.records)
	require.Equal(t, wholeRecord, q.records[0].state)
	require.Len(t, msg, q.records[0].length)
	q.records = q.records[1:]
}

// drop forgets aborted records at the front.
func (q *queue) drop() {
	for len(q.records) > 0 && q.records[0].state == goneRecord {
		q.records = q.records[1:]
	}
}

// check compares what an inspector sees with the model.
func (q *queue) check(t *testing.T) {
	t.Helper()
	published := q.r.published()
	s := q.r.inspect()
	require.Nil(t, s.Trouble)
	require.True(t, s.Settled)
	require.Equal(t, published, s.Consumer.Position)
	require.Equal(t, s.Producer.Position-published, s.Slots)
	var records, size uint64
	unfinished := []ring.UnfinishedClaim{}
	for _, rec := range q.records {
		switch rec.state {
		case wholeRecord:
			records++
			size += uint64(rec.length)
		case openRecord:
			slots := max(1, (rec.length+q.r.geo.SlotBytes-1)/q.r.geo.SlotBytes)
			unfinished = append(unfinished, ring.UnfinishedClaim{Owner: rec.owner, Slots: slots})
		}
	}
	require.Len(t, s.Unfinished, len(unfinished))
	for i, u := range s.Unfinished {
		last := u.Position+uint64(u.Slots) == s.Producer.Position
		require.True(t, last || u.Described, "only the last claim can be without a descriptor")
		u.Position, u.Described = 0, false
		require.Equal(t, unfinished[i], u)
	}
	// The consumer publishes lazily: until it does, records that it has taken still count as waiting.
	if published == q.r.c.Position() {
		require.Equal(t, []uint64{records, size}, []uint64{s.Records, s.Bytes})
	}
}

// What an inspector finds is what the handles know, after every step and wherever on the ring they are.
func TestInspectAgreesWithManyProducers(t *testing.T) {
	for _, geo := range geometries {
		for _, start := range starts(geo) {
			t.Run(fmt.Sprintf("slots=%d/bytes=%d/start=%#x", geo.Slots, geo.SlotBytes, start), func(t *testing.T) {
				r := newCrowd(t, geo, startAt(start))
				q := &queue{r: r}
				producers := []*ring.Producer{r.join(), r.join(), r.join()}
				rng := shmtest.Rand(t)
				for range 300 {
					if rng.IntN(3) == 0 {
						q.receive(t)
					} else {
						q.send(t, producers[rng.IntN(3)], rng.IntN(geo.MaxRecord()+1), rng.IntN(4))
					}
					q.check(t)
				}
			})
		}
	}
}
