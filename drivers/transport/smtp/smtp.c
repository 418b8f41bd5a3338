/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * smtp: to other servers by SMTP or LMTP.  This driver chooses hosts and puts them in order; a
 * session with one is the kernel's, which records what became of each recipient.  Exim
 * specification, chapters 30 and 49.2: a refusal for good ends it, anything else leaves what is
 * undelivered to the next host.
 */
#include "smtp.h"

#include <stdlib.h>

#define HOSTS_MAX 200U

struct delivery {
	struct heddle_call *call;
	const struct smtp *in;
	const struct heddle_host *host;
	const struct heddle_delivery_service *service;
	struct heddle_job *job;
	struct heddle_slice names[HOSTS_MAX];
	uint32_t count;
};

static int32_t say(struct delivery *d, int32_t result, const char *text)
{
	d->host->reason(d->call, 0, heddle_text(NULL), heddle_text(text));
	return result;
}

/* ---- hosts of this transport's own
 * ---------------------------------------------------------------------- */

static uint32_t digits(struct heddle_slice s)
{
	uint32_t v = 0;
	for (uint32_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9' || v > 65535)
			return 0;
		v = v * 10 + (uint32_t)(s.ptr[i] - '0');
	}
	return v <= 65535 ? v : 0;
}

static struct heddle_slice part(struct heddle_slice s, size_t from, size_t to)
{
	s.ptr += from;
	s.len = (uint32_t)(to - from);
	return s;
}

/* "name", "name:port", "[address]", "[address]:port", or an address. */
static void split_port(struct heddle_slice item, struct heddle_route_host *h)
{
	const char *end = item.len && item.ptr[0] == '[' ? memchr(item.ptr, ']', item.len) : NULL;
	const char *colon = memchr(item.ptr, ':', item.len);
	h->name = item;
	if (end) {
		size_t at = (size_t)(end - item.ptr);
		h->name = part(item, 1, at);
		if (at + 2 < item.len && item.ptr[at + 1] == ':')
			h->port = digits(part(item, at + 2, item.len));
	} else if (colon && !memchr(colon + 1, ':', item.len - (size_t)(colon + 1 - item.ptr))) {
		size_t at = (size_t)(colon - item.ptr);
		h->name = part(item, 0, at);
		h->port = digits(part(item, at + 1, item.len));
	}
}

static void shuffle(struct delivery *d)
{
	for (uint32_t i = d->count; i > 1; i--) {
		uint32_t r = 0;
		(void)d->host->random(d->call, &r, sizeof r);
		struct heddle_slice t = d->names[i - 1];
		d->names[i - 1] = d->names[r % i];
		d->names[r % i] = t;
	}
}

static int32_t read_names(struct delivery *d, uint32_t option)
{
	struct heddle_slice list, item;
	uint64_t pos = 0;
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, option, &list);
	d->count = 0;
	if (rc != HEDDLE_OK)
		return rc == HEDDLE_FAIL
		           ? say(d, HEDDLE_DEFER,
		                 "the expansion of the list of hosts was forced to fail")
		           : HEDDLE_DEFER;
	while (d->count < HOSTS_MAX && d->host->item(d->call, list, &pos, &item) == HEDDLE_OK)
		if (item.len)
			d->names[d->count++] = item;
	return HEDDLE_OK;
}

/* DEFER only if none of them could be added. */
static int32_t add_hosts(struct delivery *d, uint32_t option)
{
	uint32_t added = 0;
	int32_t rc = read_names(d, option);
	if (rc != HEDDLE_OK)
		return rc;
	if (d->in->hosts_randomize)
		shuffle(d);
	for (uint32_t i = 0; i < d->count; i++) {
		struct heddle_route_host h = {.struct_size = sizeof h,
		    .address = heddle_text(NULL),
		    .transport = heddle_text(NULL)};
		split_port(d->names[i], &h);
		rc = d->service->add_host(d->call, d->job, &h);
		added += rc == HEDDLE_OK;
	}
	return added || d->count == 0 ? HEDDLE_OK : rc;
}

/* ---- trying them
 * ---------------------------------------------------------------------------------------- */

static int32_t host_count(struct delivery *d, uint32_t *out)
{
	struct heddle_job_info info = {.struct_size = sizeof info};
	int32_t rc = d->service->info(d->call, d->job, &info);
	*out = rc == HEDDLE_OK ? info.hosts : 0;
	return rc;
}

