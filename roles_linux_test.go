package shmwire_test

import (
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
