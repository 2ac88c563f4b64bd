package fallback

import (
	"math"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func plainHello() Hello {
	return Hello{
		MinVersion: 1, MaxVersion: 1, Wake: WakeEventfd, SharesMemory: true,
		Slots: 64, SlotBytes: 64, MaxRingBytes: 1 << 20,
	}
}

func TestAgree(t *testing.T) {
	plain := Agreement{
		Version: 1, Slots: 64, SlotBytes: 64, OwnWake: WakeEventfd, PeerWake: WakeEventfd, Trusted: true,
	}
	tests := []struct {
		name      string
		own, peer func(h *Hello)
		want      func(a *Agreement)
	}{
		{name: "the same"},
		{
			name: "newest common version",
			own:  func(h *Hello) { h.MinVersion, h.MaxVersion = 2, 5 },
			peer: func(h *Hello) { h.MinVersion, h.MaxVersion = 3, 9 },
			want: func(a *Agreement) { a.Version = 5 },
		},
		{
			name: "one common version",
			own:  func(h *Hello) { h.MinVersion, h.MaxVersion = 1, 3 },
			peer: func(h *Hello) { h.MinVersion, h.MaxVersion = 3, math.MaxUint16 },
			want: func(a *Agreement) { a.Version = 3 },
		},
		{
			name: "the bytes of one, the slots of the other",
			own:  func(h *Hello) { h.Slots, h.SlotBytes = 1024, 16 },
			peer: func(h *Hello) { h.Slots, h.SlotBytes = 2, 512 },
			want: func(a *Agreement) { a.Slots, a.SlotBytes = 32, 512 },
		},
		{
			name: "the bytes and the slots of one",
			own:  func(h *Hello) { h.Slots, h.SlotBytes = 4096, 16 },
			peer: func(h *Hello) { h.Slots, h.SlotBytes = 128, 1024 },
			want: func(a *Agreement) { a.Slots, a.SlotBytes = 128, 1024 },
		},
		{
			name: "as many bytes in other slots",
			peer: func(h *Hello) { h.Slots, h.SlotBytes = 16, 256 },
			want: func(a *Agreement) { a.Slots, a.SlotBytes = 16, 256 },
		},
		{
			name: "two slots left",
			own:  func(h *Hello) { h.Slots, h.SlotBytes = 2, 4096 },
			peer: func(h *Hello) { h.Slots, h.SlotBytes = 512, 16 },
			want: func(a *Agreement) { a.Slots, a.SlotBytes = 2, 4096 },
		},
		{
			name: "each wish the limit, and so both together",
			own:  func(h *Hello) { h.Slots, h.SlotBytes = 65536, 16 },
			peer: func(h *Hello) { h.Slots, h.SlotBytes = 256, 4096 },
			want: func(a *Agreement) { a.Slots, a.SlotBytes = 256, 4096 },
		},
		{
			name: "smallest geometry",
			own:  func(h *Hello) { h.Slots, h.SlotBytes = 2, 16 },
			peer: func(h *Hello) { h.Slots, h.SlotBytes, h.MaxRingBytes = 2, 16, 32 },
			want: func(a *Agreement) { a.Slots, a.SlotBytes = 2, 16 },
		},
		{
			name: "exactly the limit",
			peer: func(h *Hello) { h.MaxRingBytes = 64 * 64 },
		},
		{
			name: "the largest geometry there is",
			own:  func(h *Hello) { h.MaxRingBytes = math.MaxUint64 },
			peer: func(h *Hello) { h.Slots, h.SlotBytes, h.MaxRingBytes = 1<<37, 4096, math.MaxUint64 },
			want: func(a *Agreement) { a.Slots, a.SlotBytes = 1<<37, 4096 },
		},
		{
			name: "a name of the connection's own",
			own:  func(h *Hello) { h.Nonce = [16]byte{0: 0xf0, 15: 1} },
			peer: func(h *Hello) { h.Nonce = [16]byte{0: 0x3c, 14: 7} },
			want: func(a *Agreement) { a.Link = [16]byte{0: 0xcc, 14: 7, 15: 1} },
		},
		{
			name: "each its own wake",
			own:  func(h *Hello) { h.Wake = WakeFutex },
			peer: func(h *Hello) { h.Wake = WakeNever },
			want: func(a *Agreement) { a.OwnWake, a.PeerWake = WakeFutex, WakeNever },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			own, peer, want := plainHello(), plainHello(), plain
			edit(tt.own, &own)
			edit(tt.peer, &peer)
			edit(tt.want, &want)
			a, err := agree(own, peer, true)
			require.NoError(t, err)
			assert.Equal(t, want, a)

			// The other side settles the same, with the wakes the other way round.
			b, err := agree(peer, own, true)
			require.NoError(t, err)
			want.OwnWake, want.PeerWake = want.PeerWake, want.OwnWake
			assert.Equal(t, want, b)
		})
	}
}

func edit[T any](f func(*T), v *T) {
	if f != nil {
		f(v)
	}
}

