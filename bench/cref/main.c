// cref CPU CPU RING: one process on each processor, and commands on standard input, a line each:
//
//	pingpong|roundtrip|stream SIZE RING BATCH NANOSECONDS
//
// Each is answered by a line "ok MESSAGES P50 P99" (ns; of a stream: per message, percentiles of blocks) or "error TEXT".
// RING (bytes) is the largest that will be asked for.
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
	void (*lead)(const struct side *, const struct command *, struct result *);
	void (*follow)(const struct side *, const struct command *);
} kinds[] = {
	{"pingpong", pingpong_lead, pingpong_follow},
	{"roundtrip", roundtrip_lead, roundtrip_follow},
	{"stream", stream_lead, stream_follow},
};

unsigned char pattern[2 * CHUNK];

void make_pattern(void)
{
	uint64_t v = 1;
	for (size_t i = 0; i < sizeof pattern; i += sizeof v) {
		v = v * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		memcpy(pattern + i, &v, sizeof v);
	}
}

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
	volatile unsigned char *p = s->shared->slots;
	for (size_t i = 0; i < 2 * s->ring_room; i += 4096)
		(void)p[i];
}

static void follow(const struct side *s, int commands, int done, pid_t leader)
{
	struct command c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != leader)
		exit(1);
	touch(s);
	while (read(commands, &c, sizeof c) == (ssize_t)sizeof c) {
		if (write(done, "s", 1) != 1)
			exit(1);
		kinds[kind_of(&c)].follow(s, &c);
		if (write(done, "d", 1) != 1)
			exit(1);
	}
	exit(0);
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

static void run(const struct side *s, const struct command *c, int commands, int done)
{
	struct result r = {0};
	struct shared *m = s->shared;

	reset(m);
	alarm(20); // whatever goes wrong, nobody spins for ever
	if (write(commands, c, sizeof *c) != (ssize_t)sizeof *c || !told(done, 's'))
		die("peer");
	kinds[kind_of(c)].lead(s, c, &r);
	if (!told(done, 'd') || m->report.error[0] || r.error) {
		printf("error %s\n", m->report.error[0] ? m->report.error : r.error ? r.error : "the peer ended");
		return;
	}
	alarm(0);
	if (m->report.messages > 0)
		r = (struct result){m->report.messages, m->report.p50, m->report.p99, NULL};
	printf("ok %llu %.3f %.3f\n", (unsigned long long)r.messages, r.p50, r.p99);
}

static int sane(const struct side *s, const struct command *c)
{
	return kind_of(c) >= 0 && c->size >= 8 && c->size % 8 == 0 && c->ring <= s->ring_room && c->ring / c->size >= 2 &&
		(c->ring / c->size & (c->ring / c->size - 1)) == 0 && c->ring % c->size == 0 && c->batch >= 1;
}

int main(int argc, char **argv)
{
	struct side s;
	int commands[2], done[2], cpu[2];
	char line[256];
	pid_t leader = getpid();

	if (argc != 4) {
		fprintf(stderr, "usage: cref CPU CPU RING\n");
		return 2;
	}
	make_pattern();
	cpu[0] = atoi(argv[1]);
	cpu[1] = atoi(argv[2]);
	s.yields = cpu[0] == cpu[1];
	s.ring_room = strtoul(argv[3], NULL, 10);
	s.shared = mmap(NULL, sizeof *s.shared + 2 * s.ring_room, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (s.shared == MAP_FAILED)
		die("mmap");
	if (pipe(commands) != 0 || pipe(done) != 0)
		die("pipe");
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		close(commands[1]);
		close(done[0]);
		pin(cpu[1]);
		follow(&s, commands[0], done[1], leader);
	}
	close(commands[0]);
	close(done[1]);
	signal(SIGPIPE, SIG_DFL);
	pin(cpu[0]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin)) {
		struct command c;
		unsigned long long batch, ns;
		memset(&c, 0, sizeof c);
		if (sscanf(line, "%15s %zu %zu %llu %llu", c.name, &c.size, &c.ring, &batch, &ns) != 5) {
			printf("error command not understood\n");
			continue;
		}
		c.batch = batch;
		c.nanoseconds = ns;
		if (!sane(&s, &c)) {
			printf("error impossible command\n");
			continue;
		}
		run(&s, &c, commands[1], done[0]);
	}
	close(commands[1]);
	wait(NULL);
	return 0;
}
