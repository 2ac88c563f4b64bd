/* Close of an MPSC ring racing everything: two owners join, claim, commit, abort, close in order (also with a claim open),
 * join again, die at any step, or stay open and idle for ever; both sleep for space. The consumer takes, steps over the
 * dead, sleeps for data, finds the end of the stream, which is not sticky, and may close at any time (-DCCLOSE=1).
 * -DFILLED: the ring starts full, left by an owner that has closed.
 * Sleeping is one flag per sleeper, which whoever rings clears; park.pml and psleep.pml show that it may be.
 *
 * End of stream: nothing is claimed beyond the consumer position; every owner word up to the highest number is read, at
 * least one was used and all are closed or proven dead; THEN the claim word is looked at once more, so that what was
 * committed is delivered first; then the words are read again and must not have changed, so that there was one moment,
 * that look, when nobody was open and nothing was left. (Owner words only grow.)
 *
 * Mutants: NOLOOK (no second look at the claim word), ONESCAN (the owner words are not read again: a producer that joins
 * under a number already passed before the last one closes is overlooked), HIGHESTONCE (nor the highest number),
 * NOOWNER (a ring that nobody has used yet has ended), DEADISOPEN (only closed owners count), PARKBLIND (the look after
 * the announcement does not ask for the end), NORELOOK (no look after the announcement), CLOSESILENT (Close of a producer
 * does not ring), RINGFIRST (it rings before the closed bit), SKIPSILENT (an abort does not ring), CCLOSESILENT (Close of
 * the consumer does not ring), CRINGFIRST (it rings before its closed word), CCLOSEDBLIND (a producer that waits for space
 * does not look at the consumer's closed word after its announcement), WAKEONE (the consumer wakes one of two sleepers),
 * NOREREAD, NOHELP.
 */
#ifndef MSGS
#define MSGS 1                                    /* messages of a life */
#endif
#ifndef A
#define A 2                                       /* lives of the first */
#endif
#ifndef B
#define B 1                                       /* and of the second */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef CCLOSE
#define CCLOSE 0
#endif
#define N 2
#define NONE 3
#define EMPTY 0
#define BUSY 1
#define COMMITTED 2
#define SKIP 3

#define SET(x, st, o) d_lap[(x) % N] = (x) / N; d_state[(x) % N] = st; d_id[(x) % N] = o
#define COUNTS(x) (d_state[(x) % N] != EMPTY && d_lap[(x) % N] == (x) / N)
#define END (t_start + t_n)

byte t_start = 0, t_n = 0, t_id = NONE;           /* the claim word */
byte d_lap[N], d_state[N], d_id[N];               /* the descriptors, one word each */
byte head = 0;                                    /* published consumer position */
byte gen[2], highest = 0;                         /* the owner words, as in owners.pml; the highest number used */
bool hold[2];                                     /* the lock on the number */
bool cclosed = false;                             /* the consumer's closed word */
bool parked = false, pparked[2];                  /* announced sleeps: the consumer's, the producers' */
byte crashes = 0, finished = 0;
byte hh = 0;                                      /* the consumer's own position */
short committed = 0;                              /* ghost: bit x: the record at x is committed */
byte live = 0; bool used = false;                 /* ghosts: owners open and alive; whether there was one */

#define DIES crashes < CRASHES -> crashes++; hold[p] = false; parked = false; live = (gen[p] > 0 && gen[p] % 2 == 0 -> live - 1 : live); lives = 0; goto died
#define STEP(store) if :: atomic { DIES } :: atomic { true -> store } fi
#define SAME (t_start == ts && t_n == tn && t_id == ti)
#define DESCRIBED (tn == 0 || (ms != EMPTY && ml == ts / N))
#define RESET ts = 0; tn = 0; ti = 0; ml = 0; ms = 0; h = 0
#define FULL (ts + tn + 1 - h > N)
#define RING STEP(parked = false)

