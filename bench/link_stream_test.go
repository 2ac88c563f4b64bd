package bench_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"github.com/shmwire/shmwire"
)

// streamLink is a transport of bytes: Conn, sockets, fifos. A message is one Write, and read as a whole.
type streamLink struct {
	r      io.Reader
	w      io.Writer
	closes func() error // closes both, once
}

func newStreamLink(r io.ReadCloser, w io.WriteCloser) *streamLink {
	return &streamLink{r, w, sync.OnceValue(func() error {
		if any(r) == any(w) {
			return r.Close()
		}
		return errors.Join(r.Close(), w.Close())
	})}
}

func (l *streamLink) send(msg []byte) error {
	_, err := l.w.Write(msg)
	return err
}

func (l *streamLink) receive(buf []byte) error {
	_, err := io.ReadFull(l.r, buf)
	return err
}

func (l *streamLink) interrupt() { _ = l.closes() }

func (l *streamLink) close() error { return l.closes() }

// connConfig is the configuration of both ends of the transport conn.
func connConfig(wait string, ringBytes int) *shmwire.Config {
	waits := map[string]shmwire.Wait{
		waitAdaptive: shmwire.WaitAdaptive, waitPoller: shmwire.WaitPoller,
		waitFutex: shmwire.WaitFutex, waitSpin: shmwire.WaitSpin,
	}
	return &shmwire.Config{Wait: waits[wait], RingBytes: ringBytes, SlotBytes: slotBytes, Prefault: true}
}

// connLink makes sure that c shares memory: a Conn that fell back is a Unix socket, and would be measured as one.
func connLink(c *shmwire.Conn, err error) (link, error) {
	if err != nil {
		return nil, err
	}
	if transport, reason := c.Transport(); transport != shmwire.SharedMemory {
		return nil, errors.Join(errors.New("no shared memory: "+reason), c.Close())
	}
	return newStreamLink(c, c), nil
}

// netLink is the link over conn, unless err.
func netLink(conn net.Conn, err error) (link, error) {
	if err != nil {
		return nil, err
	}
	return newStreamLink(conn, conn), nil
}

// fifoLink opens two fifos, for reading and writing both, which does not wait for the peer.
func fifoLink(in, out string) (link, error) {
	r, err := os.OpenFile(in, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	w, err := os.OpenFile(out, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return newStreamLink(r, w), nil
}
