package fallback

import (
	"fmt"
	"math/bits"
)

// Version is the protocol version that this package speaks.
const Version = 1

// Agreement is what two hellos settle, the same on both sides.
type Agreement struct {
	Version   int    // of the protocol
	Slots     uint64 // of both rings: as many bytes as the larger wish, in slots as large as the larger
	SlotBytes uint32
	OwnWake   Wake // how the peer wakes us
	PeerWake  Wake // how we wake the peer
	Trusted   bool // both processes run as the same user
	// Link names the connection: random, and the same on both sides.
	Link [16]byte
}

// agree settles the connection from both hellos. Every number of the peer's is bounded here.
func agree(own, peer Hello, trusted bool) (Agreement, error) {
	v := min(own.MaxVersion, peer.MaxVersion)
	if v < own.MinVersion || v < peer.MinVersion {
		return Agreement{}, badHello(versions(peer.MinVersion, peer.MaxVersion), versions(own.MinVersion, own.MaxVersion))
	}
	if err := checkGeometry(peer); err != nil {
		return Agreement{}, err
	}
	a := Agreement{
		Version: int(v), Trusted: trusted,
		SlotBytes: max(own.SlotBytes, peer.SlotBytes),
		OwnWake:   wakeOf(own.Wake, trusted), PeerWake: wakeOf(peer.Wake, trusted),
	}
	for i := range a.Link {
		a.Link[i] = own.Nonce[i] ^ peer.Nonce[i]
	}
	if own.BigEndian != peer.BigEndian {
		return Agreement{}, badHello("another byte order", "ours")
	}
	limit := min(own.MaxRingBytes, peer.MaxRingBytes)
	ownHi, ownBytes := bits.Mul64(own.Slots, uint64(own.SlotBytes))
	peerHi, peerBytes := bits.Mul64(peer.Slots, uint64(peer.SlotBytes)) // at most 2^49
	ringBytes := max(ownBytes, peerBytes)
	if ownHi|peerHi != 0 || ringBytes > limit {
		return Agreement{}, badHello(fmt.Sprintf("rings of %d bytes", ringBytes), fmt.Sprintf("at most %d bytes", limit))
	}
	a.Slots = ringBytes / uint64(a.SlotBytes) // at least 2: each wish has that many, and the larger slot comes from one
	return a, nil
}

func checkGeometry(h Hello) error {
	if bits.OnesCount64(h.Slots) != 1 || h.Slots < 2 || h.Slots > 1<<37 {
		return badHello(fmt.Sprintf("%d slots", h.Slots), "a power of two, 2 to 2^37")
	}
	if bits.OnesCount32(h.SlotBytes) != 1 || h.SlotBytes < 16 || h.SlotBytes > 4096 {
		return badHello(fmt.Sprintf("slots of %d bytes", h.SlotBytes), "a power of two, 16 to 4096")
	}
	return nil
}

// wakeOf is how a process that wishes w is woken: descriptors and futexes only between processes of one user, because
// a stranger can make a write to a shared eventfd block, and can pile sleepers on a futex word.
func wakeOf(w Wake, trusted bool) Wake {
	if !trusted && w != WakeNever {
		return WakeSocket
	}
	return w
}
