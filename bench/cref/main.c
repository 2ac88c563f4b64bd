// cref CPU CPU RING PRODUCERS: one process on each processor, further producers on the first, and commands on standard
// input, a line each:
//
//	pingpong|roundtrip|slottrip|stream|inplace|mpsc SIZE RING BATCH NANOSECONDS [fixed]
//
// Each is answered by a line "ok MESSAGES P50 P99" (ns; of a stream: per message, percentiles of blocks) or "error TEXT".
// fixed asks for code compiled for messages of this size. RING (bytes of messages) is the largest that will be asked for. Only mpsc has more than one producer, and has all.
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cref.h"

static const struct {
	const char *name;
	lead_function *lead;
	follow_function *follow, *help;
	void (*clear)(const struct side *, const struct command *); // beside the words that are always cleared
} kinds[] = {
	{"pingpong", pingpong_lead, pingpong_follow, NULL, NULL},
	{"roundtrip", roundtrip_lead, roundtrip_follow, NULL, NULL},
	{"slottrip", slottrip_lead, slottrip_follow, NULL, slots_clear},
	{"stream", stream_lead, stream_follow, NULL, NULL},
	{"inplace", inplace_lead, inplace_follow, NULL, NULL},
	{"mpsc", mpsc_lead, mpsc_follow, mpsc_help, slots_clear},
};

// A process other than the lead: the follower, or a helper.
struct other {
	int commands, done; // the lead's ends of the pipes to it
};

static struct other others[MAX_PRODUCERS]; // the follower is the first
static const struct side *here;

static int kind_of(const struct command *c)
{
	for (int i = 0; i < (int)(sizeof kinds / sizeof *kinds); i++)
		if (strcmp(kinds[i].name, c->name) == 0)
			return i;
	return -1;
}

_Noreturn static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0)
		die("sched_setaffinity");
}

// touch gives this process its mapping of every page before anything is timed.
static void touch(const struct side *s)
{
	volatile unsigned char *p = s->shared->rings;
	for (size_t i = 0; i < 4 * s->ring_room; i += 4096)
		(void)p[i];
}

static void obey(const struct side *s, int commands, int done, pid_t leader)
{
	struct command c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != leader)
		exit(1);
	touch(s);
	while (read(commands, &c, sizeof c) == (ssize_t)sizeof c) {
		int kind = kind_of(&c);
		if (write(done, "s", 1) != 1)
			exit(1);
		(s->number == 0 ? kinds[kind].follow : kinds[kind].help)(s, &c);
		if (write(done, "d", 1) != 1)
			exit(1);
	}
	exit(0);
}

// start makes a process that obeys, on its processor.
static void start(struct side s, struct other *o, unsigned number, int cpu, pid_t leader)
{
	int commands[2], done[2];

	if (pipe(commands) != 0 || pipe(done) != 0)
		die("pipe");
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		for (struct other *before = others; before < o; before++)
			close(before->commands); // else they would not see that the lead has ended
		close(commands[1]);
		close(done[0]);
		pin(cpu);
		s.number = number;
		obey(&s, commands[0], done[1], leader);
	}
	close(commands[0]);
	close(done[1]);
	*o = (struct other){commands[1], done[0]};
}

// lost is what the lead does when another process ends too early: it says why and waits for nobody.
static void lost(int signal)
{
	const char *text = here->shared->report.error[0] ? here->shared->report.error : "another process ended";

	(void)signal;
	if (write(1, "error ", 6) == 6 && write(1, text, strlen(text)) > 0 && write(1, "\n", 1) == 1)
		_exit(1);
	_exit(1);
}

static int told(int fd, char want)
{
	char got;
	return read(fd, &got, 1) == 1 && got == want;
}

static void reset(struct shared *m)
{
	for (int i = 0; i < PAIRS; i++)
		m->ping[i].v = m->pong[i].v = 0;
	for (int i = 0; i < 2; i++)
		m->head[i].v = m->tail[i].v = 0;
	memset(&m->report, 0, sizeof m->report);
}

static void begin(struct other *o, const struct command *c)
{
	if (write(o->commands, c, sizeof *c) != (ssize_t)sizeof *c || !told(o->done, 's'))
		die("another process");
}

static void run(const struct side *s, struct command *c)
{
	struct result r = {0};
	struct shared *m = s->shared;
	int kind = kind_of(c), ended = 0;
	unsigned running = kinds[kind].help ? s->producers : 1;

	reset(m);
	if (kinds[kind].clear)
		kinds[kind].clear(s, c);
	alarm(20); // whatever goes wrong, nobody spins for ever
	c->deadline = now() + c->nanoseconds;
	for (unsigned i = 0; i < running; i++)
		begin(&others[i], c);
	kinds[kind].lead(s, c, &r);
	for (unsigned i = 0; i < running; i++)
		ended += told(others[i].done, 'd');
	alarm(0);
	if (ended < (int)running || r.error) {
		printf("error %s\n", r.error ? r.error : "another process ended");
		return;
	}
	if (m->report.messages > 0)
		r = (struct result){m->report.messages, m->report.p50, m->report.p99, NULL};
	printf("ok %llu %.3f %.3f\n", (unsigned long long)r.messages, r.p50, r.p99);
}

static int sane(const struct side *s, const struct command *c)
{
	return kind_of(c) >= 0 && c->size >= 8 && c->size % 8 == 0 && c->ring <= s->ring_room && c->ring / c->size >= 2 &&
		(c->ring / c->size & (c->ring / c->size - 1)) == 0 && c->ring % c->size == 0 && c->batch >= 1 &&
		(!c->fixed || has_fixed(c->size)) && (kinds[kind_of(c)].help == NULL || c->batch <= c->ring / c->size);
}

int main(int argc, char **argv)
{
	struct side s = {0};
	int cpu[2];
	char line[256];
	pid_t leader = getpid();

	if (argc != 5 || (s.producers = (unsigned)atoi(argv[4])) < 1 || s.producers > MAX_PRODUCERS) {
		fprintf(stderr, "usage: cref CPU CPU RING PRODUCERS (at most %d)\n", MAX_PRODUCERS);
		return 2;
	}
	make_pattern();
	cpu[0] = atoi(argv[1]);
	cpu[1] = atoi(argv[2]);
	s.yields = cpu[0] == cpu[1];
	s.ring_room = strtoul(argv[3], NULL, 10);
	s.shared = mmap(NULL, sizeof *s.shared + 4 * s.ring_room, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (s.shared == MAP_FAILED)
		die("mmap");
	here = &s;
	signal(SIGCHLD, lost);
	start(s, &others[0], 0, cpu[1], leader);
	for (unsigned i = 1; i < s.producers; i++)
		start(s, &others[i], i, cpu[0], leader);
	pin(cpu[0]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin)) {
		struct command c;
		unsigned long long batch, ns;
		char fixed[8] = "";
		memset(&c, 0, sizeof c);
		if (sscanf(line, "%15s %zu %zu %llu %llu %7s", c.name, &c.size, &c.ring, &batch, &ns, fixed) < 5) {
			printf("error command not understood\n");
			continue;
		}
		c.batch = batch;
		c.nanoseconds = ns;
		c.fixed = strcmp(fixed, "fixed") == 0;
		if (!sane(&s, &c)) {
			printf("error impossible command\n");
			continue;
		}
		run(&s, &c);
	}
	signal(SIGCHLD, SIG_DFL);
	for (unsigned i = 0; i < s.producers; i++)
		close(others[i].commands);
	while (wait(NULL) > 0)
		;
	return 0;
}