/* OK, FAIL: all recipients are settled. */
static int32_t try_host(struct delivery *d, uint32_t i)
{
	struct heddle_session *session = NULL;
	int32_t rc = d->service->session(d->call, d->job, i, NULL, (uint32_t)d->in->lmtp, &session);
	return rc == HEDDLE_OK ? d->service->send(d->call, session, d->job) : rc;
}

static struct heddle_route_host host_at(struct delivery *d, uint32_t i)
{
	struct heddle_route_host h = {.struct_size = sizeof h};
	if (d->service->host(d->call, d->job, i, &h) != HEDDLE_OK)
		h.flags = 0;
	return h;
}

/* The first host from i on whose MX record is worse than that of the one before; end: none. */
static uint32_t next_mx(struct delivery *d, uint32_t i, uint32_t end)
{
	struct heddle_route_host last = host_at(d, i - 1);
	for (; i < end; i++) {
		struct heddle_route_host h = host_at(d, i);
		if ((h.flags & HEDDLE_H_MX) && (last.flags & HEDDLE_H_MX) &&
		    h.preference > last.preference)
			return i;
	}
	return end;
}

/* Specification, 30.5: hosts whose time has not come do not count; when enough have been tried, one
 * more of each worse MX is.  All that are looked at count for the hard limit. */
static int32_t try_all(struct delivery *d, uint32_t first, uint32_t end)
{
	int32_t rc = HEDDLE_DEFER;
	int64_t tries = 0, looked = 0;
	for (uint32_t i = first; i < end && (d->in->hosts_max_try_hardlimit <= 0 ||
	                                        looked < d->in->hosts_max_try_hardlimit);
	     i++, looked++) {
		if (tries >= d->in->hosts_max_try && (i = next_mx(d, i, end)) == end)
			break;
		rc = try_host(d, i);
		if (rc == HEDDLE_OK || rc == HEDDLE_FAIL || d->host->time_left(d->call) == 0)
			return rc;
		tries += !(host_at(d, i).flags & HEDDLE_H_WAITS);
	}
	return rc;
}

/* NULL: no memory, or no such kernel; the reason has been given. */
static struct delivery *begin(
    struct heddle_call *call, const struct smtp *in, struct heddle_job *job)
{
	const struct heddle_host *host = in->host;
	struct delivery *d = host->alloc(call, sizeof *d, 16);
	if (!d) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return NULL;
	}
	*d = (struct delivery){.call = call,
	    .in = in,
	    .host = host,
	    .job = job,
	    .service = host->service(host, HEDDLE_DELIVERY_ID)};
	if (d->service &&
	    heddle_has(d->service,
	        offsetof(struct heddle_delivery_service, add_host) + sizeof d->service->add_host))
		return d;
	(void)say(d, HEDDLE_DEFER, "the kernel offers no sessions");
	return NULL;
}

/* The router's hosts, or our own behind them. */
static int32_t choose(struct delivery *d, uint32_t *first, uint32_t *end)
{
	*first = 0;
	int32_t rc = host_count(d, end);
	if (rc == HEDDLE_OK && (*end == 0 || d->in->hosts_override)) {
		*first = *end;
		rc = add_hosts(d, OPT_hosts);
		if (rc == HEDDLE_OK)
			rc = host_count(d, end);
		if (rc == HEDDLE_OK && *end == *first)
			*first = 0; /* hosts_override without hosts */
	}
	if (rc == HEDDLE_OK && *end == 0)
		return say(d, HEDDLE_DEFER, "smtp transport called with no hosts set");
	return rc;
}

