#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "ring.h"

enum { HEADER_BYTES = 4096, CHECKSUM_AT = 120, REGIONS_AT = 128 };

// Numbers of a header are little-endian on every machine.
static uint64_t number(const unsigned char *header, size_t at, int bytes)
{
	uint64_t n = 0;
	for (int i = bytes - 1; i >= 0; i--)
		n = n << 8 | header[at + i];
	return n;
}

// CRC-32C of bytes 8 to 4095, with the field itself as 0.
static uint32_t checksum(const unsigned char *header)
{
	uint32_t crc = ~0u;
	for (size_t at = 8; at < HEADER_BYTES; at++) {
		crc ^= at >= CHECKSUM_AT && at < CHECKSUM_AT + 4 ? 0 : header[at];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void check(const char *path, const unsigned char *header, uint64_t size, const size_t sizes[2], size_t offsets[2])
{
	uint64_t magic = atomic_load_explicit((const _Atomic uint64_t *)header, memory_order_acquire);
	if (memcmp(&magic, "shmwire", 8) != 0)
		die("%s: no segment", path);
	uint32_t mark;
	memcpy(&mark, header + 16, sizeof mark);
	if (number(header, 8, 4) != 1 || number(header, 12, 4) != HEADER_BYTES || mark != 0x01020304 || number(header, 32, 8) != size)
		die("%s: a segment of another kind", path);
	if (number(header, CHECKSUM_AT, 4) != checksum(header))
		die("%s: wrong checksum", path);
	if (number(header, 40, 4) != 2)
		die("%s: %ju regions", path, (uintmax_t)number(header, 40, 4));
	for (int i = 0; i < 2; i++) {
		uint64_t at = number(header, REGIONS_AT + 16 * i, 8), bytes = number(header, REGIONS_AT + 16 * i + 8, 8);
		if (bytes != sizes[i] || at % 128 != 0 || at > size || bytes > size - at)
			die("%s: region %d is %ju bytes at %ju", path, i, (uintmax_t)bytes, (uintmax_t)at);
		offsets[i] = at;
	}
}

unsigned char *segment_open(const char *path, bool writable, const size_t sizes[2], size_t offsets[2])
{
	int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		die("open %s: %s", path, strerror(errno));
	// Whoever has the segment mapped holds this, and looks afterwards whether the file still has its name.
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct stat file, named;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0 || fstat(fd, &file) < 0 || stat(path, &named) < 0)
		die("hold %s: %s", path, strerror(errno));
	if (file.st_ino != named.st_ino || file.st_dev != named.st_dev || !S_ISREG(file.st_mode) || file.st_size < HEADER_BYTES)
		die("%s: no segment, or no longer", path);
	unsigned char *header = mmap(NULL, file.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (header == MAP_FAILED)
		die("map %s: %s", path, strerror(errno));
	check(path, header, file.st_size, sizes, offsets);
	return header;
}
