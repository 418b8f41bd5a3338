/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * main/master: the process that starts as root and only supervises: binds the ports, starts the
 * kernel again when it dies, starts agents, asks NSS through a helper.  One thread, one loop; every
 * wait has a deadline; a child is exec'd, never just forked.  It parses nothing that came from the
 * network and opens no driver and no log: option tables come as text from an unprivileged process;
 * what it says goes to stderr (the service manager's, or the panic log's parent).
 */
#ifndef HEDDLE_MAIN_MASTER_H
#define HEDDLE_MAIN_MASTER_H
#include "agent/link.h"
#include "base/vec.h"
#include "main/process.h"

#include <sys/types.h>

struct master_options { /* from the command line */
	const char *config_path;
	bool foreground, debug;
	bool queue_only;     /* -odq */
	bool tls_on_connect; /* -tls-on-connect */
	bool wait_socket;    /* -bw: standard input listens */
	int64_t queue_interval_ms;
	const char *ports;    /* -oX or NULL */
	const char *pid_file; /* -oP or NULL */
	const slice_t *defines;
	uint32_t define_count;
};

struct listener {
	int fd;
	uint16_t port; /* the real one */
};

#define MASTER_MAX_CHILDREN 256
enum child_kind { CHILD_KERNEL = 1, CHILD_AGENT, CHILD_NSS };
struct child {
	pid_t pid; /* 0: free */
	enum child_kind kind;
	int64_t deadline_us; /* killed then; DEADLINE_NEVER */
};

/* What NSS is asked.  Of groups the answer has in number[1] how many they are, and in its texts the
 * numbers themselves. */
enum look_up { LOOK_UP_USER, LOOK_UP_GROUP, LOOK_UP_GROUPS };
#define MASTER_MAX_GROUPS (4 * (LINK_TEXT / sizeof(gid_t)))

struct user_entry {                 /* what the helper said; kept for a minute */
	struct link_message answer; /* as LINK_ANSWER to USER or GROUP */
	enum look_up what;
	slice_t login;
	int64_t until_us;
};

struct pending { /* a request that waits for the NSS helper */
	struct link_message request;
	struct link_message user; /* of an AGENT whose group or groups are asked for */
	enum look_up what;
	gid_t gid;
	bool used;
	int fd; /* the helper's output */
	pid_t pid;
	int64_t deadline_us;
	size_t have;
	char out[4096];
};
#define MASTER_MAX_PENDING 32
#define MASTER_USER_CACHE  64

struct master {
	struct master_options opt;
	struct process process;
	slice_t bundle; /* the configuration's bytes, as given to the kernel */
	uint64_t snapshot;
	struct arena *snapshot_arena;
	struct vec never; /* int64_t: uids of never_users, on snapshot_arena */
	struct listener *listeners;
	uint32_t listener_count;
	struct vec environment; /* const char *, for children: snapshot_arena's */
	slice_t spool;
	const char *pid_path;
	uid_t uid; /* the kernel's */
	gid_t gid;
	int link; /* to the kernel, -1: it is down */
	bool kernel_ready, stopping;
	int backlog;    /* smtp_connect_backlog; 0: not said */
	bool was_ready; /* a kernel has accepted the configuration: from then on it is started again
	                   when it dies */
	int status;     /* what master_loop returns */
	int parent_fd;  /* in the background: who waits to hear how the start went; -1 */
	int64_t kernel_started_us, restart_at_us, backoff_us;
	int64_t starts[20]; /* the last starts of anything: at most 20 a second */
	unsigned starts_at;
	int signal_fd;
	struct child children[MASTER_MAX_CHILDREN];
	struct pending pending[MASTER_MAX_PENDING];
	struct user_entry users[MASTER_USER_CACHE];
	unsigned users_at;
};

void master_say(const struct master *m, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* config.c: read and check the configuration; on OK the bundle, spool directory and so on are the
 * new ones. */
MUST_USE enum rc master_read_config(struct master *m, struct vec *out_listen, struct error *err);
/* helper.c: run a program of libexec as the kernel's account, add all that it writes to out. */
MUST_USE enum rc master_ask_helper(struct master *m, const char *program, const char *const *args,
    int64_t timeout_us, struct strbuf *out, int *out_status, struct error *err);
/* accounts.c: problems get a struct error for each name that nobody has, never the uids (int64_t)
 * of never_users. */
struct config;
void master_check_accounts(struct master *m, const struct config *cfg, struct arena *a,
    struct vec *problems, struct vec *never);
/* listen.c: out_listen holds struct net_addr. */
MUST_USE enum rc master_bind(struct master *m, const struct vec *addrs, struct error *err);
/* spool.c: the folders, owned by the kernel's account. */
MUST_USE enum rc master_make_spool(struct master *m, struct error *err);
/* children.c */
struct spawn {
	const char *program;     /* in libexec */
	const char *const *args; /* behind argv[0], NULL-ended */
	int keep_fd, as_fd;      /* one descriptor goes along, under this number; -1: none */
	int stdout_fd;           /* or -1 */
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary */
	size_t group_count;
	bool change_user;
};
/* -1 with errno; at most 20 starts a second, else EAGAIN. */
pid_t master_spawn(struct master *m, const struct spawn *s);
MUST_USE bool master_note_child(
    struct master *m, pid_t pid, enum child_kind kind, int64_t deadline_us);
void master_reap(struct master *m);
void master_kill_overdue(struct master *m, int64_t now_us);
/* kernel.c */
void master_start_kernel(struct master *m);
void master_from_kernel(struct master *m);
void master_send_config(struct master *m);
/* users.c: the answer to a request of the kernel's that is not served. */
void master_refuse(
    struct master *m, const struct link_message *request, enum rc rc, const char *why);
/* users.c: answers the kernel now or when the helper has spoken. */
void master_ask_user(struct master *m, const struct link_message *request);
void master_user_output(struct master *m, struct pending *p);
void master_expire_pending(struct master *m, int64_t now_us);
/* agents.c: the user's facts are known, and the groups (NULL: none): start the agent. */
void master_start_agent(struct master *m, const struct link_message *request,
    const struct link_message *user, gid_t gid, const struct link_message *groups);
/* loop.c */
void master_give_up(struct master *m); /* stop, with status 1 */
/* The start is over: tell the parent, which leaves with this status. */
void master_tell_parent(struct master *m, unsigned char status);
int master_loop(struct master *m);
#endif
