package ring_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmwire/shmwire/ring"
)

// exampleSend sends each word as a message.
func exampleSend(p *ring.Producer, words ...string) {
	for _, word := range words {
		if ok, err := p.TrySend([]byte(word)); !ok {
			panic(err)
		}
	}
}

// Whatever is there is handled in one go, and its slots are given back together.
func ExampleConsumer_Drain() {
	ctx := context.Background()
	p, c := newExampleRing()
	exampleSend(p, "one", "two", "three")
	n, err := c.Drain(ctx, 100, func(msg []byte) error { // waits if there is nothing
		fmt.Printf("%s at position %d\n", msg, c.Position())
		return nil
	})
	fmt.Println(n, err)
	// Output:
	// one at position 0
	// two at position 1
	// three at position 2
	// 3 <nil>
}

// A message whose handler fails is not taken: it comes again.
func ExampleConsumer_TryDrain() {
	p, c := newExampleRing()
	exampleSend(p, "good", "bad", "after")
	n, err := c.TryDrain(100, func(msg []byte) error {
		if string(msg) == "bad" {
			return errors.New("cannot handle it yet")
		}
		return nil
	})
	fmt.Println(n, err)
	msg, _, _ := c.TryReceive(nil)
	fmt.Printf("%s\n", msg)
	// Output:
	// 1 cannot handle it yet
	// bad
}

// The handler decides message by message: here a group is given back when it is complete, and what does not belong to
// one stays for the next read.
func ExampleConsumer_TryRead() {
	p, c := newExampleRing()
	exampleSend(p, "part", "part", "end", "part")
	n, err := c.TryRead(100, func(msg []byte) ring.Action {
		switch {
		case string(msg) == "end":
			return ring.Commit
		case c.Position() == 3:
			return ring.Rewind
		}
		return ring.Continue
	})
	fmt.Println(n, err, c.Position())
	// Output: 3 <nil> 3
}

// Read waits for the first message. Break takes the one at hand and stops.
func ExampleConsumer_Read() {
	ctx := context.Background()
	p, c := newExampleRing()
	go exampleSend(p, "first", "second")
	n, err := c.Read(ctx, 100, func(msg []byte) ring.Action {
		fmt.Printf("%s\n", msg)
		return ring.Break
	})
	fmt.Println(n, err)
	// Output:
	// first
	// 1 <nil>
}

// A consumer that takes over from one that died goes on at the position that was published last.
func ExampleConfig_resume() {
	geo := ring.Geometry{Slots: 8, SlotBytes: 64}
	producerRegion, consumerRegion := ring.HeapRegion(geo.ProducerBytes()), ring.HeapRegion(geo.ConsumerBytes())
	cfg := ring.Config{Geometry: geo, PeerNeverParks: true, Resume: true} // on unused regions as well
	p, err := ring.NewProducer(producerRegion, consumerRegion, cfg)
	if err != nil {
		panic(err)
	}
	exampleSend(p, "one", "two")
	for life := range 3 {
		c, err := ring.NewConsumer(consumerRegion, producerRegion, cfg)
		if err != nil {
			panic(err)
		}
		record, ok, err := c.TryNext()
		if !ok {
			fmt.Println("nothing left", err)
			return
		}
		fmt.Printf("life %d: %s\n", life, record.Bytes())
		if life > 0 { // the first one is killed here, before it has given the record back
			record.Release()
			c.Close()
		}
	}
	// Output:
	// life 0: one
	// life 1: one
	// life 2: two
}
