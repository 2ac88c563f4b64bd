/* An owner number given out again, inside the whole protocol of claim, help, commit, abort, close and death. Two processes,
 * A and B, go by the same number, one after the other, A and B times; a third has a number of its own and helps.
 * hold[] is the exclusive lock on a number, which the operating system takes away from a process that dies. gen[] is
 * the generation word: 0 never used, odd closed in order, even an owner, alive or dead. Whoever finds it even and the
 * lock free reads the end E of the last claim (first the consumer position, then the claim word) and waits without the
 * lock until the published consumer position has reached it; takes the lock; reads the generation again, and starts over
 * if it is another one. The consumer takes a claim for a dead owner's if nobody holds the number, and then reads the
 * descriptor once more. One-slot claims; the claim word is narrow (start mod M); the consumer publishes lazily and is
 * restarted once.
 *
 * Mutants: NOGEN (the generation is not read again), GENLATE (it is advanced after the first claim), GENAFTER (it is read
 * after the number was seen dead), EEARLY (E is read before the number was seen dead), TFIRST (the claim word is read
 * before the consumer position), NOWAIT (a dead owner's number is taken at once), HOLDWAIT (the lock is held during the
 * wait), FREEDEAD (a number is free if nobody holds it: the generation is not asked), CLOSEDFIRST (Close sets the closed
 * bit before the SKIP of the open claim), CLOSEOPEN (Close leaves the open claim as it is), UNLOCKFIRST (Close gives the lock back before the closed bit), NOREREAD (no
 * second look at the descriptor), CACHEDDEATH (a death once proven is taken to hold for ever), LAZYIDLE (the position is
 * not published when nothing is found), NOHELP.
 */
#ifndef A
#define A 2                                       /* lives of the first */
#endif
#ifndef B
#define B 1                                       /* and of the second */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
#ifndef C
#define C 1                                       /* lives of the third, which has a number of its own */
#endif
#define N 2
#define M 16                                      /* positions stay below, so an equal claim word never returns */
#define NONE 3
#define EMPTY 0
#define BUSY 1
#define COMMITTED 2
#define SKIP 3

#define SET(x, st, o) d_lap[(x) % N] = (x) / N; d_state[(x) % N] = st; d_id[(x) % N] = o
#define COUNTS(x) (d_state[(x) % N] != EMPTY && d_lap[(x) % N] == (x) / N)
#define END(c) (c + ((t_start + t_n + M - c) % M))
#ifdef FREEDEAD
#define UNCLAIMED(g) true
#else
#define UNCLAIMED(g) (g == 0 || g % 2 == 1)
#endif
#define NEXT(g) (g + 2 - (g % 2))

byte t_start = 0, t_n = 0, t_id = NONE;           /* the claim word */
byte d_lap[N], d_state[N], d_id[N];               /* the descriptors, one word each */
byte payload[N];                                  /* position + 1 of the record written last */
byte head = 0;                                    /* published consumer position */
byte gen[2], hold[2];
byte crashes = 0, restarts = 0, finished = 0;
byte hh = 0;                                      /* the consumer's own position */
short committed = 0;                              /* ghost: bit x: the record at x is committed */
byte orphan[2];                                   /* ghost: end of the claim that a dead owner left open */

/* STEP does one store, or the process dies before it. */
#define DIES crashes < CRASHES -> crashes++; hold[o] = 0; orphan[o] = (open -> ts + 1 : orphan[o]); goto died
#define STEP(store) if :: atomic { DIES } :: atomic { true -> store } fi
#define SAME (t_start == ts % M && t_n == tn && t_id == ti)
#define DESCRIBED (tn == 0 || (ms != EMPTY && ml == ts / N))
#define RESET ts = 0; tn = 0; ti = 0; ml = 0; ms = 0; h = 0

