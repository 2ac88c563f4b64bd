//go:build !race && !purego && !shmsteps

#include "textflag.h"

// func StoreRelease64(p *Word64, v uint64)
// x86-TSO keeps stores in order and loads before later stores, so a MOV is a release store.
TEXT ·StoreRelease64(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ v+8(FP), BX
	MOVQ BX, 0(AX)
	RET

// func Pause(n uint32)
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVL n+0(FP), AX
	TESTL AX, AX
	JZ done
again:
	PAUSE
	SUBL $1, AX
	JNZ again
done:
	RET

// func PrefetchLines(p *byte, n int)
TEXT ·PrefetchLines(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), BX
more:
	PREFETCHT0 (AX)
	ADDQ $64, AX
	SUBQ $1, BX
	JGT more
	RET
