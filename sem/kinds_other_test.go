//go:build !linux

package sem_test

import (
	"errors"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
)

func osKinds() []kind { return nil }

func TestUnsupported(t *testing.T) {
	region := mem.AlignedBytes(mem.LineBytes)
	_, futexWaiter := sem.NewFutexWaiter(region, 0)
	_, futexDoorbell := sem.NewFutexDoorbell(region, 0, false)
	_, eventfd := sem.NewEventfd(nil)
	_, eventfdDoorbell := sem.NewEventfdDoorbell(0)
	for name, err := range map[string]error{
		"futex waiter": futexWaiter, "futex doorbell": futexDoorbell,
		"eventfd": eventfd, "eventfd doorbell": eventfdDoorbell,
	} {
		assert.True(t, errors.Is(err, errors.ErrUnsupported), "%s: %v", name, err)
	}
}
