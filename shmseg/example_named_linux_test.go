package shmseg_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/shmwire/shmwire/shmseg"
)

// exampleName is a name that no other run of the examples has.
func exampleName() string { return fmt.Sprintf("example-%d", os.Getpid()) }

// Both sides are in one process here. Otherwise they need to know no more of each other than the name.
func ExampleCreateNamed() {
	name := exampleName()
	s, err := shmseg.CreateNamed(name, shmseg.NamedOptions{
		Regions: []int{1024, 256},
		Init: func(s *shmseg.Segment) error { // nobody can open it yet
			copy(s.Region(0), "hello")
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()
	defer s.Remove()

	_, err = shmseg.CreateNamed(name, shmseg.NamedOptions{Regions: []int{64}})
	fmt.Println("again:", errors.Is(err, os.ErrExist))

	theirs, err := shmseg.OpenNamed(name, shmseg.OpenOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer theirs.Detach()
	fmt.Printf("%s, %d bytes, writable: %t\n", theirs.Region(0)[:5], len(theirs.Region(0)), theirs.Writable())
	// Output:
	// again: true
	// hello, 1024 bytes, writable: true
}

func ExampleOpenNamed() {
	name := exampleName()
	_, err := shmseg.OpenNamed(name, shmseg.OpenOptions{})
	fmt.Println("before:", errors.Is(err, os.ErrNotExist))

	s, err := shmseg.CreateNamed(name, shmseg.NamedOptions{Regions: []int{1024}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()
	defer s.Remove()

	reader, err := shmseg.OpenNamed(name, shmseg.OpenOptions{ReadOnly: true, Regions: []int{1024}})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Detach()
	fmt.Println(reader.Kind(), reader.Size(), "bytes, writable:", reader.Writable())

	_, err = shmseg.OpenNamed(name, shmseg.OpenOptions{Regions: []int{4096}})
	fmt.Println("other regions:", errors.Is(err, shmseg.ErrGeometry))
	// Output:
	// before: true
	// named 8192 bytes, writable: false
	// other regions: true
}

// Removing takes only the name: whoever has the segment goes on with it.
func ExampleRemoveNamed() {
	name := exampleName()
	s, err := shmseg.CreateNamed(name, shmseg.NamedOptions{Regions: []int{64}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()

	fmt.Println(shmseg.RemoveNamed(name, shmseg.RemoveOptions{}))
	s.Region(0)[0] = 1
	_, err = shmseg.OpenNamed(name, shmseg.OpenOptions{})
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output:
	// <nil>
	// true
}

func ExampleSegment_Stale() {
	name := exampleName()
	s, err := shmseg.CreateNamed(name, shmseg.NamedOptions{Regions: []int{64}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()
	fmt.Println(s.Stale())

	if err := shmseg.RemoveNamed(name, shmseg.RemoveOptions{}); err != nil { // or somebody else did
		log.Fatal(err)
	}
	fmt.Println(errors.Is(s.Stale(), shmseg.ErrStale))
	// Output:
	// <nil>
	// true
}

// A segment removes its own name and no other.
func ExampleSegment_Remove() {
	s, err := shmseg.CreateNamed(exampleName(), shmseg.NamedOptions{Regions: []int{64}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()
	fmt.Println(s.Remove())
	fmt.Println(errors.Is(s.Remove(), shmseg.ErrStale))
	// Output:
	// <nil>
	// true
}

func ExampleSegment_Name() {
	s, err := shmseg.CreateNamed(exampleName(), shmseg.NamedOptions{Regions: []int{64}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()
	defer s.Remove()
	fmt.Println(s.Name() == exampleName(), s.Kind())
	// Output: true named
}

// Somebody truncates the file of a segment that is in use.
func ExampleSegment_Guard() {
	s, err := shmseg.CreateNamed(exampleName(), shmseg.NamedOptions{Regions: []int{1 << 16}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()
	defer s.Remove()
	if err := os.Truncate("/dev/shm/shmwire."+s.Name(), 0); err != nil {
		log.Fatal(err)
	}

	message := make([]byte, 100)
	err = s.Guard(func() { copy(message, s.Region(0)) })
	fmt.Println(errors.Is(err, shmseg.ErrTruncated))
	// Output: true
}
