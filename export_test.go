package shmwire

import (
	"time"

	"github.com/shmwire/shmwire/internal/sys"
)

// faults are the system calls that can be made to fail on one side.
var faults = map[string]sys.Table{
	"none":                {},
	"memfd_create-ENOSYS": {MemfdCreate: func(string, int) (int, error) { return -1, sys.ENOSYS }},
	"memfd_create-EMFILE": {MemfdCreate: func(string, int) (int, error) { return -1, sys.EMFILE }},
	"seals-EINVAL":        {AddSeals: func(int, int) error { return sys.EINVAL }},
	"seals-EPERM":         {AddSeals: func(int, int) error { return sys.EPERM }},
	"eventfd-ENOSYS":      {Eventfd: func() (int, error) { return -1, sys.ENOSYS }},
}

// FaultNames returns the names that WithFault knows.
func FaultNames() (names []string) {
	for name := range faults {
		names = append(names, name)
	}
	return names
}

// WithFault returns a copy of cfg under which the named system call fails.
func WithFault(cfg Config, name string) *Config {
	t, ok := faults[name]
	if !ok {
		panic("no fault " + name)
	}
	cfg.sys = &t
	cfg.HandshakeTimeout = 2 * time.Second // of which a lack of descriptors is waited out for the most part
	return &cfg
}
