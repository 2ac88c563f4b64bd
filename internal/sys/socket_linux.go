package sys

import (
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxRights is how many descriptors one received message has room for. A sender that the protocol allows two gets a
// few more through, so that its surplus is seen, closed and named; what the kernel cuts off beyond that it closes.
const maxRights = 8

// CanPassFDs says whether descriptors and credentials can be passed here.
const CanPassFDs = true

// Socket does on a Unix stream socket what net.UnixConn cannot: pass descriptors and credentials, look at a message
// before taking it, and send without waiting. It borrows the connection: the caller goes on owning and closing it.
type Socket struct {
	rc  syscall.RawConn
	oob []byte

	bell    func(fd uintptr) // bound once, as zero is kept, so that ringing does not allocate
	bellErr error
	zero    [1]byte
}

// NewSocket returns the Socket of uc.
func NewSocket(uc *net.UnixConn) (*Socket, error) {
	rc, err := uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Socket{rc: rc, oob: make([]byte, unix.CmsgSpace(4*maxRights)+unix.CmsgSpace(unix.SizeofUcred))}
	s.bell = func(fd uintptr) { s.bellErr = trySend(int(fd), s.zero[:]) }
	return s, nil
}

// PassCred asks the kernel to attach the sender's credentials to what this socket receives.
func (s *Socket) PassCred(on bool) error {
	v := 0
	if on {
		v = 1
	}
	var serr error
	err := s.rc.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, v)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt SO_PASSCRED", serr)
}

// Check returns the error that a call which may wait would return at once: that the write deadline has passed, or that
// the connection is closed.
func (s *Socket) Check() error { return s.rc.Write(func(uintptr) bool { return true }) }

// SendMsg sends b whole, with fds and, if cred is set, this process's credentials attached to its first byte. It
// waits under the connection's write deadline; the descriptors stay the caller's.
func (s *Socket) SendMsg(b []byte, fds []int, cred bool) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if cred {
		oob = append(oob, unix.UnixCredentials(&unix.Ucred{
			Pid: int32(os.Getpid()), Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()),
		})...)
	}
	for len(b) > 0 {
		n, err := s.sendSome(b, oob)
		if err != nil {
			return err
		}
		b, oob = b[n:], nil
	}
	return nil
}

func (s *Socket) sendSome(b, oob []byte) (n int, err error) {
	var serr error
	err = s.rc.Write(func(fd uintptr) bool {
		for {
			n, serr = unix.SendmsgN(int(fd), b, oob, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			if serr != unix.EINTR {
				return serr != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return n, os.NewSyscallError("sendmsg", serr)
}

// RecvMsg receives at most len(b) bytes with the descriptors (close-on-exec) and credentials attached to them,
// waiting under the connection's read deadline. With peek the message stays in the socket and the descriptors are
// duplicates. The caller closes every descriptor in the answer, which is empty where err is set.
// At the end of the stream N is 0.
func (s *Socket) RecvMsg(b []byte, peek bool) (r Received, err error) {
	flags := unix.MSG_CMSG_CLOEXEC | unix.MSG_DONTWAIT
	if peek {
		flags |= unix.MSG_PEEK
	}
	var n, oobn, rflags int
	var serr error
	err = s.rc.Read(func(fd uintptr) bool {
		for {
			n, oobn, rflags, _, serr = unix.Recvmsg(int(fd), b, s.oob, flags)
			if serr != unix.EINTR {
				return serr != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = os.NewSyscallError("recvmsg", serr)
	}
	if err != nil {
		return Received{}, err
	}
	r = Received{N: n, Truncated: rflags&unix.MSG_CTRUNC != 0}
	parseControl(s.oob[:oobn], &r)
	return r, nil
}

func parseControl(oob []byte, r *Received) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return // the kernel wrote it: nothing in it can be closed
	}
	for i := range msgs {
		if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			r.FDs = append(r.FDs, fds...)
		}
		if c, err := unix.ParseUnixCredentials(&msgs[i]); err == nil {
			r.Cred = Cred{PID: int(c.Pid), UID: int(c.Uid), GID: int(c.Gid), Known: true}
			// What the kernel makes up for bytes that were sent before anybody asked for credentials.
			if c.Pid == 0 && r.Cred.UID == OverflowUID() {
				r.Cred = Cred{}
			}
		}
	}
	r.Full = len(r.FDs) >= maxRights
}

// Ring sends one zero byte without waiting and without allocating. A full socket buffer is success: bells are
// pending in it anyway. One caller at a time.
func (s *Socket) Ring() error {
	if err := s.rc.Control(s.bell); err != nil {
		return err
	}
	return dropAgain(s.bellErr)
}

// TrySend sends b, a few bytes, if it fits without waiting, and reports whether it did. One caller at a time.
func (s *Socket) TrySend(b []byte) (ok bool, err error) {
	var serr error
	if err := s.rc.Control(func(fd uintptr) { serr = trySend(int(fd), b) }); err != nil {
		return false, err
	}
	return serr == nil, dropAgain(serr)
}

// trySend sends b in one call without waiting. So few bytes go into one buffer of the kernel: all of them or none.
func trySend(fd int, b []byte) error {
	for {
		err := unix.Send(fd, b, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return err
		}
	}
}

func dropAgain(err error) error {
	if err == unix.EAGAIN {
		return nil
	}
	return os.NewSyscallError("send", err)
}

// OverflowUID returns the uid that the kernel shows in place of one that a user namespace does not map. It stands
// for many users, so it never equals anybody's. It is read once.
func OverflowUID() int { return overflowUID() }

var overflowUID = sync.OnceValue(readOverflowUID)

func readOverflowUID() int {
	b, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			return n
		}
	}
	return 65534
}

// CloseFDs closes every descriptor of fds.
func CloseFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
