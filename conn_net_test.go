package shmwire_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/shmwire/shmwire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"
)

func TestNetConn(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b, err := shmwire.Pair(&k.cfg)
				if err != nil {
					return nil, nil, nil, err
				}
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

func TestReadIsAProperReader(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 512)
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		wrote := inBackground(func() (int, error) {
			n, err := a.Write(content)
			a.CloseWrite()
			return n, err
		})
		assert.NoError(t, iotest.TestReader(b, content))
		assert.Equal(t, result{n: len(content)}, <-wrote)
	})
}

func TestLargeWriteArrivesWhole(t *testing.T) {
	content := make([]byte, 3<<20+17)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		wrote := inBackground(func() (int, error) {
			n, err := a.Write(content)
			a.Close()
			return n, err
		})
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, got))
		assert.Equal(t, result{n: len(content)}, <-wrote)
	})
}

func TestAddresses(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, _ *shmwire.Conn) {
		assert.Equal(t, "unix", a.LocalAddr().Network())
		assert.Equal(t, "unix", a.RemoteAddr().Network())
	})
}

func TestConnHidesItsDescriptor(t *testing.T) {
	a, _ := mustPair(t, nil)
	assert.NotContains(t, methods(a), "SyscallConn", "drivers that find a descriptor read from it")
	assert.NotContains(t, methods(a), "File")
}
