// Package fallback is the Unix socket under a connection: rendezvous, handshake, control channel, and transport where
// shared memory cannot be had.
//
// The parts are used in this order and know nothing of rings or segments:
//
//   - [Listen] binds the socket: one listener a path, a dead one's file replaced, nobody but its owner let in.
//   - [Handshake] lets two processes agree whether they share memory, and passes the descriptors if they do.
//   - [Control] is what the socket is afterwards if they do: doorbells, end frames, and the proof of life.
//   - [Link] is what the socket is afterwards if they do not: the transport of whole messages.
//
// # Handshake
//
// Every message starts with an 8-byte header; all numbers are little-endian.
//
//	0        4      5      6        8
//	| "shmw" | type | 0    | length | payload, at most 1,024 bytes
//
//	hello   1  0 lowest version u16 · 2 highest version u16 · 4 wake u8 · 5 byte order u8 (1 little, 2 big) · 6 0 u16
//	           8 features u64 (bit 0: can share memory) · 16 slots u64 · 24 slot bytes u32 · 28 0 u32
//	           32 largest ring bytes u64 · 40 nonce, 16 bytes · (56 bytes; longer is read as this)
//	offer   2  0 status u8 (1: descriptors are attached, 0: none) · 1 0, 7 bytes · 8 the receiver's nonce, 16 bytes
//	           24 reason, text
//	accept  3  0 answer u8 (1 yes, 0 no) · 1 reason, text
//	ready   4  (empty)
//
// Both sides send hello, offer, accept and ready; neither sends one before it has the other's message before it. The
// answering side waits for the hello before it sends its own, so that it can check who is there first; two sides of
// an inherited socket both begin. Memory is shared if and only if both accepts are yes; after the second accept both
// sides send ready, and until a side has received the other's, it sends nothing else. One deadline covers all of it.
//
// Who is there is what SCM_CREDENTIALS on the hello says, not SO_PEERCRED, which over an inherited socket names
// whoever made it.
//
// # Control channel
//
// A doorbell is the byte 0x00. Anything else is a frame: type u8 (never 0), length u32, payload. The one frame that
// exists in shared-memory mode is [FrameEnd], sent after a closed word was stored. End-of-file, ECONNRESET and EPIPE
// are one event, "gone"; only the closed words tell an orderly end from a crash.
//
// # Link
//
// The same framing, without doorbells: [FrameMessage] carries a message, [FrameCloseWrite] says that none follows and
// [FrameEnd] that this side has closed. An end-of-file before one of these two is a crash. Behind a message stands one
// byte more than its length says: 1, or 0 if the sender was stopped in the middle of it, and the receiver drops it.
package fallback
