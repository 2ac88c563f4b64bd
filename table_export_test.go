package shmwire

import "github.com/shmwire/shmwire/internal/sys"

// WithTable returns a copy of cfg with these system calls.
func WithTable(cfg Config, t *sys.Table) *Config {
	cfg.sys = t
	return &cfg
}
