package sem_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func roles() map[string]shmtest.Role {
	return map[string]shmtest.Role{"player": player}
}

// TestFutexBetweenProcesses plays between two processes. Each writes a sealed memfd of its own only, and sleeps on the
// other's, which it can map read-only alone.
func TestFutexBetweenProcesses(t *testing.T) {
	rounds := pingPongRounds()
	file, own := sealedMemfd(t)
	child := shmtest.ChildFiles(t, []*os.File{file}, "player", strconv.FormatUint(rounds, 10))
	peerFile, err := os.Open(child.Line())
	require.NoError(t, err)
	defer peerFile.Close()
	side, err := futexSide(own, readOnly(t, peerFile))
	require.NoError(t, err)
	closeAtEnd(t, side.waiter)
	rng := shmtest.Rand(t)
	step, ended := make(chan struct{}, rounds/stepRounds), make(chan error, 1)
	go func() {
		ended <- side.play(rounds, true, rng, func() { step <- struct{}{} })
	}()
	awaitRounds(t, rounds, step, ended, 1)
	t.Logf("%d rounds: parent rang %d and waited %d times, %s", rounds, side.rings, side.waits, child.Line())
	assert.Zero(t, child.Wait())
}

// TestFutexInterruptOnReadOnlyMemory shows that an interrupter's wake-up of a word in the peer's read-only memory
// reaches the waiter although other processes sleep on the same word.
func TestFutexInterruptOnReadOnlyMemory(t *testing.T) {
	file, own := sealedMemfd(t)
	peer := readOnly(t, file)
	var waits []<-chan error
	var waiters []*sem.FutexWaiter
	for range 3 {
		w, err := sem.NewFutexWaiter(peer, doorbellAt)
		require.NoError(t, err)
		w.SleepForever()
		closeAtEnd(t, w)
		waiters = append(waiters, w)
		waits = append(waits, startWait(w, w.Load(), -1))
	}
	shmtest.StillBlocked(t, waits[2], "Wait without a ring")
	waiters[2].Interrupt()
	require.NoError(t, shmtest.Soon(t, waits[2], "interrupted Wait"))
	bell, err := sem.NewFutexDoorbell(own, doorbellAt, true)
	require.NoError(t, err)
	bell.Ring()
	require.NoError(t, shmtest.Soon(t, waits[0], "Wait during which it rings"))
	require.NoError(t, shmtest.Soon(t, waits[1], "Wait during which it rings"))
}

func futexSide(own, peer []byte) (*side, error) {
	bell, err := sem.NewFutexDoorbell(own, doorbellAt, false)
	if err != nil {
		return nil, err
	}
	w, err := sem.NewFutexWaiter(peer, doorbellAt)
	if err != nil {
		return nil, err
	}
	w.SleepForever()
	return attach(own, peer, bell, w), nil
}

// player is a child that answers rounds of ping-pong over the memfd that it inherits and one of its own.
func player(args []string) int {
	if err := answer(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "player:", err)
		return 1
	}
	return 0
}

func answer(count string) error {
	rounds, err := strconv.ParseUint(count, 10, 64)
	if err != nil {
		return err
	}
	peerFile := os.NewFile(3, "peer")
	if _, err := mmap.MapRegion(peerFile, regionBytes, mmap.RDWR, 0, 0); !errors.Is(err, sys.EPERM) {
		return fmt.Errorf("mapping the peer's memory writable: got %v, want %v", err, sys.EPERM)
	}
	peer, err := mmap.MapRegion(peerFile, regionBytes, mmap.RDONLY, 0, 0)
	if err != nil {
		return err
	}
	file, own, err := makeMemfd()
	if err != nil {
		return err
	}
	side, err := futexSide(own, peer)
	if err != nil {
		return err
	}
	fmt.Printf("/proc/%d/fd/%d\n", os.Getpid(), file.Fd())
	if err := side.play(rounds, false, rand.New(rand.NewPCG(rounds, 0)), func() {}); err != nil {
		return err
	}
	fmt.Printf("child rang %d and waited %d times\n", side.rings, side.waits)
	return nil
}
