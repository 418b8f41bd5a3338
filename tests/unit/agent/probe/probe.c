/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A local transport for tests: does what its option `act` says.  Sees nothing of the kernel but the
 * ABI. */
#include <fcntl.h>
#include <heddle/transport.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPT_ACT, OPT_TEXT, OPT_NUMBER };

struct probe {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	int64_t number; /* read when the instance was made */
	unsigned calls;
};

struct ctx {
	struct heddle_call *call;
	const struct heddle_host *host;
	struct probe *probe;
	struct heddle_job *job;
	const struct heddle_delivery_service *delivery;
	const struct heddle_message_service *message;
	const struct heddle_spawn_service *spawn;
	const struct heddle_file_service *file;
};

static int32_t refuse(struct ctx *x, int32_t result, const char *why)
{
	x->host->reason(x->call, 550, heddle_text("shown"), heddle_text(why));
	return result;
}

static int32_t outcome(struct ctx *x, uint32_t i, int32_t result, struct heddle_slice text)
{
	struct heddle_outcome o = {.struct_size = sizeof o,
	    .result = result,
	    .smtp = 250,
	    .host = -1,
	    .enhanced = "2.0.0",
	    .text = text};
	return x->delivery->outcome(x->call, x->job, i, &o);
}

static int32_t say(struct ctx *x, const char *text)
{
	return outcome(x, 0, HEDDLE_OK, heddle_text(text));
}

/* ---- acts
 * --------------------------------------------------------------------------------------------- */

static int32_t act_recipients(struct ctx *x)
{
	struct heddle_job_info info = {.struct_size = sizeof info};
	int32_t rc = x->delivery->info(x->call, x->job, &info);
	for (uint32_t i = 0; rc == HEDDLE_OK && i < info.recipients; i++) {
		struct heddle_recipient r = {.struct_size = sizeof r};
		struct heddle_slice option, all;
		rc = x->delivery->recipient(x->call, x->job, i, &r);
		if (rc == HEDDLE_OK)
			rc = x->host->opt_text(x->call, x->probe->cfg, OPT_TEXT, &option);
		if (rc != HEDDLE_OK)
			break;
		const struct heddle_slice parts[] = {r.address, heddle_text(" via "),
		    x->host->instance_name(x->probe->cfg), heddle_text(" "), option};
		rc = x->host->join(x->call, parts, 5, &all);
		if (rc == HEDDLE_OK)
			rc = outcome(x, i, i == 1 ? HEDDLE_FAIL : HEDDLE_OK, all);
	}
	return rc;
}

/* number: the wire form; text: what `from` is, with ">" in front */
static int32_t act_stream(struct ctx *x)
{
	struct heddle_reader *r = NULL;
	struct heddle_job_info info = {.struct_size = sizeof info};
	struct heddle_slice from;
	char buf[1000];
	int32_t fd = -1;
	uint64_t got = 0;
	int32_t rc = x->delivery->info(x->call, x->job, &info);
	if (rc == HEDDLE_OK)
		rc = x->host->opt_text(x->call, x->probe->cfg, OPT_TEXT, &from);
	if (rc == HEDDLE_OK)
		rc = x->file->open(x->call, info.path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd);
	if (rc == HEDDLE_OK)
		rc = x->message->open(x->call, (uint32_t)x->probe->number, from,
		    from.len ? heddle_text(">") : heddle_text(NULL), &r);
	while (rc == HEDDLE_OK &&
	       (rc = x->message->read(x->call, r, buf, sizeof buf, &got)) == HEDDLE_OK && got)
		if (write(fd, buf, (size_t)got) != (ssize_t)got)
			rc = refuse(x, HEDDLE_DEFER, "write");
	if (fd >= 0)
		close(fd);
	return rc == HEDDLE_OK ? say(x, "written") : rc;
}

static int32_t run(struct ctx *x, const char *const *words, uint64_t limit, int feeds, char *out,
    size_t cap, int32_t *status)
{
	struct heddle_slice argv[8],
	    env[] = {heddle_text("PATH=/bin:/usr/bin"), heddle_text("PROBE=yes")};
	struct heddle_command cmd = {.struct_size = sizeof cmd,
	    .uid = UINT32_MAX,
	    .gid = UINT32_MAX,
	    .argv = argv,
	    .env = env,
	    .envc = 2,
	    .directory = heddle_text("/"),
	    .output_limit = limit};
	struct heddle_child *child = NULL;
	struct heddle_reader *r = NULL;
	char buf[8192];
	uint64_t got = 0, have = 0;
	for (; words[cmd.argc]; cmd.argc++)
		argv[cmd.argc] = heddle_text(words[cmd.argc]);
	int32_t rc = x->spawn->start(x->call, &cmd, &child);
	if (rc == HEDDLE_OK && feeds)
		rc = x->message->open(
		    x->call, HEDDLE_WIRE_LF, heddle_text(NULL), heddle_text(NULL), &r);
	while (rc == HEDDLE_OK && feeds &&
	       (rc = x->message->read(x->call, r, buf, sizeof buf, &got)) == HEDDLE_OK && got)
		rc = x->spawn->feed(x->call, child, buf, got);
	if (rc == HEDDLE_OK)
		rc = x->spawn->feed_end(x->call, child);
	while (rc == HEDDLE_OK &&
	       (rc = x->spawn->read(x->call, child, buf, sizeof buf, &got)) == HEDDLE_OK && got) {
		uint64_t n = have + got < cap ? got : cap - 1 - have;
		memcpy(out + have, buf, n);
		have += n;
	}
	out[have] = '\0';
	return rc == HEDDLE_OK ? x->spawn->wait(x->call, child, status) : rc;
}

