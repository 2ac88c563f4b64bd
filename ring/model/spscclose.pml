/* Close of an SPSC ring racing everything: either side may close or die at any step, while the other takes or commits,
 * sleeps for data or for space. Records of one and two slots, padding (the record's descriptor first, the SKIP last), a
 * consumer that publishes lazily. Positions are modulo P = 16, which stands for 2^64, and start at START; so the closed
 * word (final position + 1, 0 = open) meets the position whose successor is 0: Close steps over it with a padding of one
 * slot, for which a record that ends there has left room.
 * Sleeping is one flag per sleeper, which whoever rings clears (park.pml); gone[] is what the surroundings tell: the
 * other side has ended, in order or not. -DGIVEUP: a sleeper may give up and close.
 *
 * Mutants: NOLOOK (no second look for a record after the closed word was seen), NOLAST (nor after the other side was
 * seen gone), GONEWINS (a side that is gone has died, whatever its closed word says), CLOSEDFIRST (Close at the position
 * whose successor is 0 stores the closed word before the padding), NOSTEP (it stores it as it is), NOSPARE (a record that
 * ends there may fill the ring), CZERO (the consumer's closed word may become 0), CLOSESILENT, RINGFIRST (Close of the
 * producer does not ring, or rings before the closed word), PARKBLIND (the look after the announcement is for a record
 * only), CCLOSESILENT, CRINGFIRST, CPARKBLIND (the same of the consumer's Close).
 */
#ifndef START
#define START 10
#endif
#ifndef MSGS
#define MSGS 4
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define N 4
#define P 16
#define EMPTY 0
#define COMMITTED 2
#define SKIP 3

#define LEFT(x) (N - (x % N))
#define PLUS(x, n) ((x + n) % P)
#define MINUS(x, y) ((x + P - y) % P)
#define SET(x, st, sl) d_lap[(x) % N] = (x) / N; d_state[(x) % N] = st; d_n[(x) % N] = sl
#define COUNTS(x) (d_state[x % N] != EMPTY && d_lap[x % N] == x / N)

byte d_lap[N], d_state[N], d_n[N];                /* the descriptors, one word each */
byte slot[N];                                     /* number of the record that wrote it last */
byte head = START;                                /* published consumer position */
byte closed = 0, cclosed = 0;                     /* the closed words */
bool parked = false, pparked = false;             /* announced sleeps: the consumer's, the producer's */
bool gone[2], died[2];                            /* 0 producer, 1 consumer; died is a ghost */
byte crashes = 0;
byte committed = 0, delivered = 0;                /* ghosts: records */

#define STEP(store) if :: atomic { crashes < CRASHES -> crashes++; died[0] = true; goto ended } :: atomic { true -> store } fi
#define RING STEP(parked = false)

#ifdef NOSPARE
#define GRANTED (need <= N - MINUS(pos, cons))
#else
#define GRANTED (need < N - MINUS(pos, cons) || (need == N - MINUS(pos, cons) && PLUS(pos, need) != P - 1))
#endif

proctype producer()
{
	byte pos = START, cons = START, n = 0, need = 0, k = 0, c = 0;
	bool announced = false;

	do
	:: k < MSGS ->
	   atomic { if :: n = 1 :: n = 2 fi; need = (n > LEFT(pos) -> n + LEFT(pos) : n) }
space:
	   atomic { c = head; assert(MINUS(c, cons) <= MINUS(pos, cons)); cons = c; c = 0 }
	   if
	   :: GRANTED -> atomic { announced = false; pparked = false }
	   :: !GRANTED && !announced ->
	      if :: cclosed != 0 || gone[1] -> goto close :: else fi;
	      RING; STEP(pparked = true; announced = true); goto space
	   :: !GRANTED && announced ->
#ifndef CPARKBLIND
	      if :: cclosed != 0 -> goto close :: else fi;
#endif
	      if :: gone[1] -> goto close :: else fi;
	      if
	      :: atomic { !pparked -> announced = false; goto space }
#ifdef GIVEUP
	      :: goto close
#endif
	      fi
	   fi;
	   if
	   :: need > n ->
	      STEP(c = PLUS(pos, LEFT(pos)); slot[0] = k + 1; slot[1] = (n == 2 -> k + 1 : slot[1]); SET(c, COMMITTED, n); c = 0);
	      STEP(SET(pos, SKIP, LEFT(pos)); k++; committed = k)
	   :: need == n ->
	      STEP(slot[pos % N] = k + 1; if :: n == 2 -> slot[(pos + 1) % N] = k + 1 :: else fi; SET(pos, COMMITTED, n); k++; committed = k)
	   fi;
	   atomic { pos = PLUS(pos, need); n = 0; need = 0 }
	   RING
	:: goto close
	od;
close:
	atomic { n = 0; need = 0; announced = false; pparked = false }
#ifdef CLOSEDFIRST
	STEP(closed = (pos == P - 1 -> 1 : pos + 1));
#endif
#ifndef NOSTEP
	if :: pos == P - 1 -> STEP(SET(pos, SKIP, 1)); atomic { pos = 0 } RING :: else fi;
#endif
#ifdef RINGFIRST
	RING;
#endif
#ifndef CLOSEDFIRST
	STEP(closed = PLUS(pos, 1));
#endif
#ifndef RINGFIRST
#ifndef CLOSESILENT
	RING;
#endif
#endif
	goto stays;
ended:
	atomic { pos = 0; cons = 0; n = 0; need = 0; k = 0; c = 0; announced = false; pparked = false }
	atomic { gone[0] = true; parked = false }
	goto done;
stays:
	if :: goto ended :: goto done fi;                 /* its process may live on */
done:
	atomic { pos = 0; cons = 0; k = 0 }
}

