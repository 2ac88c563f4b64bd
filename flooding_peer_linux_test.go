package shmwire_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFloodOnTheControlSocket: doorbells and end frames without end, from a peer with and without an eventfd; the
// deadline of a receiver and of a sender holds, and Close ends.
func TestFloodOnTheControlSocket(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for name, flood := range map[string]string{
		"bells": strings.Repeat("\x00", 4000), "ends": strings.Repeat("\x03\x00\x00\x00\x00", 800),
		"both": strings.Repeat("\x00\x00\x03\x00\x00\x00\x00", 500),
	} {
		for _, wait := range []shmwire.Wait{shmwire.WaitAdaptive, shmwire.WaitFutex, shmwire.WaitSpin} {
			t.Run(name+" "+wait.String(), func(t *testing.T) {
				c, h := byHandPair(t, &shmwire.Config{RingBytes: 4096, Wait: wait}, fallback.WakeEventfd)
				flooded := make(chan int)
				go func() {
					n := 0
					for {
						k, err := io.WriteString(h.uc, flood)
						n += k
						if err != nil {
							break
						}
					}
					flooded <- n
				}()
				if name != "bells" { // more end frames than there are ends
					_, err := c.Receive(bg, nil)
					require.ErrorIs(t, err, shmwire.ErrCorrupt)
					require.NoError(t, c.Close())
					<-flooded
					return
				}
				for range 10 {
					require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Millisecond)))
					_, err := c.Receive(bg, nil)
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					for err = nil; err == nil; {
						err = c.Send(bg, make([]byte, 500))
					}
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				}
				require.NoError(t, c.Close())
				assert.NotZero(t, <-flooded, "bytes of the flood")
			})
		}
	}
}

// TestGarbageAfterTheHandshake is ErrCorrupt on both transports, also for a call that waits already.
func TestGarbageAfterTheHandshake(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for _, only := range []bool{false, true} {
		for name, garbage := range map[string]string{
			"type": "\x07\x00\x00\x00\x00", "length": "\x03\xff\xff\xff\xff", "HTTP": "GET / HTTP/1.1\r\n\r\n",
		} {
			t.Run(fmt.Sprint(name, " ", only), func(t *testing.T) {
				c, h := byHandPair(t, &shmwire.Config{SocketOnly: only}, fallback.WakeEventfd)
				got := inBackground(func() (int, error) { _, err := c.Receive(bg, nil); return 0, err })
				shmtest.StillBlocked(t, got, "a receiver")
				_, err := io.WriteString(h.uc, garbage)
				require.NoError(t, err)
				assert.ErrorIs(t, shmtest.Soon(t, got, "the receiver").err, shmwire.ErrCorrupt)
				_, err = c.Read(make([]byte, 1))
				assert.ErrorIs(t, err, shmwire.ErrCorrupt, "again")
			})
		}
	}
}

// TestGonePeerWhoseMemoryIsStillWritten: somebody who still has a dead peer's memory cannot keep a reader busy for ever.
func TestGonePeerWhoseMemoryIsStillWritten(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	c, h := byHandPair(t, &shmwire.Config{RingBytes: 4096, SlotBytes: 16}, fallback.WakeEventfd)
	h.uc.Close()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		p := h.own.Region(0)
		for at := uint64(0); ; {
			select {
			case <-stop:
				return
			default:
			}
			mem.Uint64At(p, ring.ProducerDescriptorsOffset+8*int(at%256)).Store(at/256<<28 | 0<<2 | 2)
			if mem.Uint64At(h.peer.Region(1), ring.ConsumerPositionOffset).Load()+200 > at {
				at++
			}
		}
	})
	shmtest.Eventually(t, "gone", func() bool { return errors.Is(c.Send(bg, nil), shmwire.ErrPeerDied) })
	_, err := c.Read(make([]byte, 1))
	assert.ErrorIs(t, err, shmwire.ErrPeerDied)
	_, err = c.Read(make([]byte, 1))
	assert.ErrorIs(t, err, shmwire.ErrPeerDied)
	close(stop)
	wg.Wait()
}
