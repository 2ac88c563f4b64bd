/* MPSC batches: one CAS of the claim word claims the slots of several records. The owner writes the inner records and
 * their descriptors first and the first descriptor last, and may die between any two stores; the claim may be aborted as
 * late as that, by a SKIP over all of it. The consumer takes the records one by one and publishes its position lazily, so
 * a helper may look while it stands in the middle of a batch; it may be restarted once where it published last.
 * Records of one and two slots, no claim crosses the end, padding is a claim of its own.
 *
 * Mutants: FORWARD (first descriptor before the inner ones), PAYLOADLATE (payload of the last record after the first
 * descriptor), STEPRECORD (a dead owner's batch is stepped over record by record), ABORTRECORD (the SKIP of an abort
 * covers the first record only), CLAIMRECORD (the claim word tells the slots of the first record only), SPACERECORD
 * (space is tested for the first record only), NOCUT (the batch is not cut at the end of the ring), PUBLISHCLAIM (the
 * position is published before the record has been read), ABORTSILENT (an abort leaves the claim undescribed),
 * NOHELP, NOVALIDATE, NOREREAD as in mpsc.pml.
 */
#ifndef N
#define N 4
#endif
#ifndef MSGS
#define MSGS 2
#endif
#ifndef OTHER
#define OTHER MSGS                                /* records of the second producer */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef ABORTS
#define ABORTS 1
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
#define NONE 3
#define EMPTY 0
#define BUSY 1
#define COMMITTED 2
#define SKIP 3

#define SIZE(k) (1 + (((k) + p) % 2))             /* slots of the k-th record of producer p */
#define LEFT(x) (N - ((x) % N))
#define SET(x, st, sl, o) d_lap[(x) % N] = (x) / N; d_state[(x) % N] = st; d_n[(x) % N] = sl; d_id[(x) % N] = o
#define COUNTS(x) (d_state[(x) % N] != EMPTY && d_lap[(x) % N] == (x) / N)
#define FILL(x, k) payload[(x) % N] = p * 8 + (k) + 1; if :: SIZE(k) == 2 -> payload[((x) + 1) % N] = p * 8 + (k) + 1 :: else fi

byte t_start = 0, t_n = 0, t_id = NONE;           /* the claim word */
byte d_lap[N], d_state[N], d_n[N], d_id[N];       /* the descriptors, one word each */
byte payload[N];
byte head = 0;                                    /* published consumer position */
bool parked = false, wake = false;
bool dead[2], done[2];
byte crashes = 0, aborts = 0, restarts = 0;
byte committed[2], delivered[2], given[2];        /* ghosts: records; given = delivered at the last publication */

/* STEP does one store, or the producer dies before it. */
#define DIES crashes < CRASHES -> crashes++; dead[p] = true; wake = true; goto out
#define STEP(store) if :: atomic { DIES } :: atomic { true -> store } fi
#define FLUSH if :: atomic { parked -> parked = false }; STEP(wake = true) :: !parked fi
#define SAME (t_start == ts && t_n == tn && t_id == ti)
#define DESCRIBED (tn == 0 || (ms != EMPTY && ml == ts / N))

#ifdef NOCUT
#define CUT false
#define ROOM true
#else
#define CUT (SIZE(k) > LEFT(q))
#define ROOM (n + SIZE(k + m) <= LEFT(q))
#endif
#ifdef SPACERECORD
#define FREE (q + SIZE(k) - h <= N)
#else
#define FREE (q + n + SIZE(k + m) - h <= N)
#endif

