//go:build !linux

package fallback_test

import (
	"errors"
	"testing"
)

func makePipe(*testing.T, string) error { return errors.ErrUnsupported }
