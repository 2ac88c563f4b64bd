package shmseg_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzOpenNamed opens files of arbitrary bytes. What is refused is refused with one of the known errors and leaves
// nothing; what is accepted lies wholly inside the file and can be read to its last byte. With mend the input gets past
// the checks that no random bytes pass; size is that of the file.
func FuzzOpenNamed(f *testing.F) {
	dir := shmtest.ShmDir(f)
	path := filepath.Join(dir, "shmwire.fuzz")
	copySegment(f, path, func([]byte) {})
	sample, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Cleanup(func() { _ = os.Remove(path) })
	f.Add(sample, uint32(8192), false)
	f.Add(sample[:200], uint32(8192), true)
	f.Add(sample[:120], uint32(4096), false)
	f.Add([]byte("shmwire\x00\x01"), uint32(9), false)
	f.Add([]byte{}, uint32(0), false)
	f.Fuzz(func(t *testing.T, b []byte, size uint32, mend bool) {
		if mend {
			b = append(b, make([]byte, shmseg.HeaderBytes)...)[:shmseg.HeaderBytes]
			copy(b, sample[:24])
			binary.LittleEndian.PutUint64(b[32:], uint64(size))
			copy(b[88:104], sample[88:104]) // boot id
			repair(b)
		}
		require.NoError(t, os.WriteFile(path, b, 0o600))
		require.NoError(t, os.Truncate(path, int64(size%(1<<24))))
		s, err := shmseg.OpenNamed("fuzz", shmseg.OpenOptions{Dir: dir})
		if err != nil {
			var bad *shmseg.HeaderError
			require.ErrorAs(t, err, &bad)
			assert.Zero(t, mappingsOf(t, dir))
			return
		}
		h, err := s.Header()
		require.NoError(t, err)
		require.NoError(t, s.Guard(func() {
			for i, r := range h.Regions {
				region := s.Region(i)
				require.Len(t, region, int(r.Size))
				region[len(region)-1]++
			}
		}))
		require.NoError(t, errors.Join(s.Stale(), s.Detach()))
	})
}
