package shmseg

import "fmt"

// Kind tells how a segment is held by the kernel. Its numbers are part of the header's layout.
type Kind uint32

const (
	// Memfd is a sealed memory file without a name; see [CreateMemfd].
	Memfd Kind = 1 + iota
	// Named is a file in a directory of memory files such as /dev/shm.
	Named
	// SysV is a System V shared memory segment.
	SysV
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Memfd:
		return "memfd"
	case Named:
		return "named"
	case SysV:
		return "sysv"
	}
	return fmt.Sprintf("Kind(%d)", uint32(k))
}

func (k Kind) valid() bool { return k >= Memfd && k <= SysV }