#define CSTEP(store) if :: atomic { crashes < CRASHES -> crashes++; died[1] = true; goto ended } :: atomic { true -> store } fi
#define TAKE \
	n = d_n[h % N]; assert(n <= LEFT(h)); \
	if \
	:: d_state[h % N] == COMMITTED -> \
	   assert(delivered < committed && slot[h % N] == delivered + 1); \
	   assert(n == 1 || slot[(h + 1) % N] == delivered + 1); delivered++ \
	:: else \
	fi; \
	h = PLUS(h, n); n = 0; cl = 0

proctype consumer()
{
	byte h = START, n = 0, cl = 0;
	bool announced = false, last = false;

look:
	if
	:: atomic { COUNTS(h) -> TAKE } goto found
	:: atomic { !COUNTS(h) -> skip }
	fi;
	if :: head != h -> CSTEP(head = h); CSTEP(pparked = false) :: else fi;
#ifdef PARKBLIND
	if :: announced -> goto nothing :: else fi;
#endif
	cl = closed;
	if
	:: cl == 0 -> goto nothing
	:: cl != 0
	fi;
#ifndef NOLOOK
	if
	:: atomic { COUNTS(h) -> TAKE } goto found
	:: atomic { !COUNTS(h) -> skip }
	fi;
#endif
	atomic { assert(MINUS(cl, 1) == h);                   /* an honest closed word never looks impossible */
	   assert(delivered == committed); cl = 0 }           /* io.EOF */
	goto stays;
nothing:
	if
	:: last -> atomic { assert(died[0] && delivered == committed); last = false } goto stays
	:: !last
	fi;
#ifdef GONEWINS
	if :: gone[0] -> atomic { assert(died[0] && delivered == committed) } goto stays :: else fi;
#else
#ifdef NOLAST
	if :: gone[0] -> atomic { assert(delivered == committed) } goto stays :: else fi;
#else
	if :: atomic { gone[0] -> last = true; goto look } :: else fi;
#endif
#endif
	if
	:: atomic { !announced -> announced = true; parked = true; goto look }
	:: announced
	fi;
	if
	:: atomic { !parked -> announced = false; goto look }
#ifdef GIVEUP
	:: goto close
#endif
	fi;
found:
	atomic { parked = false; announced = false; last = false }
	if
	:: CSTEP(head = h); CSTEP(pparked = false)
	:: skip                                               /* lazily */
	:: goto close
	fi;
	goto look;
close:
	CSTEP(head = h);
#ifdef CRINGFIRST
	CSTEP(pparked = false);
#endif
#ifdef CZERO
	CSTEP(cclosed = PLUS(h, 1));
#else
	CSTEP(cclosed = (PLUS(h, 1) == 0 -> 1 : PLUS(h, 1)));
#endif
#ifndef CRINGFIRST
#ifndef CCLOSESILENT
	CSTEP(pparked = false);
#endif
#endif
stays:
	if :: goto ended :: goto done fi;
ended:
	atomic { gone[1] = true; pparked = false }
done:
	atomic { h = 0; parked = false; announced = false; last = false }
}

init { atomic { run producer(); run consumer() } }
