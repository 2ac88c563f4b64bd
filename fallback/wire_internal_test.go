package fallback

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func nonceOf(first byte) (n [16]byte) {
	for i := range n {
		n[i] = first + byte(i)
	}
	return n
}

func goldenHello() Hello {
	return Hello{
		MinVersion: 1, MaxVersion: 0x0203, Wake: WakeFutex, SharesMemory: true,
		Slots: 4096, SlotBytes: 64, MaxRingBytes: 1 << 26, Nonce: nonceOf(0xa0),
	}
}

// TestGoldenBytes pins the bytes on the wire: processes built from different versions of this package must agree.
func TestGoldenBytes(t *testing.T) {
	big := goldenHello()
	big.BigEndian, big.SharesMemory, big.Wake = true, false, WakeNever
	hello := goldenHello()
	tests := []struct {
		name    string
		message []byte
		want    string
	}{
		{"hello", appendMessage(nil, typeHello, hello.encode()), "73686d77 01 00 3800" +
			"0100 0302 02 01 0000 0100000000000000 0010000000000000 40000000 00000000 0000000400000000" +
			"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"},
		{"hello of a big-endian process without memory", appendMessage(nil, typeHello, big.encode()), "73686d77 01 00 3800" +
			"0100 0302 04 02 0000 0000000000000000 0010000000000000 40000000 00000000 0000000400000000" +
			"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"},
		{"offer", appendMessage(nil, typeOffer, encodeOffer(true, nonceOf(0x10), "")), "73686d77 02 00 1800" +
			"01 00000000000000 101112131415161718191a1b1c1d1e1f"},
		{"offer of nothing", appendMessage(nil, typeOffer, encodeOffer(false, nonceOf(0x10), "no")), "73686d77 02 00 1a00" +
			"00 00000000000000 101112131415161718191a1b1c1d1e1f 6e6f"},
		{"accept", appendMessage(nil, typeAccept, encodeAccept(true, "")), "73686d77 03 00 0100 01"},
		{"refusal", appendMessage(nil, typeAccept, encodeAccept(false, "why")), "73686d77 03 00 0400 00 776879"},
		{"ready", appendMessage(nil, typeReady, nil), "73686d77 04 00 0000"},
		{"after others", appendMessage([]byte{7}, typeReady, nil), "07 73686d77 04 00 0000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, strings.ReplaceAll(tt.want, " ", ""), hex.EncodeToString(tt.message))
		})
	}
}

func TestParseHeader(t *testing.T) {
	tests := []struct {
		name      string
		header    string
		want      messageType
		n         int
		got, must string
	}{
		{name: "empty payload", header: "shmw\x04\x00\x00\x00", want: typeReady},
		{name: "longest payload", header: "shmw\x01\x00\x00\x04", want: typeHello, n: 1024},
		{name: "the reserved byte is free", header: "shmw\x02\xff\x18\x00", want: typeOffer, n: 24},
		{name: "too long", header: "shmw\x01\x00\x01\x04", want: typeHello, got: "a payload of 1025 bytes", must: "at most 1024"},
		{name: "far too long", header: "shmw\x03\x00\xff\xff", want: typeAccept, got: "a payload of 65535 bytes", must: "at most 1024"},
		{name: "other protocol", header: "GET / HT", want: typeHello, got: `"GET / HT"`, must: `"shmw"`},
		{name: "other case", header: "SHMW\x01\x00\x00\x00", want: typeHello, got: `"SHMW\x01\x00\x00\x00"`, must: `"shmw"`},
		{name: "out of order", header: "shmw\x02\x00\x18\x00", want: typeHello, got: "offer", must: "hello"},
		{name: "type 0", header: "shmw\x00\x00\x00\x00", want: typeReady, got: "message type 0", must: "ready"},
		{name: "type 5", header: "shmw\x05\x00\x00\x00", want: typeAccept, got: "message type 5", must: "accept"},
		{name: "type 255", header: "shmw\xff\x00\x00\x00", want: typeOffer, got: "message type 255", must: "offer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := parseHeader([]byte(tt.header), tt.want)
			if tt.got == "" {
				require.NoError(t, err)
				assert.Equal(t, tt.n, n)
				return
			}
			assertHandshakeError(t, err, tt.want.String(), tt.got, tt.must)
		})
	}
}

func assertHandshakeError(t *testing.T, err error, stage, got, want string) {
	t.Helper()
	var he *HandshakeError
	require.ErrorAs(t, err, &he)
	assert.ErrorIs(t, err, ErrHandshake)
	assert.Equal(t, HandshakeError{Stage: stage, Got: got, Want: want, Err: he.Err}, *he)
}

