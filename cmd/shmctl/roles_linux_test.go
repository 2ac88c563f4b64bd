package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"strconv"
	"syscall"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
	"golang.org/x/sys/unix"
)

func systemRoles() map[string]shmtest.Role {
	return map[string]shmtest.Role{"produce": produceRole, "shmctl": shmctlRole}
}

// become makes the process one of another user, which its equals may look into as they may into any of theirs.
func become(uid string) error {
	id, err := strconv.Atoi(uid)
	if err != nil || id == 0 {
		return err
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setresgid(id, id, id); err != nil {
		return err
	}
	if err := syscall.Setresuid(id, id, id); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
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
	b, err := namedBytes(geo.ProducerBytes(), geo.ConsumerBytes())
	if err != nil {
		return failed(err)
	}
	if err := os.WriteFile(args[0], b, 0o600); err != nil {
		return failed(err)
	}
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return failed(err)
	}
	memory, err := syscall.Mmap(int(f.Fd()), 0, len(b), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return failed(err)
	}
	offsets, _ := shmseg.Layout(geo.ProducerBytes(), geo.ConsumerBytes())
	p, err := ring.NewProducer(memory[offsets[0]:], memory[offsets[1]:], ring.Config{Geometry: geo, PeerNeverParks: true})
	if err != nil {
		return failed(err)
	}
	count, _ := strconv.Atoi(args[1])
	for range count {
		if ok, err := p.TrySend(make([]byte, 40)); !ok {
			return failed(err)
		}
	}
	tell("ready")
	bufio.NewScanner(os.Stdin).Scan()
	return 0
}
