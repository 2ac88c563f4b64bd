// A named segment of package shmseg, from the drawing of its header in shmseg/header.go.
#ifndef CPEER_SEGMENT_H
#define CPEER_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>

// Maps the segment in the file at path, writable or not, holds it against removal as unused, and returns its start. It
// must have regions of exactly the two sizes given, whose places are stored. The segment is the process's until it ends.
unsigned char *segment_open(const char *path, bool writable, const size_t sizes[2], size_t offsets[2]);

#endif
