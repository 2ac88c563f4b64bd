// Package shmwire carries messages and byte streams between processes on one Linux host through shared memory, in pure
// Go.
//
// # Connections
//
// A server calls [Listen] with the path of a Unix socket, clients call [Dial]. Both get a [*Conn], which is a [net.Conn]
// and a channel of messages in one:
//
//	conn, err := shmwire.Dial(ctx, "/run/app/app.sock", nil)
//	...
//	err = conn.Send(ctx, request)          // one message; copied
//	buf, err = conn.Receive(ctx, buf)      // one message; appended to buf[:0]
//	client := rpc.NewClient(conn)          // or anything that wants a net.Conn
//
// [NewConn] and [Inherit] make a connection over a socket that two processes have already, such as the socketpair
// between a parent and its child; [Pair] makes both ends in one process.
//
// Messages travel through two rings, one each way, in memory that both processes have mapped; the socket remains as
// control channel and proof of life. Where memory cannot be shared (another operating system, an old kernel, a policy)
// the same Conn runs over the socket, with the same limits and the same errors, and [Conn.Transport] tells why.
//
// # Guarantees
//
//   - A message whose Send returned nil is delivered whole, once and in order, if the receiver goes on receiving:
//     whatever becomes of the sender.
//   - The end of a connection is [io.EOF] after an orderly close and [ErrPeerDied] after a crash, in both cases after
//     everything that was sent.
//   - A peer that crashes, stalls or is hostile cannot crash this process, make it read or write outside the rings, or
//     keep a call from ending at its deadline. Each process writes its own memory only; the peer's is mapped read-only,
//     is sealed against truncation, and every word in it is checked. It can spoil what it sends, and end its own
//     connection.
//   - Nothing is left behind when processes die: the memory has no name, and the kernel frees it.
//   - Nothing is allocated per message after set-up, except where a call waits under a context that it has not seen
//     before.
//
// # Trust
//
// By default only processes of the same effective user are let in, in both directions; [Config].Authorize decides
// otherwise. Between processes of different users no eventfd and no futex is shared, since a stranger could use them
// to block us: the doorbells are bytes on the socket. A view given by [Conn.Next] lies in the peer's memory, and a
// hostile peer may change it while it is read; [Conn.Receive] and [Conn.Read] copy.
//
// # Waiting
//
// [Config].Wait chooses how a side waits: parking in the runtime's poller, with a spin before it while spins pay
// (default); parking at once; a futex; spinning. The two sides choose independently.
//
// # Platforms
//
// Shared memory needs Linux 5.1 or later. Everywhere else the package builds and connections run over the socket.
package shmwire
