package shmseg_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampleHeader has a different value in every byte that counts.
func sampleHeader() shmseg.Header {
	return shmseg.Header{
		Version: 1, PageBytes: 65536, LineBytes: 128, Kind: shmseg.Memfd, Size: 12288,
		Regions:      []shmseg.Region{{Offset: 4096, Size: 200}, {Offset: 4352, Size: 7000}},
		ID:           [16]byte([]byte("0123456789abcdef")),
		Generation:   0x1112131415161718,
		CreatorPID:   0x21222324,
		CreatorStart: 0x3132333435363738,
		BootID:       [16]byte([]byte("ABCDEFGHIJKLMNOP")),
		PIDNamespace: 0x4142434445464748,
		Created:      time.Unix(0, 0x5152535455565758).UTC(),
		Link:         [16]byte([]byte("QRSTUVWXYZqrstuv")),
	}
}

func encode(h shmseg.Header) []byte {
	b := mem.AlignedBytes(shmseg.HeaderBytes)
	shmseg.WriteHeader(b, h)
	return b
}

// repair writes the checksum that b ought to have.
func repair(b []byte) { binary.LittleEndian.PutUint32(b[120:], shmseg.Checksum(b)) }

func TestHeaderGolden(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the golden bytes hold a little-endian machine's byte-order mark")
	}
	want := make([]byte, shmseg.HeaderBytes)
	for off, digits := range map[int]string{
		0:   "73686d7769726500",                 // magic
		8:   "01000000" + "00100000",            // version, header size
		16:  "04030201" + "01000000",            // byte order, kind
		24:  "00000100" + "80000000",            // page, line
		32:  "0030000000000000" + "02000000",    // size, region count
		48:  "30313233343536373839616263646566", // id
		64:  "1817161514131211",                 // generation
		72:  "24232221",                         // creator pid
		80:  "3837363534333231",                 // creator start
		88:  "4142434445464748494a4b4c4d4e4f50", // boot id
		104: "4847464544434241",                 // PID namespace
		112: "5857565554535251",                 // created
		120: "e5d755e3",                         // checksum
		128: "0010000000000000" + "c800000000000000",
		144: "0011000000000000" + "581b000000000000",
		640: "5152535455565758595a717273747576", // link
	} {
		b, err := hex.DecodeString(digits)
		require.NoError(t, err)
		copy(want[off:], b)
	}
	got := encode(sampleHeader())
	assert.Equal(t, hex.Dump(want[:192]), hex.Dump(got[:192]))
	assert.Equal(t, hex.Dump(want[640:672]), hex.Dump(got[640:672]))
	assert.True(t, bytes.Equal(want[192:], got[192:]), "bytes behind the second region's entry")
}