proctype producer(byte p, msgs)
{
	byte k = 0, ts = 0, tn = 0, ti = 0, ml = 0, ms = 0, h = 0, n = 0, m = 0, want = 0, i = 0, q = 0;
	bool pad = false;

	do
	:: k < msgs ->
claim:
	   atomic { ts = t_start; tn = t_n; ti = t_id; h = head }
	   atomic { if :: tn > 0 -> ml = d_lap[ts % N]; ms = d_state[ts % N] :: else fi }
#ifdef NOVALIDATE
	   if
	   :: atomic { DESCRIBED -> skip }
	   :: atomic { !DESCRIBED -> skip };
#else
	   if
	   :: atomic { !SAME -> ml = 0; ms = 0; goto claim }
	   :: atomic { SAME && DESCRIBED -> skip }
	   :: atomic { SAME && !DESCRIBED -> skip };
#endif
#ifdef NOHELP
	      skip
#else
	      STEP(if :: d_lap[ts % N] == ml && d_state[ts % N] == ms -> SET(ts, BUSY, tn, ti) :: else fi)
#endif
	   fi;
	   /* as many records as are free and left before the end, or the padding */
	   atomic {
	      if :: want = 1 :: msgs - k > 1 -> want = msgs - k fi;
	      q = ts + tn; n = 0; m = 0; pad = false; ml = 0; ms = 0;
	      if
	      :: CUT ->
	         if :: q + LEFT(q) - h <= N -> pad = true; n = LEFT(q); m = 1 :: else fi
	      :: else ->
	         do :: m < want && ROOM && FREE -> n = n + SIZE(k + m); m++ :: else -> break od
	      fi;
	      want = 0; q = 0;
#ifdef CLAIMRECORD
	      if :: m > 0 && !pad -> n = SIZE(k) :: else fi;
#endif
	      if
	      :: m == 0 -> (head != h); h = 0; goto claim
	      :: else
	      fi;
	      h = 0
	   }
	   if
	   :: atomic { !SAME -> n = 0; m = 0; pad = false; goto claim }
	   :: atomic { SAME -> ts = ts + tn; tn = 0; ti = 0; t_start = ts; t_n = n; t_id = p }
	   fi;
	   if :: pad -> STEP(SET(ts, SKIP, n, 0); ts = 0; n = 0; m = 0; pad = false); FLUSH; goto claim :: else fi;
#ifdef FORWARD
	   STEP(FILL(ts, k); SET(ts, COMMITTED, SIZE(k), 0); committed[p] = committed[p] + m);
#endif
	   atomic { FILL(ts, k); q = ts + SIZE(k); i = 1 }
	   do
	   :: i < m ->
#ifdef PAYLOADLATE
	      STEP(if :: i + 1 < m -> FILL(q, k + i) :: else fi; SET(q, COMMITTED, SIZE(k + i), 0); q = q + SIZE(k + i); i++)
#else
	      STEP(FILL(q, k + i); SET(q, COMMITTED, SIZE(k + i), 0); q = q + SIZE(k + i); i++)
#endif
	   :: else -> break
	   od;
	   atomic { q = 0; i = 0 }
#ifndef FORWARD
	   if
	   :: atomic { DIES }
#ifdef ABORTSILENT
	   :: atomic { aborts < ABORTS -> aborts++; goto claim }
#else
#ifdef ABORTRECORD
	   :: atomic { aborts < ABORTS -> aborts++; SET(ts, SKIP, SIZE(k), 0); m = 0 }
#else
	   :: atomic { aborts < ABORTS -> aborts++; SET(ts, SKIP, n, 0); m = 0 }
#endif
#endif
	   :: atomic { SET(ts, COMMITTED, SIZE(k), 0); committed[p] = committed[p] + m }
	   fi;
#endif
#ifdef PAYLOADLATE
	   if :: m > 1 -> STEP(q = ts + n - SIZE(k + m - 1); FILL(q, k + m - 1); q = 0) :: else fi;
#endif
	   FLUSH;
	   atomic { k = k + m; ts = 0; n = 0; m = 0 }
	:: else -> break
	od;
out:
	atomic { k = 0; ts = 0; tn = 0; ti = 0; ml = 0; ms = 0; h = 0; n = 0; m = 0; i = 0; q = 0; pad = false; done[p] = true }
}

#define TAKEN(slots) hh = hh + slots; mn = 0; mi = 0; ts = 0; tn = 0; ti = 0; LAZILY
#define LAZILY if \
	:: head = hh; given[0] = delivered[0]; given[1] = delivered[1] \
	:: skip \
	:: restarts < RESTARTS -> restarts++; hh = head; delivered[0] = given[0]; delivered[1] = given[1] \
	fi

proctype consumer()
{
	byte hh = 0, mn = 0, mi = 0, ts = 0, tn = 0, ti = 0;

again:
	do
	:: atomic { COUNTS(hh) && d_state[hh % N] == COMMITTED ->
	      mn = d_n[hh % N];
#ifdef PUBLISHCLAIM
	      head = hh + mn;
	   }
	   atomic {
#endif
	      mi = payload[hh % N] / 8;
	      assert(mn <= LEFT(hh));                                                /* no record crosses the end */
	      assert(delivered[mi] < committed[mi]);                                 /* not invented */
	      assert(payload[hh % N] % 8 == delivered[mi] + 1);                      /* in producer order, once */
	      assert(mn == 1 || payload[(hh + 1) % N] == payload[hh % N]);           /* whole */
	      delivered[mi]++; TAKEN(mn)
	   }
	:: atomic { COUNTS(hh) && d_state[hh % N] == SKIP -> mn = d_n[hh % N]; assert(mn <= LEFT(hh)); TAKEN(mn) }
	:: atomic { COUNTS(hh) && d_state[hh % N] == BUSY -> mn = d_n[hh % N]; mi = d_id[hh % N]; assert(mn <= LEFT(hh)) }
	   if :: dead[mi] :: else -> break fi;
#ifdef STEPRECORD
	   mn = 1;
#endif
#ifdef NOREREAD
	   atomic { TAKEN(mn) }
#else
	   atomic { if :: d_state[hh % N] == BUSY -> TAKEN(mn) :: else -> mn = 0; mi = 0 fi }
#endif
	:: !COUNTS(hh) ->
	   atomic { ts = t_start; tn = t_n; ti = t_id }
	   if
	   :: tn > 0 && ts == hh ->                                                  /* claimed, undescribed */
	      if :: dead[ti] :: else -> break fi;
	      atomic { if :: !COUNTS(hh) -> TAKEN(tn) :: else -> ts = 0; tn = 0; ti = 0 fi }
	   :: ts + tn == hh -> break                                                 /* empty */
	   :: else -> atomic { assert(COUNTS(hh)); ts = 0; tn = 0; ti = 0 }          /* described since */
	   fi
	od;
	atomic { head = hh; given[0] = delivered[0]; given[1] = delivered[1]; mn = 0; mi = 0; ts = 0; tn = 0; ti = 0 }
	parked = true;
	if
	:: atomic { COUNTS(hh) && d_state[hh % N] != BUSY -> parked = false; goto again }
	:: else
	fi;
	if
	:: atomic { wake -> wake = false; parked = false; goto again }
	:: atomic { !wake && done[0] && done[1] ->
	      assert(t_start + t_n == hh);                                           /* nothing stuck behind the dead */
	      assert(delivered[0] == committed[0] && delivered[1] == committed[1]) } /* nothing committed is lost */
	fi
}

init { atomic { run producer(0, MSGS); run producer(1, OTHER); run consumer() } }
