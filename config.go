package shmwire

import (
	"fmt"
	"math/bits"
	"os"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/ring"
)

// Config tunes a connection or a listener. A nil Config and zero fields mean the defaults. Each side has its own; what
// both must agree on is settled at the handshake.
type Config struct {
	// RingBytes is the size of the slot area of each ring, one each way: a power of two from 4 KiB to 1 GiB. The larger
	// wish of the two sides is taken. Half of it is the longest message. Default 256 KiB.
	RingBytes int

	// SlotBytes is the unit in which a ring's space is given out: a power of two from 16 to 4096. Small messages waste
	// what they leave of a slot, each slot costs 8 bytes more. The larger wish of the two sides is taken. Default 64.
	SlotBytes int

	// MaxRingBytes is the largest ring that the peer may ask for, at least RingBytes. Default 16 MiB, or RingBytes if
	// that is more.
	MaxRingBytes int

	// MaxBytes bounds the shared memory of all connections of a listener together, the peers' segments included; the
	// connections beyond it run over the socket. Default 1 GiB.
	MaxBytes int64

	// MaxBytesPerUser is the same for the connections of one user. Default MaxBytes.
	MaxBytesPerUser int64

	// MaxPending is how many connections of a listener may be in their handshake or waiting for Accept; more are
	// refused. Default 4096.
	MaxPending int

	// HandshakeTimeout covers a handshake from its first byte to its last. Default 5 s.
	HandshakeTimeout time.Duration

	// Wait says how this side waits. Default WaitAdaptive.
	Wait Wait

	// Authorize decides who is let in, by a listener and by a dialler alike; an error refuses the peer. It may be called
	// from several goroutines. Nil lets in processes of our own effective uid. Where the operating system does not name
	// the peer, nil lets in whoever the mode of the socket file lets through, 0600.
	Authorize func(Peer) error

	// OnReject is told of every connection that a listener refused, with a *HandshakeError; Peer is what is known of
	// who it was. It may be called from several goroutines, should not block, and must not close the listener, which waits
	// for it. Nil: nobody is told.
	OnReject func(Peer, error)

	// SocketOnly keeps this side from sharing memory: its connections run over the socket.
	SocketOnly bool

	// Prefault gives the rings that this side writes all their memory at the handshake (about 1 ms per MiB) instead of
	// during the first lap.
	Prefault bool

	sys *sys.Table // system calls to be replaced, by tests
}

// Wait is how one side of a connection waits for data and for space.
type Wait int

// The ways of waiting.
const (
	// WaitAdaptive parks in the runtime's poller, and spins for up to 20 µs before if that has paid lately. It costs no
	// thread, and nothing while idle.
	WaitAdaptive Wait = iota
	// WaitPoller parks in the runtime's poller at once.
	WaitPoller
	// WaitFutex parks in a futex for data: it wakes earlier than the poller but holds an operating system thread while it
	// waits. For a few dedicated receivers.
	WaitFutex
	// WaitSpin never parks, also when idle: it takes a processor for as long as a call waits. Both processes need one to
	// themselves, and two ends in one process starve each other.
	WaitSpin
)

// String returns "adaptive", "poller", "futex" or "spin".
func (w Wait) String() string {
	names := [...]string{"adaptive", "poller", "futex", "spin"}
	if w < 0 || int(w) >= len(names) {
		return fmt.Sprintf("Wait(%d)", int(w))
	}
	return names[w]
}

const (
	minRingBytes = 4 << 10
	maxRingBytes = 1 << 30
)

// withDefaults returns a validated copy of cfg, or an error that names the field.
func (cfg *Config) withDefaults() (*Config, error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	def(&c.RingBytes, 256<<10)
	def(&c.SlotBytes, 64)
	def(&c.MaxRingBytes, max(16<<20, c.RingBytes))
	def(&c.MaxBytes, 1<<30)
	def(&c.MaxBytesPerUser, c.MaxBytes)
	def(&c.MaxPending, 4096)
	def(&c.HandshakeTimeout, fallback.DefaultTimeout)
	return &c, c.validate()
}

func def[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (cfg *Config) validate() error {
	switch {
	case bits.OnesCount(uint(cfg.RingBytes)) != 1 || cfg.RingBytes < minRingBytes || cfg.RingBytes > maxRingBytes:
		return configError("RingBytes", cfg.RingBytes, "a power of two, 4096 to 1<<30")
	case bits.OnesCount(uint(cfg.SlotBytes)) != 1 || cfg.SlotBytes < 16 || cfg.SlotBytes > 4096:
		return configError("SlotBytes", cfg.SlotBytes, "a power of two, 16 to 4096")
	case cfg.RingBytes/cfg.SlotBytes < 2:
		return configError("SlotBytes", cfg.SlotBytes, "at most half of RingBytes")
	case cfg.MaxRingBytes < cfg.RingBytes || cfg.MaxRingBytes > maxRingBytes:
		return configError("MaxRingBytes", cfg.MaxRingBytes, "RingBytes to 1<<30")
	case cfg.MaxBytes < 0:
		return configError("MaxBytes", cfg.MaxBytes, "0 or more")
	case cfg.MaxBytesPerUser < 0:
		return configError("MaxBytesPerUser", cfg.MaxBytesPerUser, "0 or more")
	case cfg.MaxPending < 0:
		return configError("MaxPending", cfg.MaxPending, "0 or more")
	case cfg.HandshakeTimeout < 0:
		return configError("HandshakeTimeout", cfg.HandshakeTimeout, "0 or more")
	case cfg.Wait < WaitAdaptive || cfg.Wait > WaitSpin:
		return configError("Wait", int(cfg.Wait), "WaitAdaptive, WaitPoller, WaitFutex or WaitSpin")
	}
	return nil
}

func configError(field string, got any, want string) error {
	return fmt.Errorf("shmwire: config: %s is %v, want %s", field, got, want)
}

func (cfg *Config) hello() fallback.Hello {
	wake := fallback.WakeEventfd
	switch cfg.Wait {
	case WaitFutex:
		wake = fallback.WakeFutex
	case WaitSpin:
		wake = fallback.WakeNever
	}
	return fallback.Hello{
		SharesMemory: !cfg.SocketOnly, Wake: wake,
		Slots: uint64(cfg.RingBytes / cfg.SlotBytes), SlotBytes: uint32(cfg.SlotBytes),
		MaxRingBytes: uint64(cfg.MaxRingBytes),
	}
}

// authorize asks Authorize, or lets in our own user.
func (cfg *Config) authorize(c fallback.Cred) error {
	if cfg.Authorize != nil {
		return cfg.Authorize(peerOf(c))
	}
	if fallback.SameUser(c) || !c.Known && !sys.CanPassFDs {
		return nil
	}
	return fmt.Errorf("not uid %d", os.Geteuid())
}

// geometryOf is the rings' geometry that both sides agreed on.
func geometryOf(a fallback.Agreement) ring.Geometry {
	return ring.Geometry{Slots: int(a.Slots), SlotBytes: int(a.SlotBytes)}
}
