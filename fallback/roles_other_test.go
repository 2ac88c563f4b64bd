//go:build !linux

package fallback_test

import "github.com/shmwire/shmwire/internal/shmtest"

func roles() map[string]shmtest.Role { return nil }
