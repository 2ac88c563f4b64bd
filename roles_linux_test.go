package shmwire_test

import (
	"os"
	"syscall"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
)

// wished is the transport of connections that wish for shared memory.
const wished = shmwire.SharedMemory

// systemRoles are the roles that this system has beside the common ones.
func systemRoles() map[string]shmtest.Role {
	return map[string]shmtest.Role{
		"stranger": strangerRole, "named producer": namedProducerRole, "scribble": scribbleRole,
		"ring producer": ringProducerRole,
	}
}

// credentials is the control message that says who writes. A listener's system attaches it by itself, but only to what
// is written after the connection was accepted.
func credentials() []byte {
	return syscall.UnixCredentials(&syscall.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())})
}
