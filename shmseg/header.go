package shmseg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
)

// The header fills the first 4096 bytes of a segment. Numbers are little-endian on every machine, with two exceptions
// in the creator's own byte order: the byte-order mark, and the words in the regions, whose order it tells.
//
//	  0  magic           8 bytes "shmwire" and 0, stored last, as one 64-bit word
//	  8  version         u32  1                             (bytes 0 to 15 stay as they are in every version)
//	 12  header size     u32  4096
//	 16  byte-order mark u32  0x01020304 in the creator's byte order
//	 20  kind            u32  1 memfd, 2 named, 3 SysV
//	 24  page size       u32  bytes, of the creator's kernel
//	 28  line size       u32  128, the alignment of regions
//	 32  size            u64  bytes, of the whole segment, a multiple of 4096
//	 40  region count    u32  1 to 32
//	 44  reserved        u32  0
//	 48  id              16 random bytes
//	 64  generation      u64  from 1, one more whenever a segment is made again under its name
//	 72  creator pid     u32  in the creator's PID namespace
//	 76  reserved        u32  0
//	 80  creator start   u64  clock ticks since the machine started; 0 = unknown
//	 88  boot id         16 bytes; 0 = unknown
//	104  PID namespace   u64  inode number; 0 = unknown
//	112  created         u64  nanoseconds since 1970-01-01 UTC
//	120  checksum        u32  CRC-32C of bytes 8 to 4095 with this field as 0
//	124  reserved        u32  0
//	128  regions         32 times: offset u64, size u64 (bytes); ascending, unused ones 0
//	640  link            16 bytes, the same in the segments that belong together; 0 = alone
//	656  reserved        0, up to 4095
//
// Nothing here changes once the magic number is there.
const (
	offMagic        = 0
	offVersion      = 8
	offHeaderBytes  = 12
	offByteOrder    = 16
	offKind         = 20
	offPageBytes    = 24
	offLineBytes    = 28
	offSize         = 32
	offRegionCount  = 40
	offID           = 48
	offGeneration   = 64
	offCreatorPID   = 72
	offCreatorStart = 80
	offBootID       = 88
	offPIDNamespace = 104
	offCreated      = 112
	offChecksum     = 120
	offRegions      = 128

	regionEntryBytes = 16
	offLink          = offRegions + MaxRegions*regionEntryBytes
	offUnused        = offLink + 16

	magic         = "shmwire\x00"
	version       = 1
	byteOrderMark = 0x01020304

	minPageBytes, maxPageBytes = 4 << 10, 1 << 20
)

// Header is what a segment says of itself.
type Header struct {
	Version   uint32 // of the layout
	PageBytes uint32 // page size of the creator's kernel
	LineBytes uint32 // alignment of the regions
	Kind      Kind
	Size      uint64   // bytes, of the whole segment
	Regions   []Region // ascending, not overlapping, at most MaxRegions

	ID         [16]byte // random, of this segment alone
	Generation uint64   // counts segments made under one name, from 1

	CreatorPID   int       // in the creator's PID namespace
	CreatorStart uint64    // its start time in clock ticks since the machine started; 0 = unknown
	BootID       [16]byte  // of the start of the machine; zero = unknown
	PIDNamespace uint64    // inode number of the creator's PID namespace; 0 = unknown
	Created      time.Time // UTC

	Link [16]byte // what it shares with the segments that belong to it; zero = it stands alone
}

// Region is a region's place in a segment, in bytes.
type Region struct {
	Offset, Size uint64 // bytes; Offset counts from the start of the segment
}

// String returns the region as the half-open interval of its bytes.
func (r Region) String() string { return fmt.Sprintf("[%d,%d)", r.Offset, r.Offset+r.Size) }

