//go:build !linux

package sem_test

import "github.com/shmwire/shmwire/internal/shmtest"

func roles() map[string]shmtest.Role { return nil }
