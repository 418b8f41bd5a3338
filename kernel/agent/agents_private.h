/* SPDX-License-Identifier: GPL-3.0-or-later */
/* agent/agents_private: what the pool, the users and the calls share. */
#ifndef HEDDLE_AGENT_AGENTS_PRIVATE_H
#define HEDDLE_AGENT_AGENTS_PRIVATE_H
#include "agent/agent.h"
#include "agent/foresight.h"
#include "base/vec.h"
#include "thread/gate.h"
#include "thread/lock.h"

#include <stdatomic.h>

#define AGENTS_KEY (2 * LINK_TEXT + 8)

/* A process.  Owner thread only: whoever took it from the pool. */
struct agent {
	struct agent *next;   /* of the idle list */
	char key[AGENTS_KEY]; /* user, group, flags: the identity it was asked for */
	int sock;
	uint32_t serial; /* of its last operation */
	int64_t born_us, idle_since_us;
	struct foresight *foresight;
	bool broken; /* to be closed, not kept */
};

/* How many there are of one identity; entries with none stay, bounded by AGENTS_IDENTITIES. */
struct identity {
	struct identity *next;
	char key[AGENTS_KEY];
	unsigned count; /* idle, busy, being started */
};

/* A request that waits for master, on the waiter's stack. */
struct master_request {
	struct master_request *next;
	uint64_t serial;
	bool answered;
	struct link_message answer;
	int fd;
};

/* What master said of a user or group. */
struct user_slot {
	struct user_slot *next;
	uint32_t type; /* LINK_USER, LINK_GROUP */
	char login[LINK_TEXT + 1];
	uint32_t login_len;
	bool asking; /* one thread asks master, the others wait for it */
	unsigned waiters;
	int64_t until_us;
	struct link_message answer;
};

/* Who waits for an agent, on the waiter's stack.  Each has a gate of its own, and an agent that is
 * free goes to the first one directly: one thread is woken, and it need not take the lock. */
struct place_waiter {
	struct place_waiter *next GUARDED_BY(lk_agents);
	const char *key;
	struct gate turn;
	bool called GUARDED_BY(lk_agents); /* out of the line: the gate is open or about to be */
	struct agent *given; /* by whoever opens the gate, before that; NULL: look again */
};

struct agents {
	int link_fd;
	unsigned per_identity, total;
	struct log *log;
	struct mutex lock;
	struct condvar changed;                          /* an answer, a user, the end */
	struct place_waiter *line GUARDED_BY(lk_agents); /* in the order of their coming */
	struct place_waiter *line_last GUARDED_BY(lk_agents);
	struct agent *idle GUARDED_BY(lk_agents);
	unsigned count GUARDED_BY(lk_agents);
	struct identity *identities GUARDED_BY(lk_agents);
	struct master_request *requests GUARDED_BY(lk_agents);
	uint64_t last_serial GUARDED_BY(lk_agents);
	struct user_slot *users GUARDED_BY(lk_agents);
	unsigned user_count GUARDED_BY(lk_agents);
	bool ending GUARDED_BY(lk_agents);
	_Atomic uint64_t questions; /* relaxed: a figure */
};
LOCK_FNS(agents, struct agents, lock, lk_agents)

struct master_answer {
	struct link_message m;
	int fd; /* -1, or the caller's */
};
/* Ask master, wait for the answer.  DEFER: none in time. */
MUST_USE enum rc agents_ask(struct agents *a, struct link_message *m, struct cancel *cancel,
    int64_t deadline_us, struct master_answer *out, struct error *err) EXCLUDES(lk_agents);
/* An agent of this identity, idle or new. */
MUST_USE enum rc agents_take(struct agents *a, const struct agent_identity *who,
    struct cancel *cancel, int64_t deadline_us, struct agent **out, struct error *err)
    EXCLUDES(lk_agents);
/* Back to the pool, or closed when it is broken or old. */
void agents_give(struct agents *a, struct agent **agent) EXCLUDES(lk_agents);
/* Sleep until something changed, at most 100 ms: a cancellation has no way to wake us under our
 * lock. */
void agents_doze(struct agents *a, int64_t deadline_us) REQUIRES(lk_agents);
#endif
