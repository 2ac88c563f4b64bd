package shmwire_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/require"
)

// TestStoppedPeer: deadlines hold beside a peer that is stopped, at any moment.
func TestStoppedPeer(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c, child := withChild(t, &k.cfg, "echo", k.name, "none")
			child.Line()
			rnd := shmtest.Rand(t)
			for range 10 {
				stop := time.AfterFunc(time.Duration(rnd.IntN(2000))*time.Microsecond, func() {
					_ = syscall.Kill(child.PID(), syscall.SIGSTOP)
				})
				var sent, received int
				for ends := 0; ends < 1; {
					require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Millisecond)))
					var b [8]byte
					binary.LittleEndian.PutUint64(b[:], uint64(sent))
					err := c.Send(bg, b[:])
					if err == nil {
						sent++
						var m []byte
						if m, err = c.Receive(bg, nil); err == nil {
							require.Equal(t, uint64(received), binary.LittleEndian.Uint64(m))
							received++
						}
					}
					if err != nil {
						require.ErrorIs(t, err, os.ErrDeadlineExceeded)
						ends++
					}
				}
				stop.Stop()
				require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Millisecond)))
				_, err := fill(c, bg)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.NoError(t, c.SetDeadline(time.Time{}))
				_ = syscall.Kill(child.PID(), syscall.SIGCONT)
				// All that was accepted comes back: those received so far were counted from 0.
				done := inBackground(func() (int, error) {
					for ; received < sent; received++ {
						m, err := c.Receive(bg, nil)
						if err != nil {
							return 0, err
						}
						if binary.LittleEndian.Uint64(m) != uint64(received) {
							return 0, fmt.Errorf("got %x want %x", m, received)
						}
					}
					return 0, nil
				})
				require.NoError(t, shmtest.Soon(t, done, "echo").err)
				// and what fill sent
				marked := inBackground(func() (int, error) { return 0, c.Send(bg, []byte("mark")) })
				for mustReceive(t, c) != "mark" {
				}
				require.NoError(t, shmtest.Soon(t, marked, "mark").err)
			}
			_ = syscall.Kill(child.PID(), syscall.SIGSTOP)
			_, err := inDeadline(c)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, c.Close(), "Close does not wait for a stopped peer")
		})
	}
}

func inDeadline(c *shmwire.Conn) (int, error) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Millisecond))
	return fill(c, bg)
}
