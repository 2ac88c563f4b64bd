package shmwire

import (
	"context"
	"io"
	"net"
	"sync/atomic"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
)

// shmLink carries the messages through two rings, one each way. Each process writes its own segment only: the
// producer region of the ring out and the consumer region of the ring in. The socket goes on as control channel.
type shmLink struct {
	mem      *sharedMemory
	producer *ring.Producer
	consumer *ring.Consumer
	record   ring.Record // the view that is lent out
	claimed  ring.Claim  // the claim that is open

	uc      *net.UnixConn
	control *fallback.Control
	data    *parking // where the receiver sleeps; nil: it never does
	space   *parking // where the sender sleeps
	served  chan struct{}

	gone     atomic.Bool // there is no peer any more; stored by serve
	broken   error       // the peer broke the control channel's rules; read after gone
	draining bool        // the receiver knows that the peer is gone
	outside  *outSide
	inside   *inSide
}

// useMemory gives c the rings in m, with the doorbells that the handshake settled.
func (c *Conn) useMemory(uc *net.UnixConn, m *sharedMemory) error {
	control, err := fallback.NewControl(uc)
	if err != nil {
		return err
	}
	l := &shmLink{
		mem: m, uc: uc, control: control, served: make(chan struct{}),
		outside: &c.out, inside: &c.in,
	}
	bell, err := l.bells()
	if err != nil {
		l.data.close()
		l.space.close()
		return err
	}
	c.setLink(l, SharedMemory, "woken by "+m.agreed.OwnWake.String(), m.geometry.MaxRecord())
	if err := l.openRings(bell); err != nil {
		l.data.close()
		l.space.close()
		return err
	}
	go l.serve()
	return nil
}

// openRings makes the handles of both rings. The peer's regions may say anything by now.
func (l *shmLink) openRings(data ring.Doorbell) (err error) {
	never := l.mem.agreed.PeerWake == fallback.WakeNever
	base := ring.Config{Geometry: l.mem.geometry, PeerNeverParks: never}

	out := base
	out.Stopped, out.Timeout = l.senderStop, l.outside.timeout
	out.Doorbell = data
	l.space.into(&out, l.mem.wait)
	l.producer, err = ring.NewProducer(l.mem.own.Region(regionProducer), l.mem.peer.Region(regionConsumer), out)
	if err != nil {
		return err
	}

	in := base
	in.Stopped, in.Timeout = l.receiverStop, l.inside.timeout
	if !never {
		in.Doorbell = &countingBell{l.control, mem.Uint32At(l.mem.own.Region(regionConsumer), ring.ConsumerDoorbellOffset)}
	}
	l.data.into(&in, l.mem.wait)
	l.consumer, err = ring.NewConsumer(l.mem.own.Region(regionConsumer), l.mem.peer.Region(regionProducer), in)
	return err
}

// serve is the connection's one goroutine: it reads the control channel until the socket ends. It wakes the sender
// for each doorbell, and both for everything else.
func (l *shmLink) serve() {
	defer close(l.served)
	l.broken = l.control.Serve(l.rung, l.wakeBoth)
	// sync(gone) publishes: broken, and that the peer will write nothing more. Pairs with senderStop and receiverStop,
	// each followed by a last look.
	l.gone.Store(true)
	l.wakeBoth()
}

// rung passes doorbells on. With strangers they mean data as well as space.
func (l *shmLink) rung() {
	l.space.ring()
	if l.mem.agreed.OwnWake == fallback.WakeSocket {
		l.data.ring()
	}
}

func (l *shmLink) wakeBoth() {
	l.space.interrupt()
	l.data.interrupt()
}

func (l *shmLink) wakeSender()   { l.space.nudge() }
func (l *shmLink) wakeReceiver() { l.data.nudge() }

// senderStop says why a sender must not wait: our own reasons, or that nobody reads any more.
func (l *shmLink) senderStop() error {
	if err := l.outside.stop(); err != nil {
		return err
	}
	if !l.gone.Load() { // sync(gone) takes over
		return nil
	}
	return l.senderVerdict()
}

