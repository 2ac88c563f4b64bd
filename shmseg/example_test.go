package shmseg_test

import (
	"errors"
	"fmt"

	"github.com/shmwire/shmwire/shmseg"
)

func ExampleLayout() {
	offsets, total := shmseg.Layout(1000, 64)
	fmt.Println(offsets, total)
	// Output: [4096 5120] 8192
}

func ExampleDecodeHeader() {
	_, err := shmseg.DecodeHeader([]byte("#!/bin/sh\necho hello\n"))
	fmt.Println(errors.Is(err, shmseg.ErrNotSegment))

	var bad *shmseg.HeaderError
	if errors.As(err, &bad) {
		fmt.Println(bad.Field, "at byte", bad.Offset)
	}
	// Output:
	// true
	// magic number at byte 0
}