func TestDisagree(t *testing.T) {
	const slots, slotBytes = "a power of two, 2 to 2^37", "a power of two, 16 to 4096"
	tests := []struct {
		name      string
		own, peer func(h *Hello)
		got, want string
	}{
		{"newer peer", nil, func(h *Hello) { h.MinVersion, h.MaxVersion = 2, 3 }, "versions 2 to 3", "versions 1 to 1"},
		{
			"older peer", func(h *Hello) { h.MinVersion, h.MaxVersion = 4, 9 },
			func(h *Hello) { h.MinVersion, h.MaxVersion = 1, 3 }, "versions 1 to 3", "versions 4 to 9",
		},
		{"no slots", nil, func(h *Hello) { h.Slots = 0 }, "0 slots", slots},
		{"one slot", nil, func(h *Hello) { h.Slots = 1 }, "1 slots", slots},
		{"slots no power of two", nil, func(h *Hello) { h.Slots = 96 }, "96 slots", slots},
		{"too many slots", nil, func(h *Hello) { h.Slots = 1 << 38 }, "274877906944 slots", slots},
		{"all slots", nil, func(h *Hello) { h.Slots = math.MaxUint64 }, "18446744073709551615 slots", slots},
		{"no slot bytes", nil, func(h *Hello) { h.SlotBytes = 0 }, "slots of 0 bytes", slotBytes},
		{"small slots", nil, func(h *Hello) { h.SlotBytes = 8 }, "slots of 8 bytes", slotBytes},
		{"slot bytes no power of two", nil, func(h *Hello) { h.SlotBytes = 48 }, "slots of 48 bytes", slotBytes},
		{"large slots", nil, func(h *Hello) { h.SlotBytes = 8192 }, "slots of 8192 bytes", slotBytes},
		{"byte order", nil, func(h *Hello) { h.BigEndian = true }, "another byte order", "ours"},
		{"byte order of ours", func(h *Hello) { h.BigEndian = true }, nil, "another byte order", "ours"},
		{
			"beyond the peer's limit", nil, func(h *Hello) { h.MaxRingBytes = 64*64 - 1 },
			"rings of 4096 bytes", "at most 4095 bytes",
		},
		{
			"beyond our limit", nil, func(h *Hello) { h.Slots, h.MaxRingBytes = 1<<37, math.MaxUint64 },
			"rings of 8796093022208 bytes", "at most 1048576 bytes",
		},
		{
			"our wish beyond the peer's limit", func(h *Hello) { h.Slots, h.SlotBytes = 128, 32 },
			func(h *Hello) { h.Slots, h.SlotBytes, h.MaxRingBytes = 2, 1024, 2048 }, "rings of 4096 bytes", "at most 2048 bytes",
		},
		{
			"the peer's wish beyond its own limit", nil,
			func(h *Hello) { h.Slots, h.MaxRingBytes = 128, 64*64 }, "rings of 8192 bytes", "at most 4096 bytes",
		},
		{"peer with no limit at all", nil, func(h *Hello) { h.MaxRingBytes = 0 }, "rings of 4096 bytes", "at most 0 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			own, peer := plainHello(), plainHello()
			edit(tt.own, &own)
			edit(tt.peer, &peer)
			a, err := agree(own, peer, true)
			assert.Zero(t, a)
			assertHandshakeError(t, err, "hello", tt.got, tt.want)
		})
	}
}

// TestAgreeOverflow gives agree a product beyond 64 bits, which no peer can ask for alone.
func TestAgreeOverflow(t *testing.T) {
	own, peer := plainHello(), plainHello()
	own.MaxRingBytes, peer.MaxRingBytes = math.MaxUint64, math.MaxUint64
	own.Slots, own.SlotBytes = 1<<62, 64
	a, err := agree(own, peer, true)
	assert.Zero(t, a)
	assert.ErrorIs(t, err, ErrHandshake) // how large the rings were no number here can say
}

// TestAgreeOnEveryGeometry: whatever two processes wish, they settle the same rings, and each gets what it wished for:
// as many bytes, and slots as large.
func TestAgreeOnEveryGeometry(t *testing.T) {
	var wishes []Hello
	for slots := uint64(2); slots <= 1<<37; slots *= 2 {
		for size := uint32(16); size <= 4096; size *= 2 {
			h := plainHello()
			h.Slots, h.SlotBytes, h.MaxRingBytes = slots, size, math.MaxUint64
			wishes = append(wishes, h)
		}
	}
	require.Len(t, wishes, 37*9)
	bytes := func(h Hello) uint64 { return h.Slots * uint64(h.SlotBytes) }
	for _, own := range wishes {
		for _, peer := range wishes {
			a, err := agree(own, peer, true)
			if err != nil {
				t.Fatalf("%d slots of %d and %d of %d: %v", own.Slots, own.SlotBytes, peer.Slots, peer.SlotBytes, err)
			}
			ok := a.SlotBytes == max(own.SlotBytes, peer.SlotBytes) &&
				a.Slots*uint64(a.SlotBytes) == max(bytes(own), bytes(peer)) &&
				a.Slots >= 2 && a.Slots <= 1<<37 && bits.OnesCount64(a.Slots) == 1
			if !ok {
				t.Fatalf("%d slots of %d and %d of %d: got %d of %d",
					own.Slots, own.SlotBytes, peer.Slots, peer.SlotBytes, a.Slots, a.SlotBytes)
			}
		}
	}
}

func TestWakeAndTrust(t *testing.T) {
	for w, stranger := range map[Wake]Wake{
		WakeEventfd: WakeSocket, WakeFutex: WakeSocket, WakeSocket: WakeSocket, WakeNever: WakeNever,
	} {
		t.Run(w.String(), func(t *testing.T) {
			own, peer := plainHello(), plainHello()
			own.Wake = w
			trusted, err := agree(own, peer, true)
			require.NoError(t, err)
			assert.Equal(t, w, trusted.OwnWake)
			assert.True(t, trusted.Trusted)

			a, err := agree(own, peer, false)
			require.NoError(t, err)
			assert.Equal(t, stranger, a.OwnWake)
			assert.Equal(t, WakeSocket, a.PeerWake, "a stranger got our eventfd")
			assert.False(t, a.Trusted)
		})
	}
}
