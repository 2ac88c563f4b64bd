package fallback_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHandshakeShares(t *testing.T) {
	for _, answers := range []bool{false, true} {
		t.Run(fmt.Sprintf("answers=%t", answers), func(t *testing.T) {
			sa, sb := mustStore(t), mustStore(t)
			before := shmtest.FDs(t)
			ua, ub := pair(t)
			pa, pb := params(sa), params(sb)
			pb.Answer = answers
			pb.Hello.Wake = fallback.WakeFutex
			pb.Hello.Slots = 256
			ca, cb := shake(ua, pa), shake(ub, pb)
			a, b := shmtest.Soon(t, ca, "a"), shmtest.Soon(t, cb, "b")
			require.NoError(t, a.err)
			require.NoError(t, b.err)

			assert.NotZero(t, a.Agreed.Link)
			assert.Equal(t, a.Agreed.Link, b.Agreed.Link)
			me := fallback.Cred{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid(), Known: true}
			want := fallback.Agreement{
				Version: fallback.Version, Slots: 256, SlotBytes: 64,
				OwnWake: fallback.WakeEventfd, PeerWake: fallback.WakeFutex, Trusted: true,
				Link: a.Agreed.Link,
			}
			assert.Equal(t, fallback.Result{Peer: me, Agreed: want, Shared: true}, a.Result)
			want.OwnWake, want.PeerWake = want.PeerWake, want.OwnWake
			assert.Equal(t, fallback.Result{Peer: me, Agreed: want, Shared: true}, b.Result)
			sa.has(t, sb, 1) // b is woken by futex: its memory alone
			sb.has(t, sa, 2)

			sound(t, ua, ub)
			require.NoError(t, errors.Join(ua.Close(), ub.Close()))
			for _, f := range append(sa.took, sb.took...) {
				require.NoError(t, f.Close())
			}
			sa.took, sb.took = nil, nil
			sameFDs(t, before)
		})
	}
}

// TestHandshakeLeavesNoDeadline: what is read after the handshake may come later than its time-out.
func TestHandshakeLeavesNoDeadline(t *testing.T) {
	pa, pb := params(mustStore(t)), params(mustStore(t))
	pa.Timeout, pb.Timeout = 300*time.Millisecond, 300*time.Millisecond
	a, b, ua, ub := shakeBoth(t, pa, pb)
	over := time.Now().Add(pa.Timeout)
	require.NoError(t, a.err)
	require.NoError(t, b.err)
	for time.Now().Before(over) {
		sound(t, ua, ub)
	}
	sound(t, ua, ub)
	_, err := ua.Write([]byte("late"))
	assert.NoError(t, err)
}

// TestHandshakeDataRightBehind: data may follow the ready at once, while the other side has yet to read that.
func TestHandshakeDataRightBehind(t *testing.T) {
	for range 50 {
		ua, ub := pair(t)
		pa, pb := params(mustStore(t)), params(mustStore(t))
		pb.Answer = true
		data := []byte("shmw\x04\x00\x00\x00 is data now")
		ca := async(func() error {
			if _, err := fallback.Handshake(ua, pa); err != nil {
				return err
			}
			_, err := ua.Write(data)
			return err
		})
		b := shmtest.Soon(t, shake(ub, pb), "b")
		require.NoError(t, b.err)
		require.NoError(t, shmtest.Soon(t, ca, "a"))
		got := make([]byte, len(data))
		_, err := io.ReadFull(ub, got)
		require.NoError(t, err)
		assert.Equal(t, data, got)
	}
}

