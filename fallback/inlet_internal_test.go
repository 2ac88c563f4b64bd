package fallback

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/shmwire/shmwire/internal/sys"
)

const fuzzLongest = 1000

// expected is a second reading of the protocol: the messages that stream carries, and how it ends.
func expected(stream []byte) (msgs [][]byte, end error) {
	for {
		if len(stream) < frameHeader {
			return msgs, ErrPeerDied
		}
		typ, size := stream[0], uint64(binary.LittleEndian.Uint32(stream[1:]))
		stream = stream[frameHeader:]
		switch {
		case (typ == FrameEnd || typ == FrameCloseWrite) && size == 0:
			return msgs, io.EOF
		case typ != FrameMessage || size > fuzzLongest:
			return msgs, ErrFrame
		case size >= uint64(len(stream)): // the trailer is not there, at least
			return msgs, ErrPeerDied
		}
		msg, trailer := stream[:size], stream[size]
		switch stream = stream[size+1:]; trailer {
		case 0: // taken back
		case 1:
			msgs = append(msgs, msg)
		default:
			return msgs, ErrFrame
		}
	}
}

// FuzzInlet: arbitrary bytes from the peer never panic, take bounded memory, and come out as the protocol says.
func FuzzInlet(f *testing.F) {
	frame := func(n int, trailer byte) []byte {
		b := append([]byte{FrameMessage}, 0, 0, 0, 0)
		binary.LittleEndian.PutUint32(b[1:], uint32(n))
		return append(append(b, bytes.Repeat([]byte{'m'}, n)...), trailer)
	}
	message := func(n int) []byte { return frame(n, 1) }
	f.Add([]byte{}, uint8(0))
	f.Add(message(3), uint8(1))
	f.Add(append(message(0), FrameCloseWrite, 0, 0, 0, 0), uint8(2))
	f.Add(append(message(fuzzLongest), FrameEnd, 0, 0, 0, 0), uint8(3))
	f.Add(message(fuzzLongest+1), uint8(4))
	f.Add(append(bytes.Repeat(message(900), 30), 9, 0, 0, 0, 0), uint8(5))
	f.Add(slices.Concat(frame(3, 0), message(2), frame(0, 0), frame(fuzzLongest, 0), message(0), []byte{3, 0, 0, 0, 0}), uint8(6))
	f.Add(append(bytes.Repeat(frame(900, 0), 60), message(1)...), uint8(7))
	f.Add(append(message(4), frame(4, 2)...), uint8(8))
	f.Add(append(message(4), frame(4, 0)[:9]...), uint8(9))
	f.Add(slices.Concat(message(4), frame(4, 0), message(4)[:9]), uint8(10))
	f.Fuzz(func(t *testing.T, stream []byte, views uint8) {
		if len(stream) > 64<<10 {
			return // more than one Write may hold
		}
		ours, peers, err := sys.Socketpair()
		if err != nil {
			t.Fatal(err)
		}
		l := NewLink(ours, LinkConfig{MaxMessage: fuzzLongest})
		defer l.Close()
		if _, err := peers.Write(stream); err != nil {
			t.Fatal(err)
		}
		if err := peers.Close(); err != nil {
			t.Fatal(err)
		}
		if views%4 == 1 { // a sender finds out first
			_ = l.Send(context.Background(), []byte("x"))
		}
		msgs, end := expected(stream)
		for i, want := range msgs {
			got, err := l.Next(context.Background())
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("message %d: got %d bytes and %v, want %d bytes", i, len(got), err, len(want))
			}
			if views%4 == 2 && i == 0 { // or while a view is lent out
				_ = l.Send(context.Background(), []byte("x"))
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("view of message %d has changed", i)
			}
			l.Release()
		}
		for range 2 {
			if _, err := l.Next(context.Background()); !errors.Is(err, end) {
				t.Fatalf("after %d messages: got %v, want %v", len(msgs), err, end)
			}
		}
		// Read ahead for a verdict, at most all that was sent, doubled; else a frame, a read and the same again.
		if n := len(l.in.buf); n > 2*(len(stream)+fuzzLongest+minRead+2*inletBytes) {
			t.Fatalf("%d bytes of buffer for a stream of %d", n, len(stream))
		}
		if n := len(l.in.buf); views%4 == 0 && n > inletBytes {
			t.Fatalf("%d bytes of buffer for messages of %d", n, fuzzLongest)
		}
	})
}
