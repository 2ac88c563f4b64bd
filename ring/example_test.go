package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shmwire/shmwire/ring"
)

// newExampleRing joins two goroutines that never sleep on the ring. Between processes each region would be a mapping,
// and the configurations would have a Doorbell and a Waiter.
func newExampleRing() (*ring.Producer, *ring.Consumer) {
	geo := ring.Geometry{Slots: 64, SlotBytes: 64}
	producerRegion := ring.HeapRegion(geo.ProducerBytes())
	consumerRegion := ring.HeapRegion(geo.ConsumerBytes())
	c, err := ring.NewConsumer(consumerRegion, producerRegion, ring.Config{Geometry: geo, PeerNeverParks: true})
	if err != nil {
		panic(err)
	}
	p, err := ring.NewProducer(producerRegion, consumerRegion, ring.Config{Geometry: geo, PeerNeverParks: true})
	if err != nil {
		panic(err)
	}
	return p, c
}

// Messages go in and come out by copy, across goroutines.
func Example() {
	ctx := context.Background()
	p, c := newExampleRing()
	go func() {
		defer p.Close()
		for i := range 3 {
			if err := p.Send(ctx, fmt.Appendf(nil, "message %d", i)); err != nil {
				panic(err)
			}
		}
	}()
	var buf []byte
	for {
		msg, err := c.Receive(ctx, buf)
		if err == io.EOF {
			fmt.Println("end")
			return
		}
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n", msg)
		buf = msg // used again: no allocation from now on
	}
	// Output:
	// message 0
	// message 1
	// message 2
	// end
}

// Without a copy: the message is written where the consumer will read it.
func ExampleProducer_Claim() {
	ctx := context.Background()
	p, c := newExampleRing()

	claim, err := p.Claim(ctx, 5)
	if err != nil {
		panic(err)
	}
	copy(claim.Bytes(), "hello")
	claim.Commit()

	record, err := c.Next(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", record.Bytes()) // valid until Release
	record.Release()
	// Output: hello
}

// A claim that turns out not to be needed leaves no trace.
func ExampleProducer_TryClaim() {
	p, c := newExampleRing()
	claim, ok, err := p.TryClaim(100)
	fmt.Println(len(claim.Bytes()), ok, err)
	claim.Abort()
	_, ok, err = c.TryNext()
	fmt.Println(ok, err)
	// Output:
	// 100 true <nil>
	// false <nil>
}

// Messages of a batch become visible together.
func ExampleProducer_SendBatch() {
	ctx := context.Background()
	p, c := newExampleRing()
	n, err := p.SendBatch(ctx, [][]byte{[]byte("one"), []byte("two"), []byte("three")})
	fmt.Println(n, err)
	p.Close()
	for msg, err := range c.Messages(ctx) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n", msg)
	}
	// Output:
	// 3 <nil>
	// one
	// two
	// three
}

// A context bounds how long a call waits.
func ExampleConsumer_Receive_context() {
	_, c := newExampleRing()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := c.Receive(ctx, nil)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// The Try calls never wait: ok says whether there was something.
func ExampleConsumer_TryReceive() {
	p, c := newExampleRing()
	_, ok, err := c.TryReceive(nil)
	fmt.Println(ok, err)
	if _, err := p.TrySend([]byte("now")); err != nil {
		panic(err)
	}
	msg, ok, err := c.TryReceive(nil)
	fmt.Println(string(msg), ok, err)
	// Output:
	// false <nil>
	// now true <nil>
}

// Sizes of the regions that both sides have to provide.
func ExampleGeometry() {
	geo := ring.Geometry{Slots: 4096, SlotBytes: 64}
	fmt.Println(geo.Validate(), geo.ProducerBytes(), geo.ConsumerBytes(), geo.MaxRecord())
	fmt.Println(ring.Geometry{Slots: 100, SlotBytes: 64}.Validate())
	// Output:
	// <nil> 295808 896 131072
	// ring: geometry: Slots is 100, want a power of two from 2 to 2^37
}

// Records one after another, where they lie.
func ExampleConsumer_Next() {
	ctx := context.Background()
	p, c := newExampleRing()
	for _, text := range []string{"a", "bc", ""} {
		if err := p.Send(ctx, []byte(text)); err != nil {
			panic(err)
		}
	}
	p.Close()
	for {
		record, err := c.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(err)
		}
		fmt.Printf("%q at position %d\n", record.Bytes(), c.Position())
		record.Release()
	}
	// Output:
	// "a" at position 0
	// "bc" at position 1
	// "" at position 2
}

// The same as a loop; leaving it releases the record.
func ExampleConsumer_Messages() {
	ctx := context.Background()
	p, c := newExampleRing()
	if _, err := p.SendBatch(ctx, [][]byte{[]byte("keep"), []byte("stop"), []byte("left")}); err != nil {
		panic(err)
	}
	for msg, err := range c.Messages(ctx) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n", msg)
		if string(msg) == "stop" {
			break
		}
	}
	// Output:
	// keep
	// stop
}

// A full ring is back-pressure, not an error.
func ExampleProducer_TrySend() {
	p, _ := newExampleRing()
	n := 0
	for {
		ok, err := p.TrySend([]byte("message"))
		if err != nil {
			panic(err)
		}
		if !ok {
			break
		}
		n++
	}
	fmt.Println(n, "messages in 64 slots")
	_, err := p.TrySend(make([]byte, p.MaxRecord()+1))
	fmt.Println(err, errors.Is(err, ring.ErrTooLarge))
	// Output:
	// 64 messages in 64 slots
	// ring: message of 2049 bytes, the longest record has 2048 true
}