proctype producer(byte p, lives)
{
	byte ts = 0, tn = 0, ti = 0, ml = 0, ms = 0, h = 0, k = 0;
	bool open = false, announced = false;

	do
	:: lives > 0 ->
	   lives--;
	   hold[p] = true;
	   STEP(highest = (p + 1 > highest -> p + 1 : highest));
	   STEP(gen[p] = gen[p] + 2 - (gen[p] % 2); live++; used = true);
	   k = MSGS;
	   do
	   :: k > 0 ->
claim:
	      atomic { ts = t_start; tn = t_n; ti = t_id; h = head }
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
	      if
	      :: FULL && announced -> atomic { RESET }
#ifndef CCLOSEDBLIND
	         if :: cclosed -> announced = false; pparked[p] = false; goto close :: else fi;
#endif
	         (!pparked[p]); announced = false; goto claim
	      :: FULL && !announced -> atomic { RESET }
	         if :: cclosed -> goto close :: else fi;
	         RING; STEP(pparked[p] = true; announced = true); goto claim
	      :: atomic { !FULL -> ml = 0; ms = 0; h = 0; announced = false; pparked[p] = false }
	      fi;
	      if
	      :: atomic { !SAME -> RESET; goto claim }
	      :: atomic { SAME -> ts = ts + tn; tn = 0; ti = 0; t_start = ts; t_n = 1; t_id = p; open = true }
	      fi;
	      if
	      :: atomic { DIES }
	      :: atomic { true -> SET(ts, COMMITTED, 0); assert(hh <= ts); committed = committed | (1 << ts) }; RING
	      :: atomic { true -> SET(ts, SKIP, 0) };      /* abort */
#ifndef SKIPSILENT
	         RING
#endif
	      :: goto close
	      fi;
	      atomic { k--; ts = 0; open = false }
	   :: goto close
	   od;
close:
	   if
	   :: atomic { !open && lives == 0 -> goto died }      /* stays open for ever */
	   :: atomic { open -> SET(ts, SKIP, 0); ts = 0; open = false }
	   :: !open
	   fi;
#ifdef RINGFIRST
	   RING;
#endif
	   STEP(gen[p] = gen[p] | 1; live--);
#ifndef RINGFIRST
#ifndef CLOSESILENT
	   RING;
#endif
#endif
	   hold[p] = false;
died:
	   atomic { k = 0; open = false; announced = false; pparked[p] = false; RESET }
	:: else -> break
	od;
	finished++
}

#ifdef WAKEONE
#define RINGALL if :: atomic { pparked[0] -> pparked[0] = false } :: atomic { pparked[1] -> pparked[1] = false } :: atomic { !pparked[0] && !pparked[1] } fi
#else
#define RINGALL atomic { pparked[0] = false; pparked[1] = false }
#endif
#define TAKE hh++; mi = 0; ts = 0; tn = 0
#define STEPOVER assert((committed >> hh) % 2 == 0); TAKE

