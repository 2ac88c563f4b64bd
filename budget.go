package shmwire

import (
	"fmt"
	"sync"
)

// budget bounds the shared memory of a listener's connections, all together and for each user. A nil budget bounds
// nothing.
type budget struct {
	max, maxPerUser int64

	mu   sync.Mutex // protects the following
	used int64
	by   map[int]int64
}

func newBudget(cfg *Config) *budget {
	return &budget{max: cfg.MaxBytes, maxPerUser: cfg.MaxBytesPerUser, by: make(map[int]int64)}
}

// reserve books n bytes for uid, or says which bound they would exceed.
func (b *budget) reserve(uid int, n int64) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.max {
		return fmt.Errorf("MaxBytes: %d bytes are in use and %d more exceed %d", b.used, n, b.max)
	}
	if b.by[uid]+n > b.maxPerUser {
		return fmt.Errorf("MaxBytesPerUser: %d bytes are in use by uid %d and %d more exceed %d", b.by[uid], uid, n, b.maxPerUser)
	}
	b.used += n
	b.by[uid] += n
	return nil
}

func (b *budget) giveBack(uid int, n int64) {
	if b == nil || n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.by[uid] -= n; b.by[uid] == 0 {
		delete(b.by, uid)
	}
}
