package sys

// Cred names the process at the other end of a socket, as the kernel vouches for it. Known is false where it does
// not.
type Cred struct {
	PID, UID, GID int
	Known         bool
}

// Received is what one receive call brought.
type Received struct {
	N         int   // bytes; 0 at the end of the stream
	FDs       []int // descriptors attached to them, the caller's to close
	Full      bool  // FDs filled the room there was: the sender may have attached more
	Truncated bool  // control data was cut off: more descriptors than room, or than this process may open
	Cred      Cred
}