// DecodeHeader returns the header at the start of b, which must not change meanwhile: copy it out of shared memory
// first. It needs the first [HeaderBytes] bytes, ignores the rest, and keeps nothing of b. It compares nothing with
// the segment itself, which may be shorter than Size says.
//
// A header that it returns is bounded: Size is a multiple of 4096 that an int64 can hold, and 1 to [MaxRegions]
// non-empty aligned regions lie behind the header, in ascending order, inside Size. Otherwise it returns a
// *[HeaderError] that Is, in the order of the checks,
//   - [ErrNotSegment]: no magic number
//   - [ErrTruncated]: fewer than HeaderBytes bytes
//   - [ErrVersion]: a version other than 1
//   - [ErrByteOrder]: made on a machine of the other byte order
//   - [ErrChecksum]: damaged
//   - [ErrGeometry]: whole, but out of bounds
func DecodeHeader(b []byte) (Header, error) {
	if err := checkPreamble(b); err != nil {
		return Header{}, err
	}
	le := binary.LittleEndian
	h := Header{
		Version:      le.Uint32(b[offVersion:]),
		Kind:         Kind(le.Uint32(b[offKind:])),
		PageBytes:    le.Uint32(b[offPageBytes:]),
		LineBytes:    le.Uint32(b[offLineBytes:]),
		Size:         le.Uint64(b[offSize:]),
		ID:           [16]byte(b[offID:]),
		Generation:   le.Uint64(b[offGeneration:]),
		CreatorStart: le.Uint64(b[offCreatorStart:]),
		BootID:       [16]byte(b[offBootID:]),
		PIDNamespace: le.Uint64(b[offPIDNamespace:]),
		Link:         [16]byte(b[offLink:]),
	}
	pid, created := le.Uint32(b[offCreatorPID:]), le.Uint64(b[offCreated:])
	if err := h.checkFields(pid, created); err != nil {
		return Header{}, err
	}
	h.CreatorPID, h.Created = int(pid), time.Unix(0, int64(created)).UTC()
	if err := h.decodeRegions(b); err != nil {
		return Header{}, err
	}
	return h, nil
}

// checkPreamble checks all that has to hold before the fields mean anything. Afterwards b has HeaderBytes bytes.
func checkPreamble(b []byte) error {
	start := b[:min(len(b), len(magic))]
	if !bytes.Equal(start, []byte(magic)[:len(start)]) {
		return &HeaderError{"magic number", offMagic, fmt.Sprintf("%q", start), fmt.Sprintf("%q", magic), ErrNotSegment}
	}
	if len(b) < HeaderBytes {
		return &HeaderError{"header", 0, fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("%d", HeaderBytes), ErrTruncated}
	}
	if v := binary.LittleEndian.Uint32(b[offVersion:]); v != version {
		return &HeaderError{"version", offVersion, fmt.Sprint(v), fmt.Sprint(version), ErrVersion}
	}
	if mark := binary.NativeEndian.Uint32(b[offByteOrder:]); mark != byteOrderMark {
		return &HeaderError{
			"byte-order mark", offByteOrder,
			fmt.Sprintf("%#08x", mark), fmt.Sprintf("%#08x", byteOrderMark), ErrByteOrder,
		}
	}
	if got, want := checksum(b), binary.LittleEndian.Uint32(b[offChecksum:]); got != want {
		return &HeaderError{
			"checksum", offChecksum,
			fmt.Sprintf("%#08x", got), fmt.Sprintf("%#08x", want), ErrChecksum,
		}
	}
	return headerZero(b)
}

// headerZero checks the header's own size and the reserved bytes.
func headerZero(b []byte) error {
	if n := binary.LittleEndian.Uint32(b[offHeaderBytes:]); n != HeaderBytes {
		return geometry("header size", offHeaderBytes, n, HeaderBytes)
	}
	for _, gap := range [][2]int{
		{offRegionCount + 4, offID},
		{offCreatorPID + 4, offCreatorStart},
		{offChecksum + 4, offRegions},
		{offUnused, HeaderBytes},
	} {
		for i := gap[0]; i < gap[1]; i++ {
			if b[i] != 0 {
				return geometry("reserved byte", i, b[i], 0)
			}
		}
	}
	return nil
}

// checkFields bounds the fields of fixed place, and the pid and time (nanoseconds) that h cannot hold unchecked.
func (h *Header) checkFields(pid uint32, created uint64) error {
	switch {
	case !h.Kind.valid():
		return geometry("kind", offKind, uint32(h.Kind), fmt.Sprintf("%d to %d", Memfd, SysV))
	case h.PageBytes < minPageBytes || h.PageBytes > maxPageBytes || h.PageBytes&(h.PageBytes-1) != 0:
		return geometry("page size", offPageBytes, h.PageBytes,
			fmt.Sprintf("a power of two from %d to %d", minPageBytes, maxPageBytes))
	case h.LineBytes != mem.LineBytes:
		return geometry("line size", offLineBytes, h.LineBytes, mem.LineBytes)
	case h.Size <= HeaderBytes || h.Size > math.MaxInt64 || h.Size%sizeUnit != 0:
		return geometry("size", offSize, h.Size, fmt.Sprintf("a multiple of %d above %d", sizeUnit, HeaderBytes))
	case h.Generation == 0:
		return geometry("generation", offGeneration, 0, "at least 1")
	case pid == 0 || pid > math.MaxInt32:
		return geometry("creator pid", offCreatorPID, pid, fmt.Sprintf("1 to %d", math.MaxInt32))
	case created > math.MaxInt64:
		return geometry("created", offCreated, created, fmt.Sprintf("at most %d", int64(math.MaxInt64)))
	}
	return nil
}

