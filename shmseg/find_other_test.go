//go:build !linux

package shmseg_test

import (
	"context"
	"errors"
	"testing"

	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
)

func TestNothingToFindHere(t *testing.T) {
	_, err := shmseg.Find(context.Background())
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = shmseg.PeekFile("anything")
	assert.ErrorIs(t, err, errors.ErrUnsupported)
}
