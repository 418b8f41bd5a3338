/* SPDX-License-Identifier: GPL-3.0-or-later */
/* heddle-kernel: started by heddle-master, with the link at descriptor 3; --describe-drivers prints
 * option tables. */
#include "main/kernel/kernel.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int describe(struct process *p)
{
	struct services sv = {0};
	struct drivers *d = NULL;
	struct error err = {.text = ""};
	struct strbuf out;

	services_init(&sv);
	struct drivers_config dc = {
	    .folders = p->driver_folders, .any_owner = p->ordinary_user, .host = &sv.host};
	if (drivers_new(&dc, &d, &err) != RC_OK) {
		fprintf(stderr, "heddle-kernel: %s\n", err.text);
		return 1;
	}
	strbuf_init(&out, p->arena, 0);
	drivers_describe(d, &out);
	fwrite(strbuf_slice(&out).ptr, 1, strbuf_slice(&out).len, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}

static void tell(enum link_type type, const char *text)
{
	struct link_message m = {.type = type};

	link_put_text(&m, 0, slice_cstr(text));
	(void)link_send(LINK_FD, &m, -1); /* master gone: the next receive says so */
}

static void reload(struct kernel *k, int fd)
{
	struct error err = {.text = ""};
	struct stat st;
	struct arena *a = arena_new(0);

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < 0 || st.st_size > (64 << 20)) {
		(void)error_set(&err, RC_ERROR, "no configuration came along");
	} else {
		char *buf = arena_bytes(a, (size_t)st.st_size + 1);
		drivers_rescan(k->drivers); /* files that a package has replaced */
		if (pread(fd, buf, (size_t)st.st_size, 0) == st.st_size &&
		    kernel_load(k, slice_of(buf, (size_t)st.st_size, HEDDLE_CLEAN), &err) == RC_OK)
			log_main(k->services.log, slice_absent(),
			    "pid %ld: SIGHUP received: re-read the configuration", (long)getpid());
	}
	arena_free(&a);
	if (err.text[0])
		log_panic(k->services.log, slice_absent(),
		    "reload refused, the old configuration stays: %s", err.text);
	tell(err.text[0] ? LINK_FAILED : LINK_READY, err.text);
}

/* Until master says stop, or is gone. */
static void follow_master(struct kernel *k)
{
	struct link_message m;
	int fd;

	while (link_receive(LINK_FD, &m, &fd) == 1) {
		if (m.type == LINK_STOP)
			return;
		if (m.type == LINK_ANSWER) {
			agents_answer(k->agents, &m, fd);
			continue;
		}
		if (m.type == LINK_CONFIG)
			reload(k, fd);
		if (fd >= 0)
			close(fd);
	}
}

/* " for SMTP on [::]:25 [0.0.0.0]:25 and for SMTPS on [0.0.0.0]:465" */
static void say_listeners(struct kernel *k, struct arena *a, struct strbuf *sb)
{
	struct config *cfg = kernel_snapshot(k);
	bool said = false;

	for (int tls = 0; cfg && tls < 2; tls++) {
		bool first = true;
		for (unsigned i = 0; i < k->listener_count; i++) {
			struct net_addr at;
			char buf[NET_ADDR_TEXT];
			if (!net_local_addr(k->listeners[i], &at) ||
			    smtp_server_port_is_tls(cfg, a, at.port) != (tls != 0))
				continue;
			if (first)
				strbuf_printf(
				    sb, "%s for SMTP%s on", said ? " and" : "", tls ? "S" : "");
			first = false;
			said = true;
			strbuf_printf(sb, " %.*s", SL_ARG(net_addr_port_text(&at, buf)));
		}
	}
	config_unref(&cfg);
}

static void log_start(struct kernel *k)
{
	struct arena *a = arena_new(0);
	struct strbuf sb;

	strbuf_init(&sb, a, 0);
	say_listeners(k, a, &sb);
	if (k->queue_interval_ms > 0)
		log_main(k->services.log, slice_absent(),
		    "Heddle %s daemon started: pid=%ld, -q%.*s, listening%.*s", HEDDLE_VERSION,
		    (long)getppid(), SL_ARG(clock_interval(a, k->queue_interval_ms / 1000)),
		    SL_ARG(strbuf_slice(&sb)));
	else
		log_main(k->services.log, slice_absent(),
		    "Heddle %s daemon started: pid=%ld, no queue runs, listening%.*s",
		    HEDDLE_VERSION, (long)getppid(), SL_ARG(strbuf_slice(&sb)));
	arena_free(&a);
}

static void queue_timer(void *arg, enum wake why, struct worker *w)
{
	struct kernel *k = arg;
	struct queue_run_request run = {
	    .select_recipient = slice_absent(), .select_sender = slice_absent()};

	(void)w;
	if (why == WAKE_CANCEL)
		return;
	deliver_queue_run(k->deliverer, &run);
	(void)timer_add(
	    k->reactor, clock_mono_us() + k->queue_interval_ms * 1000, queue_timer, k, NULL);
}

#define TIDY_EVERY (15 * US_PER_SEC)

/* What was needed in a busy time, and is not any more. */
static void tidy_timer(void *arg, enum wake why, struct worker *w)
{
	struct kernel *k = arg;
	struct reactor_counts now;

	(void)w;
	if (why == WAKE_CANCEL)
		return;
	agents_tidy(k->agents);
	reactor_count(k->reactor, &now);
	if (now.running == 0 && now.queued == 0) /* it holds up whoever allocates */
		(void)malloc_trim(0);
	(void)timer_add(k->reactor, clock_mono_us() + TIDY_EVERY, tidy_timer, k, NULL);
}

static int serve(struct kernel *k)
{
	struct error err = {.text = ""};

	mutex_init(&k->lock, LOCK_snapshot);
	if (kernel_receive_start(k, &err) != RC_OK || kernel_assemble(k, &err) != RC_OK) {
		if (k->services.log)
			log_panic(k->services.log, slice_absent(), "%s", err.text);
		tell(LINK_FAILED, err.text);
		fprintf(stderr, "heddle-kernel: %s\n", err.text);
		return 1;
	}
	log_start(k);
	tell(LINK_READY, "");
	if (k->queue_interval_ms > 0)
		(void)timer_add(k->reactor, clock_mono_us(), queue_timer, k, NULL);
	(void)timer_add(k->reactor, clock_mono_us() + TIDY_EVERY, tidy_timer, k, NULL);
	follow_master(k);
	kernel_take_apart(k);
	return 0;
}

int main(int argc, char **argv)
{
	static struct kernel k; /* large; this program has one */
	struct error err = {.text = ""};
	slice_t defines[64];
	int n = 0;

	umask(027);
	(void)signal(SIGPIPE, SIG_IGN);
	if (process_init(&k.process, NULL, &err) != RC_OK) {
		fprintf(stderr, "heddle-kernel: %s\n", err.text);
		return 1;
	}
	if (argc == 2 && strcmp(argv[1], "--describe-drivers") == 0)
		return describe(&k.process);
	for (; n + 1 < argc && n < 64; n++)
		defines[n] = slice_cstr(argv[n + 1]);
	k.defines = defines;
	k.define_count = (uint32_t)n;
	services_init(&k.services);
	deliver_services(
	    &k.services); /* routers look for theirs when their instance is made, at load */
	return serve(&k);
}
