package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"strconv"
	"syscall"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
)

func systemRoles() map[string]shmtest.Role {
	return map[string]shmtest.Role{"produce": produceRole, "join": joinRole, "shmctl": shmctlRole}
}

// become makes the process one of another user, which its equals may look into as they may into any of theirs.
func become(uid string) error {
	id, err := strconv.Atoi(uid)
	if err != nil || id == 0 {
		return err
	}
	return shmtest.Become(id)
}

// shmctlRole runs shmctl as another user, with both outputs where the parent reads, and says how it ended: uid, args.
func shmctlRole(args []string) int {
	if err := become(args[0]); err != nil {
		return failed(err)
	}
	tell("status", run(context.Background(), args[1:], os.Stdout, os.Stdout))
	return 0
}

// namedBytes is a named segment as its maker, this process, leaves it before anybody uses it.
func namedBytes(regions ...int) ([]byte, error) {
	s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: regions})
	if err != nil {
		return nil, err
	}
	defer s.Detach()
	b := append([]byte{}, s.Bytes()...)
	binary.LittleEndian.PutUint32(b[20:], uint32(shmseg.Named))
	repair(b)
	return b, nil
}

// repair gives a header the checksum that it ought to have.
func repair(b []byte) {
	const at = 120
	clear(b[at : at+4])
	binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[8:shmseg.HeaderBytes], crc32.MakeTable(crc32.Castagnoli)))
}

func namedGeometry() ring.Geometry { return ring.Geometry{Slots: 16, SlotBytes: 64} }

// produceRole makes the file of a named segment with one ring in it, sends some records and waits: path, records.
func produceRole(args []string) int {
	geo := namedGeometry()
	if err := writeNamed(args[0], geo); err != nil {
		return failed(err)
	}
	_, err := produce(args[0], args[1], ring.Config{Geometry: geo, PeerNeverParks: true})
	return ready(err)
}

// joinRole joins the producers of a named ring, sends some records and does one more thing: path, records, claim (and
// never commit), close or nothing. Then it waits.
func joinRole(args []string) int {
	self := sys.Self()
	p, err := produce(args[0], args[1], ring.Config{
		Geometry: manyGeometry(), PeerNeverParks: true, PID: uint64(self.PID), StartTime: self.Start,
	})
	if err != nil {
		return failed(err)
	}
	switch args[2] {
	case "claim":
		if _, ok, err := p.TryClaim(100); !ok {
			return failed(err)
		}
	case "close":
		p.Close()
	}
	return ready(nil)
}

// manyGeometry is that of a ring with many producers.
func manyGeometry() ring.Geometry { return ring.Geometry{Slots: 16, SlotBytes: 64, MPSC: true} }

// ready says so and waits until the parent wants no more, unless there is an error.
func ready(err error) int {
	if err != nil {
		return failed(err)
	}
	tell("ready")
	bufio.NewScanner(os.Stdin).Scan()
	return 0
}

// writeNamed makes the file of a named segment with a ring in it that nobody has used.
func writeNamed(path string, geo ring.Geometry) error {
	b, err := namedBytes(geo.ProducerBytes(), geo.ConsumerBytes())
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// mapNamed returns the regions of a named ring. They stay mapped until unmap is called.
func mapNamed(path string, geo ring.Geometry) (producer, consumer []byte, unmap func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	defer f.Close()
	offsets, size := shmseg.Layout(geo.ProducerBytes(), geo.ConsumerBytes())
	memory, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, nil, err
	}
	return memory[offsets[0]:], memory[offsets[1]:], func() error { return syscall.Munmap(memory) }, nil
}

// produce sends so many records of 40 bytes into a named ring.
func produce(path, count string, cfg ring.Config) (*ring.Producer, error) {
	producer, consumer, _, err := mapNamed(path, cfg.Geometry) // until the process ends
	if err != nil {
		return nil, err
	}
	p, err := ring.NewProducer(producer, consumer, cfg)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(count)
	for ; n > 0 && err == nil; n-- {
		var ok bool
		if ok, err = p.TrySend(make([]byte, 40)); !ok {
			err = errors.Join(err, errors.New("no space"))
		}
	}
	return p, err
}
