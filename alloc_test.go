//go:build !race

package shmwire_test

import (
	"context"
	"io"
	"testing"

	"github.com/shmwire/shmwire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Race builds allocate by themselves. Both ends are in this process, so what the other one allocates counts too.
func TestNothingIsAllocatedPerMessage(t *testing.T) {
	ctx, cancel := context.WithCancel(bg) // the same one for every call, as in a loop
	defer cancel()
	for _, k := range kinds {
		if k.transport != shmwire.SharedMemory {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			a, b := mustPair(t, &k.cfg)
			msg := make([]byte, 100)
			buf := make([]byte, 0, 100)
			batch := [][]byte{msg, msg, msg}
			echoed := inBackground(func() (int, error) {
				n, err := io.Copy(struct{ io.Writer }{b}, struct{ io.Reader }{b})
				return int(n), err
			})
			tests := map[string]func(){
				"message": func() {
					require.NoError(t, a.Send(ctx, msg))
					var err error
					buf, err = a.Receive(ctx, buf)
					require.NoError(t, err)
				},
				"stream": func() {
					_, err := a.Write(msg)
					require.NoError(t, err)
					_, err = io.ReadFull(a, buf[:100])
					require.NoError(t, err)
				},
				"in place": func() {
					cl, err := a.Claim(ctx, 100)
					require.NoError(t, err)
					require.NoError(t, cl.Commit())
					r, err := a.Next(ctx)
					require.NoError(t, err)
					r.Release()
				},
				"batch": func() {
					_, err := a.SendBatch(ctx, batch)
					require.NoError(t, err)
					for n := 0; n < 300; {
						m, err := a.Read(buf[:100])
						require.NoError(t, err)
						n += m
					}
				},
			}
			for name, test := range tests {
				assert.Zero(t, testing.AllocsPerRun(500, test), name)
			}
			require.NoError(t, a.CloseWrite())
			assert.NoError(t, (<-echoed).err)
		})
	}
}
