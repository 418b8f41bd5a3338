/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A remote transport for tests: each recipient's local part says what becomes of it (ok, fail,
 * defer, freeze, none, later ends in "-" and anything); the message goes to the file `save`. */
#include <fcntl.h>
#include <heddle/transport.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { OPT_SAVE, OPT_WIRE, OPT_MAX, OPT_ONE_DOMAIN, OPT_FROM, OPT_ABOUT, OPT_SMTP, OPT_TEXT };

struct probe {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
};

static int64_t number(const struct probe *p, struct heddle_call *call, uint32_t option)
{
	int64_t v = 0;
	return p->host->opt_int(call, p->cfg, option, &v) == HEDDLE_OK ? v : 0;
}

static int32_t limits(struct heddle_call *call, void *inst, struct heddle_limits *l)
{
	const struct probe *p = inst;
	int64_t max = number(p, call, OPT_MAX);

	if (max > 0)
		l->max_recipients = (uint32_t)max;
	l->one_domain = number(p, call, OPT_ONE_DOMAIN) != 0;
	return HEDDLE_OK;
}

static int begins(struct heddle_slice s, const char *with)
{
	size_t n = strlen(with);
	return s.len >= n && memcmp(s.ptr, with, n) == 0;
}

static void put(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);
		if (k <= 0)
			abort();
		p += k;
		n -= (size_t)k;
	}
}

/* One block for each delivery: "MAIL sender\nRCPT address\n...\nMESSAGE\n" and the message in the
 * wire form asked for. */
static int32_t save(const struct probe *p, struct heddle_call *call, struct heddle_job *job,
    const struct heddle_delivery_service *d, struct heddle_slice path, uint32_t recipients)
{
	const struct heddle_message_service *m = p->host->service(p->host, HEDDLE_MESSAGE_ID);
	struct heddle_job_info info = {.struct_size = sizeof info};
	struct heddle_slice from, none = heddle_text(NULL);
	struct heddle_reader *r;
	char line[2000], buf[1000];
	const char *name;
	uint64_t got = 1;

	if (p->host->cstr(call, path, &name) != HEDDLE_OK)
		return HEDDLE_ERROR;
	int fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return HEDDLE_ERROR;
	if (flock(fd, LOCK_EX) != 0) /* groups are delivered side by side; a block stays whole */
		abort();
	d->info(call, job, &info);
	put(fd, line,
	    (size_t)snprintf(
	        line, sizeof line, "MAIL <%.*s>\n", (int)info.sender.len, info.sender.ptr));
	for (uint32_t i = 0; i < recipients; i++) {
		struct heddle_recipient to = {.struct_size = sizeof to};
		d->recipient(call, job, i, &to);
		put(fd, line,
		    (size_t)snprintf(
		        line, sizeof line, "RCPT <%.*s>\n", (int)to.address.len, to.address.ptr));
	}
	put(fd, "MESSAGE\n", 8);
	p->host->opt_text(call, p->cfg, OPT_FROM, &from);
	int check = !(from.flags & HEDDLE_ABSENT);
	int32_t rc = m->open(call, (uint32_t)number(p, call, OPT_WIRE), check ? from : none,
	    check ? heddle_text(">") : none, &r);
	while (rc == HEDDLE_OK && got > 0) {
		rc = m->read(call, r, buf, sizeof buf, &got);
		if (rc == HEDDLE_OK)
			put(fd, buf, (size_t)got);
	}
	close(fd);
	return rc;
}

static int32_t outcome_of(const struct probe *p, struct heddle_call *call, struct heddle_job *job,
    const struct heddle_delivery_service *d, uint32_t i)
{
	static const struct {
		const char *word;
		int32_t result;
		uint32_t about;
	} plans[] = {{"ok", HEDDLE_OK, 0}, {"fail", HEDDLE_FAIL, HEDDLE_X_RECIPIENT},
	    {"defer", HEDDLE_DEFER, 0}, {"freeze", HEDDLE_DEFER, HEDDLE_X_FREEZE}};
	struct heddle_recipient to = {.struct_size = sizeof to};
	struct heddle_outcome o = {.struct_size = sizeof o, .host = 0};
	struct heddle_slice text;

	if (d->recipient(call, job, i, &to) != HEDDLE_OK)
		return HEDDLE_ERROR;
	for (size_t k = 0; k < sizeof plans / sizeof *plans; k++) {
		if (!begins(to.local_part, plans[k].word))
			continue;
		o.result = plans[k].result;
		o.flags = plans[k].about | (uint32_t)number(p, call, OPT_ABOUT);
		o.smtp = o.result == HEDDLE_OK     ? 250
		         : o.result == HEDDLE_FAIL ? 550
		                                   : (int32_t)number(p, call, OPT_SMTP);
		p->host->opt_text(call, p->cfg, OPT_TEXT, &text);
		o.text = (text.flags & HEDDLE_ABSENT) ? heddle_text("said so") : text;
		return d->outcome(call, job, i, &o);
	}
	return HEDDLE_OK;
}

static int32_t deliver(struct heddle_call *call, void *inst, struct heddle_job *job)
{
	const struct probe *p = inst;
	const struct heddle_delivery_service *d = p->host->service(p->host, HEDDLE_DELIVERY_ID);
	struct heddle_job_info info = {.struct_size = sizeof info};
	struct heddle_slice path;
	int32_t rc = d->info(call, job, &info);

	p->host->opt_text(call, p->cfg, OPT_SAVE, &path);
	if (rc == HEDDLE_OK && !(path.flags & HEDDLE_ABSENT))
		rc = save(p, call, job, d, path, info.recipients);
	for (uint32_t i = 0; rc == HEDDLE_OK && i < info.recipients; i++)
		rc = outcome_of(p, call, job, d, i);
	return rc;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct probe *p = malloc(sizeof *p);

	(void)call, (void)state;
	if (!p)
		return HEDDLE_DEFER;
	p->host = host;
	p->cfg = cfg;
	*out = p;
	return HEDDLE_OK;
}

#define ROW(n, t, f)                                                                    \
	{                                                                               \
		.name = n, .type = t, .flags = f, .doc = "For tests.", .since_major = 1 \
	}
static const struct heddle_option options[] = {
    [OPT_SAVE] = ROW("save", HEDDLE_T_STRING, HEDDLE_O_EXPAND),
    [OPT_WIRE] = ROW("wire", HEDDLE_T_INT, 0),
    [OPT_MAX] = ROW("max", HEDDLE_T_INT, 0),
    [OPT_ONE_DOMAIN] = ROW("one_domain", HEDDLE_T_BOOL, 0),
    [OPT_FROM] = ROW("from", HEDDLE_T_STRING, 0),
    [OPT_ABOUT] = ROW("about", HEDDLE_T_INT, 0),
    [OPT_SMTP] = ROW("smtp_code", HEDDLE_T_INT, 0),
    [OPT_TEXT] = ROW("text", HEDDLE_T_STRING, HEDDLE_O_EXPAND),
};
static const struct heddle_transport_ops ops = {
    .struct_size = sizeof ops, .kind = HEDDLE_TR_REMOTE, .limits = limits, .deliver = deliver};
const struct heddle_driver heddle_driver_v1
    __attribute__((visibility("default"))) = {.magic = HEDDLE_MAGIC,
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
        .option_count = sizeof options / sizeof *options,
        .option_size = sizeof *options,
        .ops = &ops,
        .instance_new = instance_new,
        .instance_free = free};
