//go:build !linux

package shmwire_test

import (
	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
)

// wished is the transport of connections that wish for shared memory.
const wished = shmwire.UnixSocket

// systemRoles are the roles that this system has beside the common ones.
func systemRoles() map[string]shmtest.Role { return nil }

// credentials is the control message that says who writes, where there is one.
func credentials() []byte { return nil }
