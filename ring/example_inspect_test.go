package ring_test

import (
	"fmt"

	"github.com/shmwire/shmwire/ring"
)

// An inspector has nothing but the regions, mapped read-only. The geometry is in their headers.
func ExampleInspect() {
	geo := ring.Geometry{Slots: 8, SlotBytes: 64}
	producer, consumer := ring.HeapRegion(geo.ProducerBytes()), ring.HeapRegion(geo.ConsumerBytes())
	p, err := ring.NewProducer(producer, consumer, ring.Config{Geometry: geo, PeerNeverParks: true})
	if err != nil {
		panic(err)
	}
	for _, msg := range []string{"one", "two", "three"} {
		if ok, err := p.TrySend([]byte(msg)); !ok {
			panic(err)
		}
	}

	h, err := ring.ReadHeader(producer)
	if err != nil {
		panic(err)
	}
	s, err := ring.Inspect(producer, consumer, h.Geometry)
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Records, "records of", s.Bytes, "bytes in", s.Slots, "of", s.Geometry.Slots, "slots")
	fmt.Println("the consumer is there:", s.Consumer.Attached)
	// Output:
	// 3 records of 11 bytes in 3 of 8 slots
	// the consumer is there: false
}

// What waits, without taking it.
func ExamplePeek() {
	geo := ring.Geometry{Slots: 8, SlotBytes: 64}
	producer, consumer := ring.HeapRegion(geo.ProducerBytes()), ring.HeapRegion(geo.ConsumerBytes())
	p, err := ring.NewProducer(producer, consumer, ring.Config{Geometry: geo, PeerNeverParks: true})
	if err != nil {
		panic(err)
	}
	exampleSend(p, "one", "a longer message")
	waiting, err := ring.Peek(producer, consumer, geo, 10, 8)
	if err != nil {
		panic(err)
	}
	for _, w := range waiting {
		fmt.Printf("at %d: %d bytes, %q\n", w.Position, w.Length, w.Message)
	}
	// Output:
	// at 0: 3 bytes, "one"
	// at 1: 16 bytes, "a longer"
}