// senderVerdict tells a peer that has closed from one that died.
func (l *shmLink) senderVerdict() error {
	if l.broken != nil {
		return l.broken
	}
	if mem.Uint64At(l.mem.peer.Region(regionConsumer), ring.ConsumerClosedOffset).Load() != 0 {
		return io.ErrClosedPipe
	}
	return ErrPeerDied
}

// receiverStop says why a receiver must not wait. The ring looks once more before it takes this for an answer, and
// finds what was committed, or the closed word.
func (l *shmLink) receiverStop() error {
	if err := l.inside.stop(); err != nil {
		return err
	}
	if !l.gone.Load() { // sync(gone) takes over
		return nil
	}
	l.drain()
	if l.broken != nil {
		return l.broken
	}
	return ErrPeerDied
}

// drain bounds what a peer that is gone can still make us read: another process that has its memory could write on.
func (l *shmLink) drain() {
	if !l.draining {
		l.draining = true
		l.consumer.DrainAtMost(uint64(l.mem.geometry.Slots))
	}
}

func (l *shmLink) send(ctx context.Context, msg []byte) error {
	if l.gone.Load() {
		return l.senderVerdict()
	}
	defer l.space.disarm()
	return l.producer.Send(ctx, msg)
}

func (l *shmLink) sendBatch(ctx context.Context, msgs [][]byte) (int, error) {
	if l.gone.Load() {
		return 0, l.senderVerdict()
	}
	defer l.space.disarm()
	return l.producer.SendBatch(ctx, msgs)
}

func (l *shmLink) claim(ctx context.Context, n int) ([]byte, error) {
	if l.gone.Load() {
		return nil, l.senderVerdict()
	}
	defer l.space.disarm()
	claim, err := l.producer.Claim(ctx, n)
	if err != nil {
		return nil, err
	}
	l.claimed = claim
	return claim.Bytes(), nil
}

func (l *shmLink) commit() error {
	l.claimed.Commit()
	return nil
}

func (l *shmLink) abort() { l.claimed.Abort() }

func (l *shmLink) closeWrite() error {
	l.producer.Close()
	l.control.SendEnd()
	return nil
}

func (l *shmLink) next(ctx context.Context) ([]byte, error) {
	if l.gone.Load() {
		l.drain()
	}
	defer l.data.disarm()
	record, err := l.consumer.Next(ctx)
	if err != nil {
		return nil, err
	}
	l.record = record
	return record.Bytes(), nil
}

func (l *shmLink) ready() ([]byte, bool) {
	record, ok, _ := l.consumer.TryNext()
	if !ok {
		return nil, false
	}
	l.record = record
	return record.Bytes(), true
}

func (l *shmLink) release() { l.record.Release() }

func (l *shmLink) sent(s *Stats, exact bool) {
	r := ring.SharedStats(l.mem.own.Region(regionProducer))
	if exact {
		r = l.producer.Stats()
	}
	s.Sent, s.HighWater = countersOf(r), r.HighWater
	s.Throttled += l.space.throttled()
}

func (l *shmLink) received(s *Stats, exact bool) {
	r := ring.SharedStats(l.mem.own.Region(regionConsumer))
	if exact {
		r = l.consumer.Stats()
	}
	s.Received = countersOf(r)
	s.Throttled += l.data.throttled()
}

func countersOf(r ring.Stats) Counters {
	return Counters{
		Messages: r.Records, Bytes: r.Bytes, Waits: r.Waits, Parks: r.Parks, Rings: r.Rings, Skips: r.Skips,
	}
}

// shut stores both closed words, which rings, then lets the socket end: the peer finds the words whichever of the
// three it notices first.
func (l *shmLink) shut() {
	l.producer.Close()
	l.consumer.Close()
	l.control.SendEnd()
	_ = l.uc.Close()
	<-l.served
	l.mem.closeBells()
	l.data.close()
	l.space.close()
}

func (l *shmLink) free() { l.mem.free() }