// TestHandshakeFallsBack: whoever cannot share memory, both go on over the socket and know why.
func TestHandshakeFallsBack(t *testing.T) {
	broken := errors.New("memfd_create: function not implemented")
	refused := errors.New("map segment: permission denied")
	const off = "shared memory is switched off"
	tests := []struct {
		name     string
		set      func(pa, pb *fallback.Params, sa, sb *store)
		ofA, ofB string
	}{
		{"a cannot make", func(_, _ *fallback.Params, sa, _ *store) { sa.makeErr = broken }, broken.Error(), "peer: " + broken.Error()},
		{"b cannot make", func(_, _ *fallback.Params, _, sb *store) { sb.makeErr = broken }, "peer: " + broken.Error(), broken.Error()},
		{
			"neither can make", func(_, _ *fallback.Params, sa, sb *store) { sa.makeErr, sb.makeErr = broken, refused },
			broken.Error(), refused.Error(),
		},
		{"a cannot take", func(_, _ *fallback.Params, sa, _ *store) { sa.takeErr = refused }, refused.Error(), "peer: " + refused.Error()},
		{"b cannot take", func(_, _ *fallback.Params, _, sb *store) { sb.takeErr = refused }, "peer: " + refused.Error(), refused.Error()},
		{
			"a makes, without saying why not", func(_, _ *fallback.Params, sa, _ *store) { sa.makeErr = errors.New("") },
			"shared memory cannot be made", "peer: shared memory cannot be made",
		},
		{
			"a takes, without saying why not", func(_, _ *fallback.Params, sa, _ *store) { sa.takeErr = errors.New("") },
			"shared memory cannot be used", "peer: shared memory cannot be used",
		},
		{"switched off at a", func(pa, _ *fallback.Params, _, _ *store) { pa.Hello.SharesMemory = false }, off, "peer: " + off},
		{"switched off at b", func(_, pb *fallback.Params, _, _ *store) { pb.Hello.SharesMemory = false }, "peer: " + off, off},
		{"no Make at a", func(pa, _ *fallback.Params, _, _ *store) { pa.Make = nil }, off, "peer: " + off},
		{"no Take at b", func(_, pb *fallback.Params, _, _ *store) { pb.Take = nil }, "peer: " + off, off},
		{
			"switched off at both", func(pa, pb *fallback.Params, _, _ *store) {
				pa.Hello.SharesMemory, pb.Hello.SharesMemory = false, false
			}, off, off,
		},
		{
			"no descriptors to spare at a", func(pa, _ *fallback.Params, sa, _ *store) {
				pa.Timeout = 200 * time.Millisecond
				sa.makeErr = os.NewSyscallError("memfd_create", syscall.EMFILE)
			}, "memfd_create: too many open files", "peer: memfd_create: too many open files",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sa, sb := mustStore(t), mustStore(t)
			pa, pb := params(sa), params(sb)
			tt.set(&pa, &pb, sa, sb)
			a, b, ua, ub := shakeBoth(t, pa, pb)
			require.NoError(t, a.err)
			require.NoError(t, b.err)
			assert.False(t, a.Shared)
			assert.False(t, b.Shared)
			assert.Equal(t, tt.ofA, a.Reason)
			assert.Equal(t, tt.ofB, b.Reason)
			sound(t, ua, ub)
		})
	}
}

// TestHandshakeWaitsForDescriptors: being out of them for a moment is no reason to do without shared memory.
func TestHandshakeWaitsForDescriptors(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ETOOMANYREFS} {
		t.Run(errno.Error(), func(t *testing.T) {
			sa, sb := mustStore(t), mustStore(t)
			pa := params(sa)
			tries := 0
			pa.Make = func(a fallback.Agreement) (fallback.Offer, error) {
				if tries++; tries < 4 {
					return fallback.Offer{}, fmt.Errorf("make: %w", os.NewSyscallError("memfd_create", errno))
				}
				return sa.make(a)
			}
			a, b, _, _ := shakeBoth(t, pa, params(sb))
			require.NoError(t, a.err)
			require.NoError(t, b.err)
			assert.True(t, a.Shared && b.Shared, "%q and %q", a.Reason, b.Reason)
			assert.Equal(t, 4, tries)
		})
	}
}

// TestHandshakeTakeForbids: what the protocol forbids is no reason to fall back but the end of the connection.
func TestHandshakeTakeForbids(t *testing.T) {
	forbidden := &fallback.HandshakeError{Stage: "offer", Got: "seals 0x0", Want: "seals 0x17"}
	sa, sb := mustStore(t), mustStore(t)
	sb.takeErr = fmt.Errorf("attach: %w", forbidden)
	a, b, _, _ := shakeBoth(t, params(sa), params(sb))
	require.ErrorIs(t, b.err, forbidden)
	require.ErrorIs(t, b.err, fallback.ErrHandshake)
	assertStage(t, a.err, "accept", "the end of the connection", "accept")
	assert.NotZero(t, a.Peer.PID, "the error does not tell who it was")
}

