package shmwire_test

import (
	"context"
	"maps"
	"testing"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	roles := map[string]shmtest.Role{
		"send":    sendRole,
		"echo":    echoRole,
		"listen":  listenRole,
		"attempt": attemptRole,
		"inherit": inheritRole,
		"fill":    fillRole,
	}
	maps.Copy(roles, systemRoles())
	shmtest.Main(m, roles)
}

// kinds are the transports and ways of waiting that every Conn test runs on.
var kinds = []kind{
	{"shm", wished, shmwire.Config{}},
	{"shm-poller", wished, shmwire.Config{Wait: shmwire.WaitPoller}},
	{"shm-futex", wished, shmwire.Config{Wait: shmwire.WaitFutex}},
	{"shm-small", wished, shmwire.Config{RingBytes: 4096, SlotBytes: 16}},
	{"socket", shmwire.UnixSocket, shmwire.Config{SocketOnly: true}},
	{"socket-small", shmwire.UnixSocket, shmwire.Config{SocketOnly: true, RingBytes: 4096, SlotBytes: 16}},
}

type kind struct {
	name      string
	transport shmwire.Transport
	cfg       shmwire.Config
}

func kindNamed(name string) kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	panic("no kind " + name)
}

// onEachKind runs test on a connection of every kind.
func onEachKind(t *testing.T, test func(t *testing.T, a, b *shmwire.Conn)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			a, b := mustPair(t, &k.cfg)
			got, reason := a.Transport()
			require.Equal(t, k.transport, got, reason)
			test(t, a, b)
		})
	}
}

func mustPair(t testing.TB, cfg *shmwire.Config) (a, b *shmwire.Conn) {
	t.Helper()
	a, b, err := shmwire.Pair(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func mustSend(t testing.TB, c *shmwire.Conn, msgs ...string) {
	t.Helper()
	for _, m := range msgs {
		require.NoError(t, c.Send(context.Background(), []byte(m)))
	}
}

func mustReceive(t testing.TB, c *shmwire.Conn) string {
	t.Helper()
	msg, err := c.Receive(context.Background(), nil)
	require.NoError(t, err)
	return string(msg)
}

// result is what a call in another goroutine came to.
type result struct {
	n   int
	err error
}

// inBackground runs call in another goroutine.
func inBackground(call func() (int, error)) <-chan result {
	ch := make(chan result, 1)
	go func() {
		n, err := call()
		ch <- result{n, err}
	}()
	return ch
}
