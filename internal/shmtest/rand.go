package shmtest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// seedEnv names the environment variable that repeats a random test with the seed it printed.
const seedEnv = "SHMTEST_SEED"

// Rand returns a random source for one goroutine. Its seed is logged, so a failing test prints it, and is taken from
// the environment variable SHMTEST_SEED if that is set.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("%s=%d", seedEnv, seed)
	return rand.New(rand.NewPCG(seed, 0))
}