func assertStage(t *testing.T, err error, stage, got, want string) *fallback.HandshakeError {
	t.Helper()
	require.ErrorIs(t, err, fallback.ErrHandshake)
	var he *fallback.HandshakeError
	require.ErrorAs(t, err, &he)
	assert.Equal(t, stage, he.Stage)
	assert.Contains(t, he.Got, got)
	assert.Equal(t, want, he.Want)
	return he
}

func TestHandshakeAuthorize(t *testing.T) {
	notYou := errors.New("uid 4711 only")
	for _, refuser := range []string{"a", "b"} {
		t.Run("refused by "+refuser, func(t *testing.T) {
			sa, sb := mustStore(t), mustStore(t)
			pa, pb := params(sa), params(sb)
			var asked fallback.Cred
			refuse := func(c fallback.Cred) error { asked = c; return notYou }
			if refuser == "a" {
				pa.Authorize = refuse
			} else {
				pb.Authorize = refuse
			}
			a, b, _, _ := shakeBoth(t, pa, pb)
			refusing, refused, stage := b, a, "hello"
			if refuser == "a" {
				refusing, refused, stage = a, b, "offer" // b has said hello already, and no more
			}
			me := fmt.Sprintf("pid %d, uid %d, gid %d", os.Getpid(), os.Geteuid(), os.Getegid())
			assertStage(t, refusing.err, "credentials", me, "a process that is let in")
			assert.ErrorIs(t, refusing.err, notYou)
			assert.Equal(t, os.Getpid(), asked.PID)
			assert.Equal(t, asked, refusing.Peer)
			assertStage(t, refused.err, stage, "the end of the connection", stage)
			assert.Zero(t, sa.takes+sb.takes)
		})
	}
}

// TestHandshakeStrangers: no descriptor but the memory's passes between them.
func TestHandshakeStrangers(t *testing.T) {
	sa, sb := mustStore(t), mustStore(t)
	pa, pb := params(sa), params(sb)
	pa.Trusts = func(fallback.Cred) bool { return false }
	pb.Trusts = pa.Trusts
	a, b, _, _ := shakeBoth(t, pa, pb)
	require.NoError(t, a.err)
	require.NoError(t, b.err)
	assert.True(t, a.Shared && b.Shared)
	for _, o := range []outcome{a, b} {
		assert.Equal(t, fallback.WakeSocket, o.Agreed.OwnWake)
		assert.Equal(t, fallback.WakeSocket, o.Agreed.PeerWake)
		assert.False(t, o.Agreed.Trusted)
	}
	sa.has(t, sb, 1)
	sb.has(t, sa, 1)
}

func TestSameUser(t *testing.T) {
	me := fallback.Cred{PID: 1, UID: os.Geteuid(), GID: os.Getegid(), Known: true}
	assert.True(t, fallback.SameUser(me))
	other, unknown := me, me
	other.UID++
	unknown.Known = false
	assert.False(t, fallback.SameUser(other))
	assert.False(t, fallback.SameUser(unknown))
}

// TestHandshakeDisagrees: both sides see the other's hello, so both name what is wrong.
func TestHandshakeDisagrees(t *testing.T) {
	sa, sb := mustStore(t), mustStore(t)
	pa, pb := params(sa), params(sb)
	pa.Hello.Slots, pa.Hello.SlotBytes = 1<<10, 1<<10
	pa.Hello.MaxRingBytes = 1 << 21
	a, b, _, _ := shakeBoth(t, pa, pb)
	const want = "at most 1048576 bytes"
	require.NoError(t, a.err, "1 MiB is within both limits")
	require.NoError(t, b.err)
	assert.Equal(t, [2]uint64{1 << 10, 1 << 10}, [2]uint64{a.Agreed.Slots, uint64(a.Agreed.SlotBytes)})
	assert.Equal(t, [2]uint64{1 << 10, 1 << 10}, [2]uint64{b.Agreed.Slots, uint64(b.Agreed.SlotBytes)})

	pa.Hello.Slots *= 2
	sa, sb = mustStore(t), mustStore(t)
	pa.Make, pa.Take, pb.Make, pb.Take = sa.make, sa.take, sb.make, sb.take
	a, b, _, _ = shakeBoth(t, pa, pb)
	assertStage(t, a.err, "hello", "rings of 2097152 bytes", want)
	assertStage(t, b.err, "hello", "rings of 2097152 bytes", want)
}

