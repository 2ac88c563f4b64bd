package shmwire_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEverySystemCallFails: whichever call of the handshake fails on one side alone, the connection runs over the
// socket, and nothing is left.
func TestEverySystemCallFails(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for _, e := range []error{sys.EPERM, sys.ENOSYS, sys.EACCES} {
		tables := map[string]*sys.Table{
			"memfd_create": {MemfdCreate: func(string, int) (int, error) { return -1, e }},
			"ftruncate":    {Ftruncate: func(int, int64) error { return e }},
			"madvise":      {Populate: func([]byte) error { return e }},
			"add seals":    {AddSeals: func(int, int) error { return e }},
			"get seals":    {GetSeals: func(int) (int, error) { return -1, e }},
			"fstat":        {Fstat: func(int) (sys.Stat, error) { return sys.Stat{}, e }},
			"fstatfs":      {Fstatfs: func(int) (uint32, error) { return 0, e }},
			"eventfd":      {Eventfd: func() (int, error) { return -1, e }},
		}
		for name, table := range tables {
			for _, side := range []string{"listener", "dialler"} {
				t.Run(fmt.Sprint(name, " ", e, " ", side), func(t *testing.T) {
					faulty, sound := shmwire.WithTable(shmwire.Config{Prefault: true}, table), &shmwire.Config{}
					if side == "listener" {
						faulty, sound = sound, faulty
					}
					before := shmtest.FDs(t)
					ln, path := mustListen(t, sound)
					c, err := shmwire.Dial(bg, path, faulty)
					require.NoError(t, err)
					s, err := ln.AcceptConn()
					require.NoError(t, err)
					transport, reason := c.Transport()
					assert.Equal(t, shmwire.UnixSocket, transport, reason)
					mustSend(t, c, "x")
					assert.Equal(t, "x", mustReceive(t, s))
					c.Close()
					s.Close()
					ln.Close()
					shmtest.Eventually(t, "descriptors closed", func() bool { return len(shmtest.FDs(t)) <= len(before) })
				})
			}
		}
	}
}
