//go:build !linux

package main

import "github.com/shmwire/shmwire/internal/shmtest"

func systemRoles() map[string]shmtest.Role { return nil }

func become(string) error { return nil }
