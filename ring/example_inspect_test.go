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

// Of many producers an inspector sees who they are, and whose claim holds everybody up.
func ExampleInspect_manyProducers() {
	geo := ring.Geometry{Slots: 8, SlotBytes: 64, MPSC: true}
	producers, consumer := ring.HeapRegion(geo.ProducerBytes()), ring.HeapRegion(geo.ConsumerBytes())
	join := func(pid uint64) *ring.Producer {
		p, err := ring.NewProducer(producers, consumer, ring.Config{Geometry: geo, PeerNeverParks: true, PID: pid})
		if err != nil {
			panic(err)
		}
		return p
	}
	slow, quick := join(4711), join(4712)
	if _, ok, err := slow.TryClaim(100); !ok {
		panic(err)
	}
	if ok, err := quick.TrySend([]byte("hello")); !ok {
		panic(err)
	}

	h, err := ring.ReadHeader(producers)
	if err != nil {
		panic(err)
	}
	s, err := ring.Inspect(producers, consumer, h.Geometry)
	if err != nil {
		panic(err)
	}
	for _, o := range s.Owners {
		fmt.Println("owner", o.Number, "is process", o.PID)
	}
	for _, u := range s.Unfinished {
		fmt.Println(s.Records, "record waits for owner", u.Owner, "to finish", u.Slots, "slots at position", u.Position)
	}
	// Output:
	// owner 1 is process 4711
	// owner 2 is process 4712
	// 1 record waits for owner 1 to finish 2 slots at position 0
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
