//go:build !linux

package shmseg

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

func find(context.Context) (Found, error) {
	return Found{}, fmt.Errorf("processes on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