func TestHeaderRoundTrip(t *testing.T) {
	many := sampleHeader()
	many.Regions = nil
	for i := range uint64(shmseg.MaxRegions) {
		many.Regions = append(many.Regions, shmseg.Region{Offset: 4096 + 128*i, Size: 128})
	}
	unknown := sampleHeader()
	unknown.CreatorStart, unknown.PIDNamespace, unknown.BootID = 0, 0, [16]byte{}
	huge := sampleHeader()
	huge.Size = math.MaxInt64 &^ 4095
	huge.Regions = []shmseg.Region{{Offset: 4096, Size: huge.Size - 4096}}
	for name, want := range map[string]shmseg.Header{
		"sample": sampleHeader(), "most regions": many, "unknown creator": unknown, "largest": huge,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := shmseg.DecodeHeader(encode(want))
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}

func TestDecodeHeaderIgnoresWhatFollows(t *testing.T) {
	got, err := shmseg.DecodeHeader(append(encode(sampleHeader()), 1, 2, 3))
	require.NoError(t, err)
	assert.Equal(t, sampleHeader(), got)
}

func TestDecodeHeaderRefusesEachField(t *testing.T) {
	le := binary.LittleEndian
	u32 := func(off int, v uint32) func(b []byte) {
		return func(b []byte) { le.PutUint32(b[off:], v); repair(b) }
	}
	u64 := func(off int, v uint64) func(b []byte) {
		return func(b []byte) { le.PutUint64(b[off:], v); repair(b) }
	}
	tests := []struct {
		name   string
		change func(b []byte)
		field  string
		offset int
		err    error
	}{
		{"magic missing", func(b []byte) { clear(b[:8]) }, "magic number", 0, shmseg.ErrNotSegment},
		{"magic of another", func(b []byte) { b[7] = 1 }, "magic number", 0, shmseg.ErrNotSegment},
		{"version zero", u32(8, 0), "version", 8, shmseg.ErrVersion},
		{"next version", u32(8, 2), "version", 8, shmseg.ErrVersion},
		{"header size", u32(12, 8192), "header size", 12, shmseg.ErrGeometry},
		{"other byte order", func(b []byte) {
			b[16], b[17], b[18], b[19] = b[19], b[18], b[17], b[16]
			repair(b)
		}, "byte-order mark", 16, shmseg.ErrByteOrder},
		{"kind zero", u32(20, 0), "kind", 20, shmseg.ErrGeometry},
		{"kind unknown", u32(20, 4), "kind", 20, shmseg.ErrGeometry},
		{"page size zero", u32(24, 0), "page size", 24, shmseg.ErrGeometry},
		{"page size small", u32(24, 2048), "page size", 24, shmseg.ErrGeometry},
		{"page size odd", u32(24, 4097), "page size", 24, shmseg.ErrGeometry},
		{"page size large", u32(24, 2<<20), "page size", 24, shmseg.ErrGeometry},
		{"line size zero", u32(28, 0), "line size", 28, shmseg.ErrGeometry},
		{"line size other", u32(28, 64), "line size", 28, shmseg.ErrGeometry},
		{"size of the header alone", u64(32, 4096), "size", 32, shmseg.ErrGeometry},
		{"size not a multiple", u64(32, 12289), "size", 32, shmseg.ErrGeometry},
		{"size beyond int64", u64(32, 1<<63), "size", 32, shmseg.ErrGeometry},
		{"size below the regions", u64(32, 8192), "size of region 1", 152, shmseg.ErrGeometry},
		{"no regions", u32(40, 0), "region count", 40, shmseg.ErrGeometry},
		{"too many regions", u32(40, 33), "region count", 40, shmseg.ErrGeometry},
		{"region count huge", u32(40, math.MaxUint32), "region count", 40, shmseg.ErrGeometry},
		{"fewer regions counted", u32(40, 1), "unused region 1", 144, shmseg.ErrGeometry},
		{"more regions counted", u32(40, 3), "offset of region 2", 160, shmseg.ErrGeometry},
		{"reserved after region count", u32(44, 1), "reserved byte", 44, shmseg.ErrGeometry},
		{"generation zero", u64(64, 0), "generation", 64, shmseg.ErrGeometry},
		{"pid zero", u32(72, 0), "creator pid", 72, shmseg.ErrGeometry},
		{"pid negative", u32(72, 1<<31), "creator pid", 72, shmseg.ErrGeometry},
		{"reserved after pid", u32(76, 1<<24), "reserved byte", 79, shmseg.ErrGeometry},
		{"created beyond int64", u64(112, 1<<63), "created", 112, shmseg.ErrGeometry},
		{"checksum", func(b []byte) { b[120]++ }, "checksum", 120, shmseg.ErrChecksum},
		{"id changed alone", func(b []byte) { b[48]++ }, "checksum", 120, shmseg.ErrChecksum},
		{"reserved after checksum", u32(124, 1), "reserved byte", 124, shmseg.ErrGeometry},
		{"region in the header", u64(128, 3968), "offset of region 0", 128, shmseg.ErrGeometry},
		{"region misaligned", u64(128, 4160), "offset of region 0", 128, shmseg.ErrGeometry},
		{"region behind the end", u64(144, 12288+128), "offset of region 1", 144, shmseg.ErrGeometry},
		{"region at the end", u64(144, 12288), "size of region 1", 152, shmseg.ErrGeometry},
		{"region offset huge", u64(144, 1<<63), "offset of region 1", 144, shmseg.ErrGeometry},
		{"regions overlap", u64(136, 257), "offset of region 1", 144, shmseg.ErrGeometry},
		{"regions descend", u64(128, 4480), "offset of region 1", 144, shmseg.ErrGeometry},
		{"region empty", u64(136, 0), "size of region 0", 136, shmseg.ErrGeometry},
		{"region too large", u64(152, 12288-4352+1), "size of region 1", 152, shmseg.ErrGeometry},
		{"region size wraps", u64(152, math.MaxUint64-4351), "size of region 1", 152, shmseg.ErrGeometry},
		{"unused region", u64(168, 1), "unused region 2", 160, shmseg.ErrGeometry},
		{"first reserved byte behind the regions", u64(656, 1), "reserved byte", 656, shmseg.ErrGeometry},
		{"last reserved byte", u64(4088, 1<<56), "reserved byte", 4095, shmseg.ErrGeometry},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := encode(sampleHeader())
			tt.change(b)
			_, err := shmseg.DecodeHeader(b)
			var bad *shmseg.HeaderError
			require.ErrorAs(t, err, &bad)
			assert.ErrorIs(t, err, tt.err)
			assert.Equal(t, tt.field, bad.Field)
			assert.Equal(t, tt.offset, bad.Offset)
			assert.NotEqual(t, bad.Want, bad.Got)
		})
	}
}

