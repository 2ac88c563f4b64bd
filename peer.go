package shmwire

import "github.com/shmwire/shmwire/fallback"

// Peer names the process at the other end of a connection, as the kernel vouched for it when the connection was made.
// Where it did not, all three are -1.
type Peer struct {
	PID, UID, GID int // process, effective user and group
}

func peerOf(c fallback.Cred) Peer {
	if !c.Known {
		return Peer{-1, -1, -1}
	}
	return Peer{PID: c.PID, UID: c.UID, GID: c.GID}
}

// Transport is what carries the messages of a connection.
type Transport int

// The transports.
const (
	// SharedMemory is two rings in memory that both processes have mapped.
	SharedMemory Transport = iota
	// UnixSocket is the socket that the connection was made on.
	UnixSocket
)

// String returns "shm" or "unix".
func (t Transport) String() string {
	if t == SharedMemory {
		return "shm"
	}
	return "unix"
}
