package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/shmwire/shmwire/ring"
)

// locks stands for what the operating system knows: who holds which owner number. Between processes each would lock a
// byte of the segment's file, and the system would take the lock away from one that dies.
type locks struct{ held sync.Map }

func (l *locks) hold(owner int) (release func(), ok bool, err error) {
	_, taken := l.held.LoadOrStore(owner, true)
	return func() { l.held.Delete(owner) }, !taken, nil
}

func (l *locks) provenDead(owner int) bool {
	_, held := l.held.Load(owner)
	return !held
}

// newExampleCrowd returns the regions of an MPSC ring, its consumer, and what producers are made of.
func newExampleCrowd(l *locks) (producerRegion, consumerRegion []byte, c *ring.Consumer, cfg ring.Config) {
	cfg = ring.Config{
		Geometry:       ring.Geometry{Slots: 64, SlotBytes: 64, MPSC: true},
		PeerNeverParks: true,
		Hold:           l.hold,
		ProvenDead:     l.provenDead,
	}
	producerRegion = ring.HeapRegion(cfg.ProducerBytes())
	consumerRegion = ring.HeapRegion(cfg.ConsumerBytes())
	c, err := ring.NewConsumer(consumerRegion, producerRegion, cfg)
	if err != nil {
		panic(err)
	}
	return producerRegion, consumerRegion, c, cfg
}

// Many producers share the producer region. The consumer comes first, and hears io.EOF when all of them have gone.
func ExampleNewProducer_many() {
	ctx := context.Background()
	producerRegion, consumerRegion, c, cfg := newExampleCrowd(&locks{})
	var producers [3]*ring.Producer
	for i := range producers {
		var err error
		if producers[i], err = ring.NewProducer(producerRegion, consumerRegion, cfg); err != nil {
			panic(err)
		}
	}
	for _, p := range producers {
		go func() {
			defer p.Close()
			for i := range 100 {
				if err := p.Send(ctx, []byte{byte(p.Owner()), byte(i)}); err != nil {
					panic(err)
				}
			}
		}()
	}
	next := map[byte]byte{}
	for msg, err := range c.Messages(ctx) {
		if err != nil {
			panic(err)
		}
		if next[msg[0]] != msg[1] {
			panic("out of order")
		}
		next[msg[0]]++
	}
	fmt.Println(next)
	// Output: map[1:100 2:100 3:100]
}

// The number of a producer that died is to be had again when the consumer has passed everything it had claimed.
func ExampleJoin() {
	system := &locks{}
	producerRegion, consumerRegion, c, cfg := newExampleCrowd(system)
	cfg.Owner = 7 // this service is always number 7
	first, err := ring.NewProducer(producerRegion, consumerRegion, cfg)
	if err != nil {
		panic(err)
	}
	if _, _, err := first.TryClaim(100); err != nil {
		panic(err)
	}
	system.held.Delete(7) // killed: its lock is gone, its claim is not

	_, err = ring.NewProducer(producerRegion, consumerRegion, cfg)
	fmt.Println(err)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got := make(chan string)
	go func() {
		for { // until somebody comes
			if msg, err := c.Receive(ctx, nil); err != io.EOF {
				got <- string(msg)
				return
			}
		}
	}()
	second, err := ring.Join(ctx, producerRegion, consumerRegion, cfg)
	if err != nil {
		panic(err)
	}
	if err := second.Send(ctx, []byte("a second life")); err != nil {
		panic(err)
	}
	fmt.Printf("owner %d: %s\n", second.Owner(), <-got)
	second.Close()
	// Output:
	// ring: owner number 7 is not free (taken: 0, waiting for the consumer: 1)
	// owner 7: a second life
}

// All numbers may be taken.
func ExampleOwnersError() {
	producerRegion, consumerRegion, _, cfg := newExampleCrowd(&locks{})
	for {
		_, err := ring.NewProducer(producerRegion, consumerRegion, cfg)
		var none *ring.OwnersError
		if errors.As(err, &none) {
			fmt.Println(errors.Is(err, ring.ErrOwners), none.Taken, none.Waiting)
			return
		}
		if err != nil {
			panic(err)
		}
	}
	// Output: true 255 0
}

// A producer that lives, but neither commits nor aborts, holds up everything that is sent behind its claim. It is never
// overruled; who it is can be told.
func ExampleConsumer_Stalled() {
	producerRegion, consumerRegion, c, cfg := newExampleCrowd(&locks{})
	p, err := ring.NewProducer(producerRegion, consumerRegion, cfg)
	if err != nil {
		panic(err)
	}
	claim, err := p.Claim(context.Background(), 100)
	if err != nil {
		panic(err)
	}
	for {
		if _, ok, err := c.TryNext(); ok || err != nil {
			panic("there is nothing yet")
		}
		if s, ok := c.Stalled(); ok {
			fmt.Printf("owner %d has %d slots from position %d on\n", s.Owner, s.Slots, s.Position)
			break
		}
	}
	claim.Commit()
	_, ok, err := c.TryNext()
	fmt.Println(ok, err)
	// Output:
	// owner 1 has 2 slots from position 0 on
	// true <nil>
}

// One claim, and one atomic operation for it, covers as many messages of a batch as fit.
func ExampleProducer_SendBatch_many() {
	ctx := context.Background()
	producerRegion, consumerRegion, c, cfg := newExampleCrowd(&locks{})
	p, err := ring.NewProducer(producerRegion, consumerRegion, cfg)
	if err != nil {
		panic(err)
	}
	n, err := p.SendBatch(ctx, [][]byte{[]byte("one"), []byte("two"), []byte("three")})
	fmt.Println(n, err)
	p.Close()
	for msg := range c.Messages(ctx) {
		fmt.Printf("%s\n", msg)
	}
	// Output:
	// 3 <nil>
	// one
	// two
	// three
}