static int32_t act_cat(struct ctx *x)
{
	static const char *const words[] = {"/bin/cat", NULL};
	static char out[1 << 20];
	char text[64];
	int32_t status = -1;
	struct heddle_message_info info = {.struct_size = sizeof info};
	int32_t rc = x->message->info(x->call, &info);
	if (rc == HEDDLE_OK)
		rc = run(x, words, 1 << 20, 1, out, sizeof out, &status);
	if (rc != HEDDLE_OK)
		return rc;
	snprintf(text, sizeof text, "%zu of %llu status %d", strlen(out),
	    (unsigned long long)info.size, (int)status);
	return outcome(x, 0, HEDDLE_OK, heddle_bytes(text, strlen(text), 0));
}

static int32_t act_shell(struct ctx *x)
{
	struct heddle_slice script;
	const char *words[] = {"/bin/sh", "-c", NULL, NULL};
	char out[4096], text[4200];
	int32_t status = -1;
	int32_t rc = x->host->opt_text(x->call, x->probe->cfg, OPT_TEXT, &script);
	if (rc == HEDDLE_OK)
		rc = x->host->cstr(x->call, script, &words[2]);
	if (rc == HEDDLE_OK)
		rc = run(x, words, 4096, 0, out, sizeof out, &status);
	if (rc != HEDDLE_OK)
		return rc;
	snprintf(text, sizeof text, "%d: %s", (int)status, out);
	return outcome(x, 0, HEDDLE_OK, heddle_bytes(text, strlen(text), 0));
}

static int32_t act_hang(struct ctx *x)
{
	while (x)
		pause();
	return HEDDLE_OK;
}

static int32_t act_crash(struct ctx *x)
{
	(void)x;
	raise(SIGKILL);
	return HEDDLE_OK;
}

static int32_t act_garbage(struct ctx *x)
{
	ssize_t n =
	    write(3, "this is no frame, and it is longer than the head of one would be", 64);
	return n == 64 ? say(x, "sent garbage") : HEDDLE_OK;
}

static int32_t act_fail(struct ctx *x)
{
	return refuse(x, HEDDLE_FAIL, "no mailbox here");
}

static int32_t act_nonsense(struct ctx *x)
{
	(void)x;
	return 99;
}

/* What the kernel knows as clean may come back as clean; what we only call so may not. */
static int32_t act_taint(struct ctx *x)
{
	struct heddle_slice given, copy = {0}, got;
	static const char forged[] = "forged";
	int32_t rc = x->host->opt_text(x->call, x->probe->cfg, OPT_TEXT, &given);
	if (rc == HEDDLE_OK)
		rc = x->host->join(x->call, &given, 1, &copy);
	if (rc == HEDDLE_OK)
		rc = x->host->var_set(x->call, heddle_text("given"), copy);
	if (rc == HEDDLE_OK)
		rc = x->host->var_set(
		    x->call, heddle_text("forged"), heddle_bytes(forged, 6, HEDDLE_CLEAN));
	if (rc == HEDDLE_OK)
		rc = x->host->var_get(x->call, heddle_text("tainted"), &got);
	got.flags |= HEDDLE_CLEAN;
	if (rc == HEDDLE_OK)
		rc = x->host->var_set(x->call, heddle_text("washed"), got);
	return rc == HEDDLE_OK ? say(x, "set") : rc;
}

static int32_t act_big(struct ctx *x)
{
	struct heddle_slice big;
	int32_t rc = x->host->var_get(x->call, heddle_text("big"), &big);
	if (rc == HEDDLE_OK)
		rc = x->host->var_set(x->call, heddle_text("big"), big);
	return rc == HEDDLE_OK ? say(x, "big") : rc;
}

static int32_t act_stale(struct ctx *x)
{
	static struct heddle_job *old;
	struct heddle_job_info info = {.struct_size = sizeof info};
	if (!old) {
		old = x->job;
		return say(x, "kept");
	}
	return x->delivery->info(x->call, old, &info);
}

