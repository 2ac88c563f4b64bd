package shmwire_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSidesThatWishDifferentSlots: two sides whose rings are equally large agree, whatever their slots.
func TestSidesThatWishDifferentSlots(t *testing.T) {
	for _, slots := range [][2]int{{16, 4096}, {4096, 16}, {16, 2048}, {64, 256}} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			ln, path := mustListen(t, &shmwire.Config{SlotBytes: slots[0]})
			c, err := shmwire.Dial(bg, path, &shmwire.Config{SlotBytes: slots[1]})
			require.NoError(t, err)
			defer c.Close()
			s, err := ln.AcceptConn()
			require.NoError(t, err)
			defer s.Close()
			assert.Equal(t, 128<<10, c.MaxMessage(), "half of the 256 KiB that both wish")
		})
	}
}

// TestAllWaysOfWaitingMeet: every way of waiting against every other, with deadlines moved all the time.
func TestAllWaysOfWaitingMeet(t *testing.T) {
	waits := []shmwire.Wait{shmwire.WaitAdaptive, shmwire.WaitPoller, shmwire.WaitFutex, shmwire.WaitSpin}
	for _, wa := range waits {
		for _, wb := range waits {
			t.Run(fmt.Sprint(wa, " ", wb), func(t *testing.T) {
				shmtest.Watchdog(t, time.Minute) // over the socket each takes the five seconds of a lingering Close
				ln, path := mustListen(t, &shmwire.Config{Wait: wa, RingBytes: 4096})
				a, err := shmwire.Dial(bg, path, &shmwire.Config{Wait: wb, RingBytes: 4096})
				require.NoError(t, err)
				defer a.Close()
				b, err := ln.AcceptConn()
				require.NoError(t, err)
				echoed := inBackground(func() (int, error) { return 0, echo(b) })
				var wg sync.WaitGroup
				stop := make(chan struct{})
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							_ = a.SetDeadline(time.Now().Add(time.Duration(rand.IntN(300)) * time.Microsecond))
							_ = b.SetDeadline(time.Now().Add(time.Hour))
						}
					}
				})
				sent, received := 0, 0
				for received < 40 {
					if sent == received {
						if err := a.Send(bg, make([]byte, 1+sent%700)); err == nil {
							sent++
						} else {
							require.ErrorIs(t, err, os.ErrDeadlineExceeded)
							continue
						}
					}
					if m, err := a.Receive(bg, nil); err == nil {
						require.Len(t, m, 1+received%700)
						received++
					} else {
						require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					}
				}
				close(stop)
				wg.Wait()
				require.NoError(t, a.SetDeadline(time.Now().Add(20*time.Millisecond)))
				_, err = fill(a, bg)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.NoError(t, a.Close())
				err = shmtest.Soon(t, echoed, "the echo").err
				if err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Error(err)
				}
			})
		}
	}
}
