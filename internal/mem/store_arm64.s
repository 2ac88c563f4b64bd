//go:build !race && !purego && !shmsteps

#include "textflag.h"

// func StoreRelease64(p *Word64, v uint64)
// STLR keeps everything before it before it, and a later LDAR, which every atomic load is, behind it.
TEXT ·StoreRelease64(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD v+8(FP), R1
	STLR R1, (R0)
	RET

// func Pause(n uint32)
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVWU n+0(FP), R0
	CBZ R0, done
again:
	YIELD
	SUBW $1, R0
	CBNZ R0, again
done:
	RET

// func PrefetchLines(p *byte, n int)
TEXT ·PrefetchLines(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD n+8(FP), R1
more:
	PRFM (R0), PLDL1KEEP
	ADD $64, R0
	SUBS $1, R1
	BGT more
	RET