static int32_t act_defer(struct ctx *x)
{
	struct heddle_slice v;
	return x->host->var_get(x->call, heddle_text("deferring"), &v);
}

static int32_t act_items(struct ctx *x)
{
	struct heddle_slice list, item, all = {0};
	uint64_t pos = 0;
	int32_t rc = x->host->opt_text(x->call, x->probe->cfg, OPT_TEXT, &list);
	while (rc == HEDDLE_OK && (rc = x->host->item(x->call, list, &pos, &item)) == HEDDLE_OK) {
		const struct heddle_slice parts[] = {all, heddle_text("["), item, heddle_text("]")};
		rc = x->host->join(x->call, parts, 4, &all);
	}
	return rc == HEDDLE_FAIL ? outcome(x, 0, HEDDLE_OK, all) : rc;
}

static int32_t act_log(struct ctx *x)
{
	for (int i = 0; i < 1000; i++)
		x->host->log(x->call, HEDDLE_LOG_MAIN, heddle_text("a line"));
	return say(x, x->host->debugging(x->call) ? "debugging" : "logged");
}

static int32_t act_pid(struct ctx *x)
{
	char text[64];
	snprintf(text, sizeof text, "%ld %u %lld", (long)getpid(), x->probe->calls,
	    (long long)x->probe->number);
	return outcome(x, 0, HEDDLE_OK, heddle_bytes(text, strlen(text), 0));
}

static const struct act {
	const char *name;
	int32_t (*run)(struct ctx *x);
} acts[] = {{"recipients", act_recipients}, {"stream", act_stream}, {"cat", act_cat},
    {"shell", act_shell}, {"hang", act_hang}, {"crash", act_crash}, {"garbage", act_garbage},
    {"fail", act_fail}, {"nonsense", act_nonsense}, {"taint", act_taint}, {"big", act_big},
    {"stale", act_stale}, {"defer", act_defer}, {"items", act_items}, {"log", act_log},
    {"pid", act_pid}};

static int32_t deliver(struct heddle_call *call, void *inst, struct heddle_job *job)
{
	struct probe *p = inst;
	struct ctx x = {.call = call, .host = p->host, .probe = p, .job = job};
	struct heddle_slice act;
	x.delivery = p->host->service(p->host, HEDDLE_DELIVERY_ID);
	x.message = p->host->service(p->host, HEDDLE_MESSAGE_ID);
	x.spawn = p->host->service(p->host, HEDDLE_SPAWN_ID);
	x.file = p->host->service(p->host, HEDDLE_FILE_ID);
	if (!x.delivery || !x.message || !x.spawn || !x.file ||
	    p->host->service(p->host, HEDDLE_NET_ID))
		return refuse(&x, HEDDLE_ERROR, "services");
	p->calls++;
	int32_t rc = p->host->opt_text(call, p->cfg, OPT_ACT, &act);
	for (size_t i = 0; rc == HEDDLE_OK && i < sizeof acts / sizeof *acts; i++)
		if (p->host->same(act, heddle_text(acts[i].name)))
			return acts[i].run(&x);
	return rc == HEDDLE_OK ? refuse(&x, HEDDLE_ERROR, "no such act") : rc;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct probe *p = calloc(1, sizeof *p);
	(void)state;
	if (!p)
		return HEDDLE_DEFER;
	p->host = host;
	p->cfg = cfg;
	int32_t rc = host->opt_int(call, cfg, OPT_NUMBER, &p->number);
	if (rc == HEDDLE_OK && p->number == 13) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("13 is not served"));
		rc = HEDDLE_ERROR;
	}
	if (rc != HEDDLE_OK && rc != HEDDLE_FAIL) {
		free(p);
		return rc;
	}
	*out = p;
	return HEDDLE_OK;
}

static const struct heddle_option options[] = {
    {.name = "act", .type = HEDDLE_T_STRING, .doc = "What to do.", .since_major = 1},
    {.name = "text",
        .type = HEDDLE_T_STRING,
        .flags = HEDDLE_O_EXPAND,
        .doc = "With what.",
        .since_major = 1},
    {.name = "number", .type = HEDDLE_T_INT, .doc = "How.", .since_major = 1},
};
static const struct heddle_transport_ops ops = {
    .struct_size = sizeof ops, .kind = HEDDLE_TR_LOCAL, .deliver = deliver};
const struct heddle_driver heddle_driver_v1 = {.magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_TRANSPORT,
    .name = "probe",
    .version = "1.0",
    .licence = "MIT",
    .author = "tests",
    .summary = "does what it is told",
    .options = options,
    .option_count = 3,
    .option_size = sizeof *options,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free};
