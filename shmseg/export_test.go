package shmseg

// What the tests look at beneath the exported surface.
var (
	MapFile     = mapFile
	Unmap       = unmap
	WriteHeader = writeHeader
	Checksum    = checksum
)

const (
	OneWriter    = oneWriter
	MaxNameBytes = maxNameBytes

	MaxSegmentNameBytes = maxSegmentNameBytes
	LifeByte            = lifeByte
	NameByte            = nameByte
	Patience            = patience
)
