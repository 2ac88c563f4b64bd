package fallback_test

import (
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
)

func TestMain(m *testing.M) { shmtest.Main(m, roles()) }
