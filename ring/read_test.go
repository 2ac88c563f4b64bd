package ring_test

import (
	"context"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// actions returns a handler that answers with one action after the other and notes, before each, what it was given and
// what position was published.
func (h *collector) actions(r *rig, published *[]uint64, list ...ring.Action) func([]byte) ring.Action {
	return func(msg []byte) ring.Action {
		_ = h.handle(msg)
		*published = append(*published, r.published())
		next := list[0]
		list = list[1:]
		return next
	}
}

func TestControlledRead(t *testing.T) {
	const c, p, b, w = ring.Continue, ring.Commit, ring.Break, ring.Rewind
	for _, tt := range []struct {
		name      string
		actions   []ring.Action
		limit     int
		taken     int
		published []uint64 // as seen by the handler
	}{
		{"ShouldContinueOnControlledRead", []ring.Action{c, c, c, c}, 9, 4, []uint64{0, 0, 0, 0}},
		{"ShouldAbortOnControlledRead", []ring.Action{w}, 9, 0, []uint64{0}},
		{"ShouldAbortOnControlledReadOfSecondMessage", []ring.Action{c, w}, 9, 1, []uint64{0, 0}},
		{"ShouldCommitOnEachMessage", []ring.Action{p, p, p, p}, 9, 4, []uint64{0, 1, 2, 3}},
		{"ShouldBreakControlledRead", []ring.Action{b}, 9, 1, []uint64{0}},
		{"BreakOnThird", []ring.Action{c, p, b}, 9, 3, []uint64{0, 0, 2}},
		{"CommitThenAbort", []ring.Action{c, p, c, w}, 9, 3, []uint64{0, 0, 2, 2}},
		{"Limit", []ring.Action{c, c}, 2, 2, []uint64{0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, h := withMessages(t, 0, "a", "b", "c", "d")
			var published []uint64
			n, err := r.c.TryRead(tt.limit, h.actions(r, &published, tt.actions...))
			require.NoError(t, err)
			assert.Equal(t, tt.taken, n)
			assert.Equal(t, tt.published, published)
			assert.Equal(t, uint64(tt.taken), r.published(), "after the call")
			assert.Equal(t, uint64(tt.taken), r.c.Stats().Records)
			assert.Equal(t, []string{"a", "b", "c", "d"}[:len(tt.actions)], h.got)
			for _, want := range []string{"a", "b", "c", "d"}[tt.taken:] {
				mustReceive(t, r.c, []byte(want))
			}
			mustFindNothing(t, r.c)
		})
	}
}

// A wait that is answered by Rewind ends: the message is there, it is just not wanted.
func TestReadEndsWhenTheFirstMessageIsRewound(t *testing.T) {
	r, h := withMessages(t, 0, "a")
	var published []uint64
	n, err := r.c.Read(context.Background(), 9, h.actions(r, &published, ring.Rewind))
	require.NoError(t, err)
	assert.Zero(t, n)
	mustReceive(t, r.c, []byte("a"))
}

// The consumer dies inside the handler: everything since the last Commit comes again.
func TestReadGivesNothingBackBeforeCommit(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		n := fill(t, r.p)
		for commit := 1; commit < n; commit++ {
			var left *rig // the state in which the last message was being handled
			seen := 0
			_, err := r.c.TryRead(n, func([]byte) ring.Action {
				seen++
				switch seen {
				case commit:
					return ring.Commit
				case n:
					left = (&history{rig: r}).onACopy(t, func(*rig) {})
					return ring.Rewind
				}
				return ring.Continue
			})
			require.NoError(t, err)
			for i := range n - commit {
				mustReceive(t, left.c, []byte{byte(i + commit)})
			}
			mustFindNothing(t, left.c)
			mustReceive(t, r.c, []byte{byte(n - 1)})
			require.Equal(t, n, fill(t, r.p))
		}
	})
}