func TestDecodeHeaderSeesEveryBit(t *testing.T) {
	const used = 160 // bytes; of those behind one bit each is turned
	b := encode(sampleHeader())
	for i := range b {
		bits := []int{i % 8}
		if i < used {
			bits = []int{0, 1, 2, 3, 4, 5, 6, 7}
		}
		for _, bit := range bits {
			b[i] ^= 1 << bit
			if _, err := shmseg.DecodeHeader(b); err == nil {
				t.Errorf("byte %d, bit %d turned: accepted", i, bit)
			}
			b[i] ^= 1 << bit
		}
	}
}

func TestDecodeHeaderOfTooLittle(t *testing.T) {
	whole := encode(sampleHeader())
	for _, n := range []int{0, 1, 7, 8, 9, 127, shmseg.HeaderBytes - 1} {
		_, err := shmseg.DecodeHeader(whole[:n])
		assert.ErrorIs(t, err, shmseg.ErrTruncated, "%d bytes", n)
	}
	for _, text := range []string{"x", "shmwirf", "#!/bin/sh\n", "\x00"} {
		_, err := shmseg.DecodeHeader([]byte(text))
		assert.ErrorIs(t, err, shmseg.ErrNotSegment, "%q", text)
	}
}

// FuzzDecodeHeader looks for a header that is accepted although it breaks a bound, or that says something else when it
// is written again. With mend the input gets past the checks that no random bytes pass.
func FuzzDecodeHeader(f *testing.F) {
	sample := encode(sampleHeader())
	f.Add(sample, false)
	f.Add(sample[:200], true)
	f.Add(sample[:127], false)
	f.Add([]byte("shmwire\x00\x01\x00\x00\x00"), false)
	f.Add(bytes.Repeat([]byte{0xff}, 700), true)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend {
			b = append(b, make([]byte, shmseg.HeaderBytes)...)[:shmseg.HeaderBytes]
			copy(b, sample[:20])
			repair(b)
		}
		h, err := shmseg.DecodeHeader(b)
		if err != nil {
			var bad *shmseg.HeaderError
			require.ErrorAs(t, err, &bad)
			return
		}
		end := uint64(shmseg.HeaderBytes)
		for i, r := range h.Regions {
			if r.Offset < end || r.Size == 0 || r.Offset > h.Size || r.Size > h.Size-r.Offset {
				t.Fatalf("region %d is %v after %d in %d bytes", i, r, end, h.Size)
			}
			end = r.Offset + r.Size
		}
		require.True(t, bytes.Equal(b[:shmseg.HeaderBytes], encode(h)), "written again it differs: %+v", h)
	})
}