proctype owner(byte me, o, lives, msgs)
{
	byte g = 0, c = 0, e = 0, ts = 0, tn = 0, ti = 0, ml = 0, ms = 0, h = 0, k = 0;
	bool open = false;

	do
	:: lives > 0 ->
	   lives--;
join:
	   g = gen[o];
	   if
	   :: UNCLAIMED(g) -> skip
	   :: !UNCLAIMED(g) ->
#ifdef EEARLY
	      c = head; e = END(c);
#endif
#ifdef HOLDWAIT
	      if :: atomic { hold[o] == 0 -> hold[o] = me } :: atomic { gen[o] != g -> goto join } fi;
#else
	      if :: hold[o] == 0 -> skip :: atomic { gen[o] != g -> goto join } fi;
#endif
#ifdef GENAFTER
	      g = gen[o];
#endif
#ifndef EEARLY
#ifdef TFIRST
	      atomic { ts = t_start + t_n }
	      atomic { c = head; e = c + ((ts + M - c) % M); ts = 0 }
#else
	      c = head;
	      atomic { e = END(c); c = 0 }
#endif
#endif
#ifndef NOWAIT
	      if :: head >= e -> skip :: atomic { gen[o] != g -> c = 0; e = 0; goto join } fi
#endif
	   fi;
	   atomic { c = 0; e = 0;
#ifdef HOLDWAIT
	      if :: hold[o] == me -> skip :: hold[o] == 0 -> hold[o] = me :: else -> goto join fi
#else
	      if :: hold[o] == 0 -> hold[o] = me :: else -> goto join fi
#endif
	   }
#ifndef NOGEN
	   if :: gen[o] == g :: atomic { gen[o] != g -> hold[o] = 0; goto join } fi;
#endif
#ifndef GENLATE
	   STEP(gen[o] = NEXT(g); g = NEXT(g));
#endif
	   assert(head >= orphan[o]);              /* else a dead owner's claim would look alive */
	   k = msgs;
	   do
	   :: k > 0 ->
claim:
	      atomic { ts = t_start; tn = t_n; ti = t_id; h = head; ts = h + ((ts + tn + M - h) % M) - tn }
	      atomic { if :: tn > 0 -> ml = d_lap[ts % N]; ms = d_state[ts % N] :: else fi }
	      if
	      :: atomic { !SAME -> RESET; goto claim }
	      :: atomic { SAME && DESCRIBED -> skip }
	      :: atomic { SAME && !DESCRIBED -> skip };
#ifdef NOHELP
	         skip
#else
	         STEP(if :: d_lap[ts % N] == ml && d_state[ts % N] == ms -> SET(ts, BUSY, ti) :: else fi)
#endif
	      fi;
	      if :: atomic { ts + tn + 1 - h > N -> (head != h); RESET; goto claim } :: atomic { else -> ml = 0; ms = 0; h = 0 } fi;
	      if
	      :: atomic { !SAME -> RESET; goto claim }
	      :: atomic { SAME -> ts = ts + tn; tn = 0; ti = 0; t_start = ts % M; t_n = 1; t_id = o; open = true }
	      fi;
#ifdef GENLATE
	      STEP(gen[o] = NEXT(g); g = NEXT(g));
#endif
	      if
	      :: atomic { DIES }
	      :: atomic { true -> payload[ts % N] = ts + 1; SET(ts, COMMITTED, 0);
	            assert(hh <= ts);              /* a living owner is never overruled */
	            committed = committed | (1 << ts); k--; ts = 0; open = false }
	      :: break                             /* closes with the claim open */
	      fi
	   :: break
	   od;
#ifdef CLOSEDFIRST
	   STEP(gen[o] = g | 1);
#endif
#ifdef CLOSEOPEN
	   atomic { orphan[o] = (open -> ts + 1 : orphan[o]); ts = 0; open = false }
#else
	   if :: open -> STEP(SET(ts, SKIP, 0); ts = 0; open = false) :: else fi;
#endif
#ifdef UNLOCKFIRST
	   hold[o] = 0;
	   gen[o] = g | 1;
#else
#ifndef CLOSEDFIRST
	   STEP(gen[o] = g | 1);
#endif
	   hold[o] = 0;
#endif
died:
	   atomic { g = 0; c = 0; e = 0; k = 0; open = false; RESET }
	:: else -> break
	od;
	finished++
}

#define LAZILY if :: head = hh :: skip :: restarts < RESTARTS -> restarts++; hh = head fi
#define TAKE hh++; mi = 0; ts = 0; tn = 0; LAZILY
#define STEPOVER assert((committed >> hh) % 2 == 0); TAKE
#ifdef LAZYIDLE
#define IDLE skip
#else
#define IDLE atomic { head = hh }
#endif
#ifdef CACHEDDEATH
#define DEAD (hold[mi] == 0 || proven[mi])
#define PROVEN proven[mi] = true
#else
#define DEAD (hold[mi] == 0)
#define PROVEN skip
#endif

proctype consumer()
{
	byte mi = 0, ts = 0, tn = 0;
#ifdef CACHEDDEATH
	bool proven[4];
#endif

	do
	:: atomic { COUNTS(hh) && d_state[hh % N] == COMMITTED ->
	      assert((committed >> hh) % 2 == 1 && payload[hh % N] == hh + 1); TAKE }
	:: atomic { COUNTS(hh) && d_state[hh % N] == SKIP -> TAKE }
	:: atomic { COUNTS(hh) && d_state[hh % N] == BUSY -> mi = d_id[hh % N] }
	   IDLE;
	   if
	   :: atomic { DEAD -> PROVEN }
#ifdef NOREREAD
	      atomic { STEPOVER }
#else
	      atomic { if :: d_state[hh % N] == BUSY -> STEPOVER :: else -> mi = 0 fi }
#endif
	   :: atomic { d_state[hh % N] != BUSY -> mi = 0 }
	   fi
	:: !COUNTS(hh) ->
	   atomic { ts = t_start; tn = t_n; mi = t_id }
	   if
	   :: atomic { tn > 0 && ts == hh % M -> ts = 0 };                           /* claimed, undescribed */
	      IDLE;
	      if
	      :: atomic { DEAD -> PROVEN }
#ifdef NOREREAD
	         atomic { STEPOVER }
#else
	         atomic { if :: !COUNTS(hh) -> STEPOVER :: else -> mi = 0; tn = 0 fi }
#endif
	      :: atomic { COUNTS(hh) -> mi = 0; tn = 0 }
	      fi
	   :: atomic { (ts + tn) % M == hh % M -> ts = 0; tn = 0; mi = 0 };          /* empty */
	      IDLE;
	      if
	      :: (t_start + t_n) % M != hh % M
	      :: finished == 3 && (t_start + t_n) % M == hh % M -> break
	      fi
	   :: else -> atomic { assert(COUNTS(hh)); ts = 0; tn = 0; mi = 0 }          /* described since */
	   fi
	od
}

init { atomic { run owner(1, 0, A, 1); run owner(2, 0, B, 1); run owner(3, 1, C, 1); run consumer() } }
