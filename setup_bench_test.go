package shmwire_test

import (
	"net"
	"testing"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
)

// BenchmarkSetup makes and closes one connection after the other, both ends in this process.
func BenchmarkSetup(b *testing.B) {
	b.Run("transport=shm", func(b *testing.B) { benchmarkSetup(b, &shmwire.Config{}) })
	b.Run("transport=socket", func(b *testing.B) { benchmarkSetup(b, &shmwire.Config{SocketOnly: true}) })
	b.Run("transport=unix", func(b *testing.B) {
		path := shmtest.SocketPath(b)
		ln, err := net.Listen("unix", path)
		if err != nil {
			b.Fatal(err)
		}
		defer ln.Close()
		setUp(b, ln, func() (net.Conn, error) { return net.Dial("unix", path) })
	})
}

func benchmarkSetup(b *testing.B, cfg *shmwire.Config) {
	ln, path := mustListen(b, cfg)
	setUp(b, ln, func() (net.Conn, error) { return shmwire.Dial(bg, path, cfg) })
}

func setUp(b *testing.B, ln net.Listener, dial func() (net.Conn, error)) {
	for b.Loop() {
		c, err := dial()
		if err != nil {
			b.Fatal(err)
		}
		s, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
		s.Close()
	}
}