func TestDecodeHello(t *testing.T) {
	with := func(at int, bytes ...byte) []byte {
		h := goldenHello()
		b := h.encode()
		copy(b[at:], bytes)
		return b
	}
	plain := goldenHello()
	tests := []struct {
		name      string
		payload   []byte
		want      Hello
		got, must string
	}{
		{name: "as sent", payload: with(0), want: plain},
		{name: "longer is read as this", payload: append(with(0), 1, 2, 3), want: plain},
		{name: "features not known yet", payload: with(8, 0xff, 0xff, 0, 0, 0, 0, 0, 0x80), want: plain},
		{name: "reserved fields", payload: with(6, 1, 2), want: plain},
		{name: "empty", got: "0 bytes", must: "at least 56"},
		{name: "one byte short", payload: with(0)[:55], got: "55 bytes", must: "at least 56"},
		{name: "version 0", payload: with(0, 0, 0), got: "versions 0 to 515", must: "a range of versions from 1"},
		{name: "versions upside down", payload: with(0, 9, 0, 8, 0), got: "versions 9 to 8", must: "a range of versions from 1"},
		{name: "wake 0", payload: with(4, 0), got: "Wake(0)", must: "Wake 1…4"},
		{name: "wake 5", payload: with(4, 5), got: "Wake(5)", must: "Wake 1…4"},
		{name: "byte order 0", payload: with(5, 0), got: "byte order 0", must: "1 or 2"},
		{name: "byte order 3", payload: with(5, 3), got: "byte order 3", must: "1 or 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := decodeHello(tt.payload)
			if tt.got != "" {
				assertHandshakeError(t, err, "hello", tt.got, tt.must)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, h)
		})
	}
}

func TestDecodeOffer(t *testing.T) {
	nonce := nonceOf(1)
	ours := "0102030405060708090a0b0c0d0e0f10"
	tests := []struct {
		name      string
		payload   []byte
		have      bool
		reason    string
		got, must string
	}{
		{name: "memory", payload: encodeOffer(true, nonce, ""), have: true},
		{name: "nothing", payload: encodeOffer(false, nonce, "no memfd here"), reason: "no memfd here"},
		{name: "longest reason", payload: encodeOffer(false, nonce, strings.Repeat("é", 600)), reason: strings.Repeat("é", 128)},
		{name: "empty", got: "0 bytes", must: "at least 24"},
		{name: "one byte short", payload: encodeOffer(true, nonce, "")[:23], got: "23 bytes", must: "at least 24"},
		{name: "status 2", payload: append([]byte{2}, encodeOffer(true, nonce, "")[1:]...), got: "status 2", must: "0 or 1"},
		{
			name: "nonce of another connection", payload: encodeOffer(true, nonceOf(2), ""),
			got: "nonce 02030405060708090a0b0c0d0e0f1011", must: ours,
		},
		{
			name: "zero nonce", payload: encodeOffer(true, [16]byte{}, ""),
			got: "nonce 00000000000000000000000000000000", must: ours,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have, reason, err := decodeOffer(tt.payload, nonce)
			if tt.got != "" {
				assertHandshakeError(t, err, "offer", tt.got, tt.must)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.have, have)
			assert.Equal(t, tt.reason, reason)
		})
	}
}

func TestDecodeAccept(t *testing.T) {
	tests := []struct {
		name    string
		payload string
		yes     bool
		reason  string
		got     string
	}{
		{name: "yes", payload: "\x01", yes: true},
		{name: "no", payload: "\x00because", reason: "because"},
		{name: "no without a reason", payload: "\x00"},
		{name: "empty", payload: "", got: ""},
		{name: "answer 2", payload: "\x02maybe", got: "026d61796265"},
		{name: "long garbage is clipped", payload: strings.Repeat("\xee", 1024), got: strings.Repeat("ee", 16)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			yes, reason, err := decodeAccept([]byte(tt.payload))
			if tt.payload == "" || tt.payload[0] > 1 {
				assertHandshakeError(t, err, "accept", tt.got, "0 or 1 and a reason")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.yes, yes)
			assert.Equal(t, tt.reason, reason)
		})
	}
}