static uint32_t as_limit(int64_t n)
{
	return n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static int32_t plan(
    struct heddle_call *call, void *inst, struct heddle_job *job, struct heddle_plan *out)
{
	struct delivery *d = begin(call, inst, job);
	uint32_t first, end;
	if (!d)
		return HEDDLE_DEFER;
	int32_t rc = choose(d, &first, &end);
	if (rc != HEDDLE_OK)
		return rc;
	out->first = first;
	out->end = end;
	out->lmtp = (uint32_t)d->in->lmtp;
	out->max_try = as_limit(d->in->hosts_max_try);
	out->hard_limit = as_limit(d->in->hosts_max_try_hardlimit);
	return HEDDLE_OK;
}

/* As plan said, if the kernel has asked for that. */
static int32_t hosts_of(struct delivery *d, uint32_t *first, uint32_t *end)
{
	struct heddle_plan p = {.struct_size = sizeof p};
	if (!heddle_has(d->service,
	        offsetof(struct heddle_delivery_service, planned) + sizeof d->service->planned) ||
	    d->service->planned(d->call, d->job, &p) != HEDDLE_OK)
		return choose(d, first, end);
	*first = p.first;
	*end = p.end;
	return HEDDLE_OK;
}

static int32_t deliver(struct heddle_call *call, void *inst, struct heddle_job *job)
{
	struct delivery *d = begin(call, inst, job);
	uint32_t first, end, all = 0;
	if (!d)
		return HEDDLE_DEFER;
	int32_t rc = hosts_of(d, &first, &end);
	if (rc != HEDDLE_OK)
		return rc;
	rc = try_all(d, first, end);
	if (rc != HEDDLE_DEFER || add_hosts(d, OPT_fallback_hosts) != HEDDLE_OK ||
	    host_count(d, &all) != HEDDLE_OK || all == end)
		return rc;
	return try_all(d, end, all);
}

static int32_t limits(struct heddle_call *call, void *inst, struct heddle_limits *out)
{
	const struct smtp *in = inst;
	int64_t many = 1;
	out->max_recipients =
	    in->max_rcpt > 0 && in->max_rcpt < 10000 ? (uint32_t)in->max_rcpt : 10000;
	if (in->host->opt_int(call, in->cfg, OPT_multi_domain, &many) != HEDDLE_OK)
		many = 0;
	out->one_domain = many == 0;
	out->same_hosts = 1;
	return HEDDLE_OK;
}

/* ---- life
 * -----------------------------------------------------------------------------------------------
 */

static int64_t number(
    struct heddle_call *call, const struct smtp *in, uint32_t i, int64_t otherwise)
{
	int64_t v;
	return in->host->opt_int(call, in->cfg, i, &v) == HEDDLE_OK ? v : otherwise;
}

static int is(struct heddle_slice s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.ptr, word, s.len) == 0;
}

static int32_t check(struct heddle_call *call, struct smtp *in)
{
	struct heddle_slice protocol = heddle_text("");
	int32_t rc = smtp_check_refused(call, in);
	if (rc == HEDDLE_OK)
		rc = in->host->opt_text(call, in->cfg, OPT_protocol, &protocol);
	if (rc != HEDDLE_OK)
		return rc;
	in->lmtp = is(protocol, "lmtp");
	if (protocol.len && !in->lmtp && !is(protocol, "smtp") && !is(protocol, "smtps"))
		return smtp_refuse(call, in, "protocol: smtp, smtps or lmtp was expected", "");
	in->hosts_override = number(call, in, OPT_hosts_override, 0) != 0;
	in->hosts_randomize = number(call, in, OPT_hosts_randomize, 0) != 0;
	in->max_rcpt = number(call, in, OPT_max_rcpt, 100);
	in->hosts_max_try_hardlimit = number(call, in, OPT_hosts_max_try_hardlimit, 50);
	in->hosts_max_try = number(call, in, OPT_hosts_max_try, 5);
	if (in->hosts_max_try < 1)
		in->hosts_max_try = 1;
	if (in->hosts_max_try_hardlimit > 0 && in->hosts_max_try > in->hosts_max_try_hardlimit)
		in->hosts_max_try = in->hosts_max_try_hardlimit;
	return HEDDLE_OK;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct smtp *in = calloc(1, sizeof *in);
	(void)state;
	if (!in) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return HEDDLE_DEFER;
	}
	in->host = host;
	in->cfg = cfg;
	int32_t rc = check(call, in);
	if (rc != HEDDLE_OK) {
		free(in);
		return rc;
	}
	*out = in;
	return HEDDLE_OK;
}

static const struct heddle_transport_ops ops = {.struct_size = sizeof ops,
    .kind = HEDDLE_TR_REMOTE,
    .limits = limits,
    .deliver = deliver,
    .plan = plan};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_TRANSPORT,
    .flags = HEDDLE_F_BLOCKS,
    .name = "smtp",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "to other servers by SMTP or LMTP",
    .options = smtp_options,
    .option_count = OPT_COUNT,
    .option_size = sizeof(struct heddle_option),
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