// TestHandshakeCutShort: a deadline in the past ends it at once, as Dial does when its context ends.
func TestHandshakeCutShort(t *testing.T) {
	for _, answers := range []bool{false, true} {
		t.Run(fmt.Sprintf("answers=%t", answers), func(t *testing.T) {
			ua, _ := pair(t)
			p := params(mustStore(t))
			p.Timeout, p.Answer = time.Hour, answers
			o := shake(ua, p)
			shmtest.StillBlocked(t, o, "handshake with nobody")
			require.NoError(t, ua.SetDeadline(time.Unix(1, 0)))
			assert.ErrorIs(t, shmtest.Soon(t, o, "handshake").err, os.ErrDeadlineExceeded)
		})
	}
}

// TestHandshakeBegun: from that call on, a deadline in the past is not overwritten.
func TestHandshakeBegun(t *testing.T) {
	for _, answers := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut short, answers=%t", answers), func(t *testing.T) {
			ua, _ := pair(t)
			p := params(mustStore(t))
			p.Timeout, p.Answer = time.Hour, answers
			p.Begun = func() { assert.NoError(t, ua.SetDeadline(time.Unix(1, 0))) }
			assert.ErrorIs(t, shmtest.Soon(t, shake(ua, p), "handshake").err, os.ErrDeadlineExceeded)
		})
	}
	t.Run("once, before all else", func(t *testing.T) {
		pa, pb := params(mustStore(t)), params(mustStore(t))
		var calls []string
		pa.Begun = func() { calls = append(calls, "begun") }
		pa.Authorize = func(fallback.Cred) error { calls = append(calls, "authorize"); return nil }
		a, b, _, _ := shakeBoth(t, pa, pb)
		require.NoError(t, a.err)
		require.NoError(t, b.err)
		assert.Equal(t, []string{"begun", "authorize"}, calls)
	})
	t.Run("never, on a closed socket", func(t *testing.T) {
		ua, _ := pair(t)
		require.NoError(t, ua.Close())
		p := params(mustStore(t))
		p.Begun = func() { t.Error("begun without a deadline") }
		_, err := fallback.Handshake(ua, p)
		assert.ErrorIs(t, err, fallback.ErrHandshake)
	})
}

// TestHandshakeCutShortWhileShort does so while the handshake waits for descriptors, not for the socket.
func TestHandshakeCutShortWhileShort(t *testing.T) {
	ua, ub := pair(t)
	p := params(mustStore(t))
	p.Timeout = time.Hour
	tried := make(chan struct{}, 1)
	p.Make = func(fallback.Agreement) (fallback.Offer, error) {
		select {
		case tried <- struct{}{}:
		default:
		}
		return fallback.Offer{}, os.NewSyscallError("memfd_create", syscall.EMFILE)
	}
	a := shake(ua, p)
	pb := params(mustStore(t))
	pb.Answer = true
	b := shake(ub, pb)
	shmtest.Soon(t, tried, "Make")
	require.NoError(t, ua.SetDeadline(time.Unix(1, 0)))
	assert.ErrorIs(t, shmtest.Soon(t, a, "handshake").err, os.ErrDeadlineExceeded)
	assertStage(t, shmtest.Soon(t, b, "other side").err, "offer", "the end of the connection", "offer")
}

func TestHandshakeOverClosedSocket(t *testing.T) {
	ua, _ := pair(t)
	require.NoError(t, ua.Close())
	_, err := fallback.Handshake(ua, params(mustStore(t)))
	assertStage(t, err, "hello", "an error of the socket", "hello")
}
