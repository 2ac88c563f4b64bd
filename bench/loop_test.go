package bench_test

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// link carries messages of one length between the two processes.
type link interface {
	send(msg []byte) error
	receive(buf []byte) error // fills buf with one message
	interrupt()               // makes the calls fail; from any goroutine
	close() error
}

// end is one process's end of a link, with its buffers and its place in the sequence of messages. The loops below are
// all that is ever timed; nothing in them allocates.
type end struct {
	link       link
	pattern    pattern
	msg        []byte
	batch      [][]byte
	buf        []byte
	sent       uint64 // the number of the next message, which is as much greater than the last one's as step says
	step       uint64
	received   uint64
	crowd      []uint64 // of a consumer of many producers: the number of the next message of each
	open       int      // how many of them have not yet sent their last
	many       int
	leastBlock int // messages that are timed together at the least
	inPlace    bool
	sums       sums
	pause      *time.Timer // for gaps; kept because a new one would be counted as allocated
}

// newEnd makes the end of one process, who has that number among a link's producers, from 1, or is its consumer.
func newEnd(l link, s spec, owner int) *end {
	e := &end{
		link: l, pattern: newPattern(), msg: make([]byte, s.Size), buf: make([]byte, s.Size),
		pause: time.NewTimer(time.Hour), step: 1, inPlace: s.InPlace,
	}
	e.pause.Stop()
	e.sums = e.pattern.sums()
	if owner > 0 {
		for range s.Batch {
			e.batch = append(e.batch, make([]byte, s.Size))
		}
	}
	if s.Producers > 0 {
		e.amongMany(s.Producers, owner, s.Ring/s.Size)
	}
	return e
}

// clock reads the monotonic clock, which costs half of what time.Now does.
func (e *end) clock() time.Duration { return time.Since(epoch) }

var epoch = time.Now()

// rally says how many round trips to make and how to time them.
type rally struct {
	count int                     // 0: until limit
	limit time.Duration           // of a slice; unused if count is set
	gap   time.Duration           // idle time before each message, not counted
	hist  *hdrhistogram.Histogram // of round trips in ns; nil: nothing is timed here
}

// ping makes round trips and returns how many. A round trip is from before send to after receive: it holds the other
// side's reading of every byte, and not our own writing and reading.
func (e *end) ping(r rally) (n int, err error) {
	begin := e.clock()
	stamp := begin
	for last := false; !last; n++ {
		if r.gap > 0 {
			e.pause.Reset(r.gap)
			<-e.pause.C
		}
		last = n+1 == r.count || r.count == 0 && stamp-begin >= r.limit
		num := e.sent
		if last {
			num |= lastFlag
		}
		e.pattern.fill(e.msg, num)
		var start time.Duration
		if r.hist != nil {
			start = e.clock()
		}
		if err := e.link.send(e.msg); err != nil {
			return n, err
		}
		if err := e.link.receive(e.buf); err != nil {
			return n, err
		}
		if r.hist != nil {
			stamp = e.clock()
			_ = r.hist.RecordValue(int64(stamp - start)) // beyond its range: as good as lost, and no reason to stop
		}
		if !e.pattern.intact(e.buf, num) {
			return n, e.spoilt("answer", num)
		}
		e.sent++
	}
	return n, nil
}

// echo answers round trips up to the last and returns how many.
func (e *end) echo() (n int, err error) {
	for last := false; !last; n++ {
		if err := e.link.receive(e.buf); err != nil {
			return n, err
		}
		if last, err = e.inOrder(); err != nil {
			return n, err
		}
		if err := e.link.send(e.buf); err != nil {
			return n, err
		}
	}
	return n, nil
}

// inOrder reads every byte of what was received and reports whether it is the last message of the slice.
func (e *end) inOrder() (last bool, err error) {
	num := number(e.buf)
	if num&^lastFlag != e.received || !e.pattern.intact(e.buf, num) {
		return false, e.spoilt("message", e.received)
	}
	e.received++
	return num&lastFlag != 0, nil
}

func (e *end) spoilt(what string, num uint64) error {
	return fmt.Errorf("%s %d: begins with %#x; out of order or spoilt", what, num, number(e.buf))
}

// produce sends messages in blocks, looking at the clock after each, until that shows a certain time, and then a last one.
func (e *end) produce(block int, until time.Duration) error {
	for {
		if err := e.blast(block); err != nil {
			return err
		}
		if e.clock() >= until {
			return e.finish()
		}
	}
}

// burst sends n messages and then a last one.
func (e *end) burst(n int) error {
	if err := e.blast(n); err != nil {
		return err
	}
	return e.finish()
}

// finish sends the message that ends a slice.
func (e *end) finish() error {
	e.pattern.fill(e.msg, e.sent|lastFlag)
	e.sent += e.step
	return e.link.send(e.msg)
}

// blast sends n messages, in batches if the end has any.
func (e *end) blast(n int) error {
	if r, ok := e.link.(*ringLink); ok {
		return e.blastRing(r, n)
	}
	for range n {
		e.pattern.fill(e.msg, e.sent)
		e.sent++
		if err := e.link.send(e.msg); err != nil {
			return err
		}
	}
	return nil
}

// blastRing is blast without calls through an interface: a message takes some ten nanoseconds.
func (e *end) blastRing(r *ringLink, n int) error {
	if e.inPlace {
		return e.blastInPlace(r, n)
	}
	if len(e.batch) <= 1 {
		for range n {
			e.pattern.fill(e.msg, e.sent)
			e.sent += e.step
			if err := r.producer.Send(background, e.msg); err != nil {
				return err
			}
		}
		return nil
	}
	for n > 0 {
		k := min(n, len(e.batch))
		for _, msg := range e.batch[:k] {
			e.pattern.fill(msg, e.sent)
			e.sent += e.step
		}
		if _, err := r.producer.SendBatch(background, e.batch[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// consume receives up to the last message and appends to blocks how long each block of messages took, in ns, as long as
// there is capacity. n is without the last message.
func (e *end) consume(block int, blocks []int64) (n int, times []int64, err error) {
	if block == 0 {
		block = math.MaxInt
	}
	for start := e.clock(); ; {
		k, last, err := e.consumeBlock(block)
		n += k
		if err != nil || last {
			return n, blocks, err
		}
		stop := e.clock()
		if len(blocks) < cap(blocks) {
			blocks = append(blocks, int64(stop-start))
		}
		start = stop
	}
}

// consumeBlock receives n messages, or as many as there are up to the last, which does not count.
func (e *end) consumeBlock(n int) (k int, last bool, err error) {
	if r, ok := e.link.(*ringLink); ok {
		return e.consumeRing(r, n)
	}
	for k = range n {
		if err := e.link.receive(e.buf); err != nil {
			return k, false, err
		}
		if last, err = e.inOrder(); last || err != nil {
			return k, last, err
		}
	}
	return n, false, nil
}

// consumeRing is consumeBlock without calls through an interface.
func (e *end) consumeRing(r *ringLink, n int) (k int, last bool, err error) {
	switch {
	case e.inPlace:
		return e.consumeInPlace(r, n)
	case len(e.crowd) > 0:
		return e.consumeCrowd(r, n)
	}
	for k = range n {
		msg, err := r.consumer.Receive(background, e.buf)
		if err != nil {
			return k, false, err
		}
		if len(msg) != len(e.buf) {
			return k, false, lengthError(len(msg), len(e.buf))
		}
		if last, err = e.inOrder(); last || err != nil {
			return k, last, err
		}
	}
	return n, false, nil
}

func lengthError(got, want int) error { return fmt.Errorf("message of %d bytes, want %d", got, want) }
