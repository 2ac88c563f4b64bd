package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
)

// The application serves pages 0 to pageCount-1. Servers and clients make them from the number alone, so that a client
// knows every byte.
const pageCount = 64

// echoBytes is the size of what a client posts and wants back.
const echoBytes = 1 << 20

// Headers of an answer: the application sends the checksum, the balancer says which server an answer, or the failure
// behind a 502, comes from.
const (
	checksumHeader = "X-Checksum"
	backendHeader  = "X-Backend"
)

func pagePath(n int) string { return "/page/" + strconv.Itoa(n) }

// makePages returns all pages. Their sizes are those of web pages, with some that fit no buffer evenly.
func makePages() [][]byte {
	sizes := [...]int{512, 1, 4 << 10, 100, 16_000, 1 << 10, 0, 65_537}
	pages := make([][]byte, pageCount)
	for n := range pages {
		pages[n] = noise(uint64(n), sizes[n%len(sizes)])
	}
	return pages
}

// noise returns n bytes that the seed decides.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	copy(key[:], strconv.FormatUint(seed, 10))
	p := make([]byte, n)
	// A ChaCha8 never fails to give bytes.
	_, _ = rand.NewChaCha8(key).Read(p)
	return p
}

func checksum(p []byte) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE(p))
}

// difference says where got is not want; it is nil if they are equal.
func difference(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d of %d is %#02x, want %#02x", i, len(want), got[i], want[i])
		}
	}
	if len(got) > len(want) {
		return fmt.Errorf("the body is longer than %d bytes", len(want))
	}
	return fmt.Errorf("the body ends after %d bytes, want %d", len(got), len(want))
}
