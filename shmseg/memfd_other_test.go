//go:build !linux

package shmseg_test

import (
	"errors"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
)

func roles() map[string]shmtest.Role { return nil }

func TestNoMemfdsHere(t *testing.T) {
	_, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: []int{1}})
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = shmseg.AttachMemfd(0, shmseg.AttachOptions{Regions: []int{1}})
	assert.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestNoNamedSegmentsHere(t *testing.T) {
	_, err := shmseg.CreateNamed("x", shmseg.NamedOptions{Regions: []int{1}})
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = shmseg.OpenNamed("x", shmseg.OpenOptions{})
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorIs(t, shmseg.RemoveNamed("x", shmseg.RemoveOptions{}), errors.ErrUnsupported)
}
