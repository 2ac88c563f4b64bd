//go:build !linux

package bench_test

import "runtime"

func yieldProcessor() { runtime.Gosched() }