// TestReadable: what a peer wrote ends up in errors, logs and on terminals.
func TestReadable(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "memfd_create: operation not permitted", "memfd_create: operation not permitted"},
		{"other scripts", "нет памяти, 没有内存 ✓", "нет памяти, 没有内存 ✓"},
		{"lines", "a\nb\r\nc\td", "a?b??c?d"},
		{"terminal sequences", "\x1b[2J\x7f\u009b2J", "?[2J??2J"},
		{"line breaks that are no ASCII", "a\u0085b\u2028c\u2029d", "a?b?c?d"},
		{"text that runs backwards", "a\u202eb\u2066c", "a?b?c"},
		{"no UTF-8", "a\xffb\xc3", "a?b?"},
		{"clipped", strings.Repeat("x", 300), strings.Repeat("x", 256)},
		{"clipped inside a rune", strings.Repeat("x", 255) + "é", strings.Repeat("x", 255) + "?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, readable([]byte(tt.in))) })
	}
}

func TestNames(t *testing.T) {
	for w, want := range map[Wake]string{
		WakeEventfd: "eventfd", WakeFutex: "futex", WakeSocket: "socket", WakeNever: "never", 0: "Wake(0)", 77: "Wake(77)",
	} {
		assert.Equal(t, want, w.String())
	}
}

// FuzzMessages: bytes of a peer never panic, errors are of the kind and stage promised, and what decodes encodes to
// bytes that decode to the same.
func FuzzMessages(f *testing.F) {
	hello := goldenHello()
	f.Add(appendMessage(nil, typeHello, hello.encode()))
	f.Add(appendMessage(nil, typeOffer, encodeOffer(true, nonceOf(1), "")))
	f.Add(appendMessage(nil, typeOffer, encodeOffer(false, nonceOf(1), "no memory\n\xff")))
	f.Add(appendMessage(nil, typeAccept, encodeAccept(false, "no")))
	f.Add(appendMessage(nil, typeReady, nil))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerBytes {
			return
		}
		payload := b[headerBytes:]
		for want := typeHello; want <= typeReady; want++ {
			n, err := parseHeader(b[:headerBytes], want)
			fuzzError(t, err, want.String())
			if err == nil && n > maxPayload {
				t.Fatalf("payload of %d bytes was accepted", n)
			}
		}
		fuzzHello(t, payload)
		fuzzOffer(t, payload)
		fuzzAccept(t, payload)
	})
}

func fuzzError(t *testing.T, err error, stage string) {
	t.Helper()
	if err == nil {
		return
	}
	var he *HandshakeError
	require.ErrorAs(t, err, &he)
	require.Equal(t, stage, he.Stage)
	require.NotEmpty(t, he.Want)
	require.Less(t, len(err.Error()), 1024, "an error grows with what the peer sends")
}

func fuzzHello(t *testing.T, payload []byte) {
	h, err := decodeHello(payload)
	fuzzError(t, err, "hello")
	if err != nil {
		return
	}
	again, err := decodeHello(h.encode())
	require.NoError(t, err)
	require.Equal(t, h, again)
	own := goldenHello()
	a, err := agree(own, h, true)
	fuzzError(t, err, "hello")
	if err == nil && (a.Slots > min(own.MaxRingBytes, h.MaxRingBytes)/uint64(a.SlotBytes) || a.Slots&(a.Slots-1) != 0) {
		t.Fatalf("agreed on %+v beyond the limits", a)
	}
}

func fuzzOffer(t *testing.T, payload []byte) {
	var nonce [16]byte
	if len(payload) >= offerBytes {
		copy(nonce[:], payload[8:])
	}
	have, reason, err := decodeOffer(payload, nonce)
	fuzzError(t, err, "offer")
	if err != nil {
		return
	}
	fuzzReason(t, reason)
	again, reasonAgain, err := decodeOffer(encodeOffer(have, nonce, reason), nonce)
	require.NoError(t, err)
	require.Equal(t, have, again)
	require.Equal(t, reason, reasonAgain)
	nonce[0]++
	if _, _, err := decodeOffer(payload, nonce); !errors.Is(err, ErrHandshake) {
		t.Fatalf("an offer with another nonce was accepted: %v", err)
	}
}

func fuzzAccept(t *testing.T, payload []byte) {
	yes, reason, err := decodeAccept(payload)
	fuzzError(t, err, "accept")
	if err != nil {
		return
	}
	fuzzReason(t, reason)
	again, reasonAgain, err := decodeAccept(encodeAccept(yes, reason))
	require.NoError(t, err)
	require.Equal(t, yes, again)
	require.Equal(t, reason, reasonAgain)
}

func fuzzReason(t *testing.T, reason string) {
	if len(reason) > maxReason || !utf8.ValidString(reason) || bytes.ContainsAny([]byte(reason), "\n\r\x1b\x00") {
		t.Fatalf("reason %q is not fit for a log", reason)
	}
}
