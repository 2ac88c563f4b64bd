//go:build !linux

package bench_test

import "errors"

func makeFifo(string) error { return errors.ErrUnsupported }
