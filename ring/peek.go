package ring

import (
	"errors"

	"github.com/shmwire/shmwire/internal/mem"
)

// Waiting is a message that has been sent and not been taken, as an inspector sees it.
type Waiting struct {
	Position uint64 // of its first slot
	Length   int    // bytes of the whole message
	Message  []byte // a copy of its first bytes
}

// errPeek is the caller's mistake.
var errPeek = errors.New("ring: peek: both regions are needed")

// Peek returns copies of the first bytes of at most so many messages that wait in a ring of geometry g, oldest first.
// It is for inspectors: both regions may be mapped read-only, nothing is taken, and neither side notices. There may be
// fewer: it ends where something is not committed yet, or is impossible ([Inspect] says what), or has been taken
// meanwhile.
//
// A message that is returned is whole, as it was sent: after each copy the consumer's position is loaded again, and
// until it has passed a record, no producer that keeps to the protocol touches its slots. One that does not can have
// written anything there at any time, so the bytes prove nothing. The copy is not synchronized with a producer in the
// same process, which the race detector reports.
//
// It takes at most g.Slots steps for each of at most 16 looks. The slices are the caller's. The error is for regions
// that are missing, too short or misaligned, and for an impossible g.
func Peek(producer, consumer []byte, g Geometry, messages, bytes int) ([]Waiting, error) {
	if producer == nil || consumer == nil {
		return nil, errPeek
	}
	in, err := newInspector(producer, consumer, g)
	if err != nil {
		return nil, err
	}
	for range inspections {
		if waiting, overtaken := in.peek(messages, bytes); !overtaken || len(waiting) > 0 {
			return waiting, nil
		}
	}
	return nil, nil // the consumer takes them faster than we can look
}

// whereConsumer loads the consumer's position.
func (in *inspector) whereConsumer() uint64 {
	published := mem.Uint64At(in.consumer, ConsumerPositionOffset).Load()
	return in.consumerPosition(side(in.producer), side(in.consumer), published)
}

// peek copies messages until the consumer overtakes it.
func (in *inspector) peek(messages, bytes int) (waiting []Waiting, overtaken bool) {
	from := in.whereConsumer()
	in.each(from, func(at, d uint64) bool {
		if len(waiting) >= messages {
			return false
		}
		n := int(d >> xShift & xMask)
		w := Waiting{Position: at, Length: n, Message: make([]byte, max(0, min(n, bytes)))}
		copy(w.Message, in.walker.payload(at, n))
		if overtaken = in.taken(from, at); overtaken {
			return false
		}
		waiting = append(waiting, w)
		return true
	})
	return waiting, overtaken
}

// taken reports whether the consumer, which was at from, has passed position at, so that what was read there may have
// been overwritten while it was read.
func (in *inspector) taken(from, at uint64) bool {
	// A load may be done before a plain read that stands ahead of it, but not before an atomic store that does, and that
	// not before the reads ahead of it.
	var order mem.Word64
	order.Store(at)
	// sync(position) takes over: nothing; that it has not moved says that the slots behind it had not been given back.
	// Pairs with Consumer.publishPosition.
	now := in.whereConsumer()
	return now-from > at-from
}
