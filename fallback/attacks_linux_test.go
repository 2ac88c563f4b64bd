package fallback_test

// attack is what a hostile peer does, and how the handshake names it.
type attack struct {
	name             string
	do               func(i *intruder)
	stage, got, want string
	silent           bool // it stays and says nothing, so that only the deadline ends it
	surplus          bool // it sends more descriptors than the victim has room for
}

func attacks() []attack {
	const over = "the end of the connection"
	const slow = "silence for 150ms"
	return []attack{
		{
			name: "HTTP", do: func(i *intruder) { i.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0) },
			stage: "hello", got: `"GET / HT"`, want: `"shmw"`,
		},
		{
			name: "TLS", do: func(i *intruder) { i.write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 0) },
			stage: "hello", got: `"\x16\x03\x01\x02\x00\x01\x00\x01"`, want: `"shmw"`,
		},
		{name: "nothing and silence", do: func(*intruder) {}, silent: true, stage: "hello", got: slow, want: "hello"},
		{name: "nothing and gone", do: func(*intruder) {}, stage: "hello", got: over, want: "hello"},
		{
			name: "half a header and silence", do: func(i *intruder) { i.write([]byte("shm"), 0) }, silent: true,
			stage: "hello", got: slow, want: "hello",
		},
		{
			name: "half a header and gone", do: func(i *intruder) { i.write([]byte("shmw\x01"), 0) },
			stage: "hello", got: over, want: "hello",
		},
		{
			name: "half a hello and silence", do: func(i *intruder) { i.write(helloWith(nil)[:40], 0) }, silent: true,
			stage: "hello", got: slow, want: "hello",
		},
		{
			name: "half a hello and gone", do: func(i *intruder) { i.write(helloWith(nil)[:63], 0) },
			stage: "hello", got: over, want: "hello",
		},
		{
			name: "short hello", do: func(i *intruder) { i.write(message(mHello, make([]byte, 55)), 0) },
			stage: "hello", got: "55 bytes", want: "at least 56",
		},
		{
			name: "oversize hello", do: func(i *intruder) { i.write(message(mHello, make([]byte, 1025)), 0) },
			stage: "hello", got: "a payload of 1025 bytes", want: "at most 1024",
		},
		{
			name: "hello of 64 KiB", do: func(i *intruder) { i.write(message(mHello, make([]byte, 65535)), 0) },
			stage: "hello", got: "a payload of 65535 bytes", want: "at most 1024",
		},
		{
			name: "offer first", do: func(i *intruder) { i.write(message(mOffer, make([]byte, 24)), 1) },
			stage: "hello", got: "1 descriptors", want: "none here",
		},
		{
			name: "ready first", do: func(i *intruder) { i.write(message(mReady, nil), 0) },
			stage: "hello", got: "ready", want: "hello",
		},
		{
			name: "unknown type", do: func(i *intruder) { i.write(message(77, nil), 0) },
			stage: "hello", got: "message type 77", want: "hello",
		},
		{
			name: "other versions", do: func(i *intruder) { i.write(helloWith(func(p []byte) { p[0], p[2] = 2, 9 }), 0) },
			stage: "hello", got: "versions 2 to 9", want: "versions 1 to 1",
		},
		{
			name: "no version", do: func(i *intruder) { i.write(helloWith(func(p []byte) { p[0], p[2] = 0, 0 }), 0) },
			stage: "hello", got: "versions 0 to 0", want: "a range of versions from 1",
		},
		{
			name: "other byte order", do: func(i *intruder) { i.write(helloWith(func(p []byte) { p[5] = 3 - p[5] }), 0) },
			stage: "hello", got: "another byte order", want: "ours",
		},
		{
			name: "geometry no power of two", do: func(i *intruder) { i.write(helloWith(func(p []byte) { p[16] = 63 }), 0) },
			stage: "hello", got: "63 slots", want: "a power of two, 2 to 2^37",
		},
		{name: "enormous geometry", do: func(i *intruder) {
			i.write(helloWith(func(p []byte) { p[16], p[20], p[37] = 0, 0x20, 0xff }), 0)
		}, stage: "hello", got: "rings of 8796093022208 bytes", want: "at most 1048576 bytes"},
		{
			name: "descriptors with hello", do: func(i *intruder) { i.write(helloWith(nil), 2) },
			stage: "hello", got: "2 descriptors", want: "none here",
		},
		{
			name: "253 descriptors with hello", do: func(i *intruder) { i.write(helloWith(nil), 253) },
			stage: "hello", got: "descriptors", want: "none here", surplus: true,
		},
		{name: "descriptors on the second byte of hello", do: func(i *intruder) {
			i.write([]byte("s"), 0)
			i.write(helloWith(nil)[1:], 1)
		}, stage: "hello", got: "1 descriptors", want: "none here"},
		{name: "descriptors inside hello", do: func(i *intruder) {
			i.write(helloWith(nil)[:30], 0)
			i.write(helloWith(nil)[30:], 1)
		}, stage: "hello", got: "1 descriptors", want: "none here"},

		{name: "hello and silence", do: func(i *intruder) { i.toOffer() }, silent: true, stage: "offer", got: slow, want: "offer"},
		{name: "hello and gone", do: func(i *intruder) { i.toOffer() }, stage: "offer", got: over, want: "offer"},
		{
			name: "hello twice", do: func(i *intruder) { i.toOffer(); i.write(helloWith(nil), 0) },
			stage: "offer", got: "hello", want: "offer",
		},
		{
			name: "accept before offer", do: func(i *intruder) { i.toOffer(); i.write(message(mAccept, []byte{1}), 0) },
			stage: "offer", got: "accept", want: "offer",
		},
		{
			name: "short offer", do: func(i *intruder) { i.toOffer(); i.write(message(mOffer, make([]byte, 23)), 1) },
			stage: "offer", got: "23 bytes", want: "at least 24",
		},
		{
			name: "half an offer with descriptors and gone", do: func(i *intruder) { i.toOffer(); i.write(i.offer(1, "")[:20], 1) },
			stage: "offer", got: over, want: "offer",
		},
		{
			name: "half an offer with descriptors and silence", do: func(i *intruder) { i.toOffer(); i.write(i.offer(1, "")[:3], 1) },
			silent: true, stage: "offer", got: slow, want: "offer",
		},
		{name: "nonce of another connection", do: func(i *intruder) {
			i.toOffer()
			i.nonce[15]++
			i.write(i.offer(1, ""), 1)
		}, stage: "offer", got: "nonce ", want: ""},
		{
			name: "status 1 without descriptors", do: func(i *intruder) { i.toOffer(); i.write(i.offer(1, ""), 0) },
			stage: "offer", got: "0 descriptors with status 1", want: "1 with status 1 or none with status 0",
		},
		{
			name: "status 0 with descriptors", do: func(i *intruder) { i.toOffer(); i.write(i.offer(0, ""), 1) },
			stage: "offer", got: "1 descriptors with status 0", want: "1 with status 1 or none with status 0",
		},
		{
			name: "status 2", do: func(i *intruder) { i.toOffer(); i.write(i.offer(2, ""), 1) },
			stage: "offer", got: "status 2", want: "0 or 1",
		},
		{
			name: "3 descriptors", do: func(i *intruder) { i.toOffer(); i.write(i.offer(1, ""), 3) },
			stage: "offer", got: "3 descriptors or more", want: "at most 1",
		},
		{
			name: "20 descriptors", do: func(i *intruder) { i.toOffer(); i.write(i.offer(1, ""), 20) },
			stage: "offer", got: "descriptors or more", want: "at most 1", surplus: true,
		},
		{
			name: "253 descriptors", do: func(i *intruder) { i.toOffer(); i.write(i.offer(1, ""), 253) },
			stage: "offer", got: "descriptors or more", want: "at most 1", surplus: true,
		},
		{name: "more descriptors inside the offer", do: func(i *intruder) {
			i.toOffer()
			i.write(i.offer(1, "")[:8], 1)
			i.write(i.offer(1, "")[8:], 5)
		}, stage: "offer", got: "5 descriptors", want: "none here"},
		{name: "memory of a process that shares none", do: func(i *intruder) {
			i.hello(func(p []byte) { p[8] = 0 })
			i.expect(mHello)
			i.expect(mOffer)
			i.write(i.offer(1, ""), 1)
		}, stage: "offer", got: "memory of a process that shares none", want: "status 0"},

		{name: "offer and silence", do: func(i *intruder) { i.toAccept() }, silent: true, stage: "accept", got: slow, want: "accept"},
		{name: "offer and gone", do: func(i *intruder) { i.toAccept() }, stage: "accept", got: over, want: "accept"},
		{
			name: "ready before accept", do: func(i *intruder) { i.toAccept(); i.write(message(mReady, nil), 0) },
			stage: "accept", got: "ready", want: "accept",
		},
		{
			name: "empty accept", do: func(i *intruder) { i.toAccept(); i.write(message(mAccept, nil), 0) },
			stage: "accept", got: "", want: "0 or 1 and a reason",
		},
		{
			name: "answer 2", do: func(i *intruder) { i.toAccept(); i.write(message(mAccept, []byte{2}), 0) },
			stage: "accept", got: "02", want: "0 or 1 and a reason",
		},
		{
			name: "descriptors with accept", do: func(i *intruder) { i.toAccept(); i.write(message(mAccept, []byte{1}), 2) },
			stage: "accept", got: "2 descriptors", want: "none here",
		},

		{name: "accept and silence", do: func(i *intruder) { i.toReady() }, silent: true, stage: "ready", got: slow, want: "ready"},
		{name: "accept and gone", do: func(i *intruder) { i.toReady() }, stage: "ready", got: over, want: "ready"},
		{
			name: "doorbells before ready", do: func(i *intruder) { i.toReady(); i.write(make([]byte, 8), 0) },
			stage: "ready", got: `"\x00\x00`, want: `"shmw"`,
		},
		{
			name: "ready with more", do: func(i *intruder) { i.toReady(); i.write(message(mReady, []byte("hello")), 0) },
			stage: "ready", got: "5 bytes", want: "none",
		},
		{
			name: "descriptors with ready", do: func(i *intruder) { i.toReady(); i.write(message(mReady, nil), 1) },
			stage: "ready", got: "1 descriptors", want: "none here",
		},
	}
}
