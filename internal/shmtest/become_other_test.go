//go:build !linux

package shmtest_test

import "github.com/shmwire/shmwire/internal/shmtest"

func systemRoles() map[string]shmtest.Role { return nil }
