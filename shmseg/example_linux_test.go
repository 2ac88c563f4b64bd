package shmseg_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/shmwire/shmwire/shmseg"
	"golang.org/x/sys/unix"
)

// Both sides are in one process here. Otherwise the descriptor travels to the peer over a Unix socket, or is inherited,
// which makes the duplicate that dup makes here.
func Example() {
	regions := []int{1024, 256} // both sides know them

	mine, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Name: "example", Regions: regions})
	if err != nil {
		log.Fatal(err)
	}
	defer mine.Detach()

	fd, err := unix.Dup(mine.FD())
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := shmseg.AttachMemfd(fd, shmseg.AttachOptions{Regions: regions})
	if err != nil {
		log.Fatal(err)
	}
	defer theirs.Detach()

	copy(mine.Region(0), "hello")
	fmt.Printf("%s, %d bytes\n", theirs.Region(0)[:5], len(theirs.Region(0)))
	fmt.Println(mine.Writable(), theirs.Writable())
	// Output:
	// hello, 1024 bytes
	// true false
}

func ExampleCreateMemfd() {
	s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Name: "example", Regions: []int{4096}, Prefault: true})
	if errors.Is(err, errors.ErrUnsupported) {
		fmt.Println("no shared memory here, use a socket:", err)
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()
	fmt.Println(s.Size(), "bytes, writable:", s.Writable())
	// Output: 8192 bytes, writable: true
}

// A descriptor from a stranger may be anything.
func ExampleAttachMemfd() {
	zero, err := os.Open("/dev/zero")
	if err != nil {
		log.Fatal(err)
	}
	defer zero.Close()
	fd, err := unix.Dup(int(zero.Fd()))
	if err != nil {
		log.Fatal(err)
	}

	_, err = shmseg.AttachMemfd(fd, shmseg.AttachOptions{Regions: []int{4096}}) // closes fd
	var refused *shmseg.AttachError
	fmt.Println(errors.As(err, &refused), refused.Check)
	// Output: true seals
}

func ExampleSegment_Header() {
	s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: []int{1024, 256}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()

	h, err := s.Header()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(h.Kind, h.Size, h.Regions, h.CreatorPID == os.Getpid())
	// Output: memfd 8192 [[4096,5120) [5120,5376)] true
}

func ExampleSegment_Region() {
	s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: []int{8, 16}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Detach()
	fmt.Println(len(s.Region(0)), len(s.Region(1)), cap(s.Region(1)))
	// Output: 8 16 16
}

func ExampleSegment_Detach() {
	s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: []int{8}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Detach(), s.Detach(), s.FD())
	// Output: <nil> <nil> -1
}