proctype consumer()
{
	byte mi = 0, ts = 0, tn = 0, hi = 0, g0 = 0, g1 = 0;
	bool announced = false, seen = false, moment = false;

look:
	atomic { hi = 0; g0 = 0; g1 = 0; seen = false; moment = false }
	if
	:: atomic { COUNTS(hh) && d_state[hh % N] == COMMITTED -> assert((committed >> hh) % 2 == 1); TAKE } goto found
	:: atomic { COUNTS(hh) && d_state[hh % N] == SKIP -> TAKE } goto found
	:: atomic { COUNTS(hh) && d_state[hh % N] == BUSY -> mi = d_id[hh % N] }
	   if
	   :: !hold[mi] ->
#ifdef NOREREAD
	      atomic { STEPOVER } goto found
#else
	      atomic { if :: d_state[hh % N] == BUSY -> STEPOVER; goto found :: else -> mi = 0; goto look fi }
#endif
	   :: hold[mi] -> mi = 0; goto nothing
	   fi
	:: !COUNTS(hh) ->
	   atomic { ts = t_start; tn = t_n; mi = t_id }
	   if
	   :: atomic { tn > 0 && ts == hh -> ts = 0 }
	      if
	      :: !hold[mi] -> atomic { if :: !COUNTS(hh) -> STEPOVER; goto found :: else -> mi = 0; tn = 0; goto look fi }
	      :: atomic { hold[mi] -> mi = 0; tn = 0; goto nothing }
	      fi
	   :: atomic { ts + tn == hh -> ts = 0; tn = 0; mi = 0; goto atend }
	   :: atomic { else -> assert(COUNTS(hh)); ts = 0; tn = 0; mi = 0; goto look }
	   fi
	fi;
atend:
#ifdef PARKBLIND
	if :: announced -> goto nothing :: else fi;
#endif
	hi = highest;
	if
	:: hi > 0 -> g0 = gen[0];
	   if
	   :: g0 == 0
	   :: g0 % 2 == 1 -> seen = true
#ifdef DEADISOPEN
	   :: g0 > 0 && g0 % 2 == 0 -> goto nothing
#else
	   :: g0 > 0 && g0 % 2 == 0 -> if :: hold[0] -> goto nothing :: !hold[0] -> seen = true fi
#endif
	   fi
	:: else
	fi;
	if
	:: hi > 1 -> g1 = gen[1];
	   if
	   :: g1 == 0
	   :: g1 % 2 == 1 -> seen = true
#ifdef DEADISOPEN
	   :: g1 > 0 && g1 % 2 == 0 -> goto nothing
#else
	   :: g1 > 0 && g1 % 2 == 0 -> if :: hold[1] -> goto nothing :: !hold[1] -> seen = true fi
#endif
	   fi
	:: else
	fi;
#ifndef NOOWNER
	if :: !seen -> goto nothing :: else fi;
#endif
#ifdef NOLOOK
	moment = (END == hh && live == 0 && used);
#else
	atomic { if :: END != hh -> goto look :: else -> moment = (live == 0 && used) fi }
#endif
#ifndef ONESCAN
#ifndef HIGHESTONCE
	if :: highest != hi -> goto look :: else fi;
#endif
	if :: hi > 0 && gen[0] != g0 -> goto look :: else fi;
	if :: hi > 1 && gen[1] != g1 -> goto look :: else fi;
#endif
	assert(moment);                                /* one moment when nobody was open and nothing was left */
	atomic { parked = false; announced = false; hi = 0; g0 = 0; g1 = 0; seen = false; moment = false }
	head = hh; RINGALL;
	if
	:: finished == 2 && live == 0 && END == hh -> goto done
	:: END != hh || live > 0 -> goto look          /* somebody has joined since: the stream goes on */
	fi;
nothing:
	atomic { hi = 0; g0 = 0; g1 = 0; seen = false }
	head = hh; RINGALL;
	if
	:: !announced -> parked = true; announced = true;
#ifdef NORELOOK
	   goto sleep
#else
	   goto look
#endif
	:: announced
	fi;
sleep:
	if
	:: atomic { !parked -> announced = false; goto look }
#if CCLOSE > 0
	:: goto cclose
#endif
	:: atomic { parked && finished == 2 && live > 0 -> assert(END == hh); goto done }   /* all idle */
	fi;
found:
	atomic { parked = false; announced = false }
	if
	:: head = hh; RINGALL                          /* publishes lazily */
	:: skip
#if CCLOSE > 0
	:: goto cclose
#endif
	fi;
	goto look;
#if CCLOSE > 0
cclose:
	head = hh;
#ifdef CRINGFIRST
	RINGALL;
#endif
	cclosed = true;
#ifndef CRINGFIRST
#ifndef CCLOSESILENT
	RINGALL;
#endif
#endif
	goto done;
#endif
done:
	skip
}

init { atomic {
#ifdef FILLED
	SET(0, COMMITTED, 0); SET(1, COMMITTED, 0); t_start = 1; t_n = 1; t_id = 1; committed = 3;
	gen[1] = 3; highest = 2; used = true;
#endif
	run producer(0, A); run producer(1, B); run consumer() } }
