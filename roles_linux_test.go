package shmwire_test

import "github.com/shmwire/shmwire/internal/shmtest"

// systemRoles are the roles that this system has beside the common ones.
func systemRoles() map[string]shmtest.Role {
	return map[string]shmtest.Role{
		"stranger": strangerRole, "named producer": namedProducerRole, "scribble": scribbleRole,
	}
}
