package shmwire_test

import (
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fillRole sends over the inherited socket 3 until its deadline passes, says how many Sends returned nil, and dies:
// kind.
func fillRole(args []string) int {
	k := kindNamed(args[0])
	c, err := shmwire.Inherit(3, &k.cfg)
	if err != nil {
		return fail(err)
	}
	_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := fill(c, bg)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return fail(err)
	}
	say(n)
	return end(c, "kill")
}

// TestWhatSendPromisedIsKeptByTheDead: every message whose Send returned nil arrives, also if a deadline cut the call
// short and the sender died then.
func TestWhatSendPromisedIsKeptByTheDead(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c, child := withChild(t, &k.cfg, "fill", k.name)
			want, err := strconv.Atoi(child.Line())
			require.NoError(t, err)
			child.Wait()
			got := 0
			for {
				_, err := c.Receive(bg, nil)
				if err != nil {
					require.ErrorIs(t, err, shmwire.ErrPeerDied)
					break
				}
				got++
			}
			assert.Equal(t, want, got, "messages")
		})
	}
}