// decodeRegions fills in h.Regions; h.Size must have been checked.
func (h *Header) decodeRegions(b []byte) error {
	le := binary.LittleEndian
	n := le.Uint32(b[offRegionCount:])
	if n < 1 || n > MaxRegions {
		return geometry("region count", offRegionCount, n, fmt.Sprintf("1 to %d", MaxRegions))
	}
	h.Regions = make([]Region, 0, n)
	free := uint64(HeaderBytes) // where the next region may start
	for i := range MaxRegions {
		at := offRegions + i*regionEntryBytes
		r := Region{le.Uint64(b[at:]), le.Uint64(b[at+8:])}
		if i >= int(n) {
			if r != (Region{}) {
				return geometry(fmt.Sprintf("unused region %d", i), at, r, "0")
			}
			continue
		}
		if r.Offset < free || r.Offset > h.Size || r.Offset%uint64(h.LineBytes) != 0 {
			return geometry(fmt.Sprintf("offset of region %d", i), at, r.Offset,
				fmt.Sprintf("a multiple of %d from %d to %d", h.LineBytes, free, h.Size))
		}
		if r.Size < 1 || r.Size > h.Size-r.Offset {
			return geometry(fmt.Sprintf("size of region %d", i), at+8, r.Size, fmt.Sprintf("1 to %d", h.Size-r.Offset))
		}
		free = r.Offset + r.Size
		h.Regions = append(h.Regions, r)
	}
	return nil
}

// writeHeader writes h at the start of b, whose first HeaderBytes bytes are zero.
func writeHeader(b []byte, h Header) {
	le := binary.LittleEndian
	le.PutUint32(b[offVersion:], h.Version)
	le.PutUint32(b[offHeaderBytes:], HeaderBytes)
	binary.NativeEndian.PutUint32(b[offByteOrder:], byteOrderMark)
	le.PutUint32(b[offKind:], uint32(h.Kind))
	le.PutUint32(b[offPageBytes:], h.PageBytes)
	le.PutUint32(b[offLineBytes:], h.LineBytes)
	le.PutUint64(b[offSize:], h.Size)
	le.PutUint32(b[offRegionCount:], uint32(len(h.Regions)))
	copy(b[offID:], h.ID[:])
	le.PutUint64(b[offGeneration:], h.Generation)
	le.PutUint32(b[offCreatorPID:], uint32(h.CreatorPID))
	le.PutUint64(b[offCreatorStart:], h.CreatorStart)
	copy(b[offBootID:], h.BootID[:])
	le.PutUint64(b[offPIDNamespace:], h.PIDNamespace)
	le.PutUint64(b[offCreated:], uint64(h.Created.UnixNano()))
	for i, r := range h.Regions {
		le.PutUint64(b[offRegions+i*regionEntryBytes:], r.Offset)
		le.PutUint64(b[offRegions+i*regionEntryBytes+8:], r.Size)
	}
	copy(b[offLink:], h.Link[:])
	le.PutUint32(b[offChecksum:], checksum(b))
	// sync(header-ready) publishes: everything written above becomes whoever loads the magic number's. Pairs with
	// Segment.Header. (Keeps S4; read in native order, the word's bytes in memory are those of the string everywhere.)
	mem.Uint64At(b, offMagic).Store(binary.NativeEndian.Uint64([]byte(magic)))
}

// checksum covers the header behind the magic number, its own field taken as zero.
func checksum(b []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[offVersion:offChecksum])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return crc32.Update(sum, table, b[offChecksum+4:HeaderBytes])
}

func geometry(field string, offset int, got, want any) error {
	return &HeaderError{field, offset, fmt.Sprint(got), fmt.Sprint(want), ErrGeometry}
}
