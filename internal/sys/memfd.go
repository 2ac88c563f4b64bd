package sys

// Flags of memfd_create, as the kernel numbers them on every architecture.
const (
	MFD_CLOEXEC       = 0x1
	MFD_ALLOW_SEALING = 0x2
	MFD_NOEXEC_SEAL   = 0x8
)

// Seals of a memfd, as the kernel numbers them on every architecture.
const (
	F_SEAL_SEAL         = 0x01 // no more seals
	F_SEAL_SHRINK       = 0x02 // never smaller
	F_SEAL_GROW         = 0x04 // never larger
	F_SEAL_WRITE        = 0x08 // no writing at all
	F_SEAL_FUTURE_WRITE = 0x10 // no writing but through mappings that exist already (Linux 5.1)
	F_SEAL_EXEC         = 0x20 // execute bits stay as they are (Linux 6.3)
)

// Magic numbers of the file systems that memfds live on.
const (
	TMPFS_MAGIC     = 0x01021994
	HUGETLBFS_MAGIC = 0x958458f6
)
