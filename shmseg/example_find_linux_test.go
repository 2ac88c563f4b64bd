package shmseg_test

import (
	"context"
	"fmt"
	"os"

	"github.com/shmwire/shmwire/shmseg"
)

// An inspector finds the segments of all processes and looks at one, read-only.
func ExampleFind() {
	s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Name: "example of Find", Regions: []int{128}})
	if err != nil {
		panic(err)
	}
	defer s.Detach()
	copy(s.Region(0), "hello")

	found, err := shmseg.Find(context.Background())
	if err != nil {
		panic(err)
	}
	for _, sighting := range found.Sightings {
		if sighting.Name != "example of Find" {
			continue
		}
		p, err := sighting.Peek()
		if err != nil {
			panic(err)
		}
		defer p.Close()
		if err := p.Map(); err != nil {
			panic(err)
		}
		err = shmseg.Guard(func() { fmt.Printf("%s, sealed: %t\n", p.Region(0)[:5], p.Sealed()) }, p)
		if err != nil {
			panic(err)
		}
		fmt.Println("ours:", sighting.Holders[0].PID == os.Getpid())
	}
	// Output:
	// hello, sealed: true
	// ours: true
}
