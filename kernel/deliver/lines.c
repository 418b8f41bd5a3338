/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The delivery lines of the main log: specification, chapter 53. */
#include "deliver/deliver_private.h"
#include "message/arrival.h"
#include "smtp/client.h"

#include <errno.h>
#include <string.h>

/* "user <user@dom>" for a local delivery, "|cmd <user@dom>" for a child, the plain address for a
 * remote one. */
static void put_address(
    const struct attempt *t, struct strbuf *sb, const struct address *a, bool local)
{
	const struct address *top = address_top(a);
	slice_t shown = a->text;

	if (local && a->kind == ADDRESS_PLAIN)
		shown = a->facts.local_part;
	strbuf_add(sb, shown);
	if (log_selected(t->log, LOG_ALL_PARENTS))
		for (const struct address *p = a->parent; p && p->parent; p = p->parent)
			strbuf_printf(sb, " (%.*s)", SL_ARG(p->text));
	slice_t once = t->m->recipients[top->recipient].one_time_parent;
	if (a == top && once.len)
		strbuf_printf(sb, " <%.*s>", SL_ARG(once));
	else if (!slice_eq(shown, top->text))
		strbuf_printf(sb, " <%.*s>", SL_ARG(top->text));
}

/* From whom it was, and from whom a transport says that it is. */
static void put_senders(const struct attempt *t, struct strbuf *sb, const struct group *g)
{
	if (log_selected(t->log, LOG_SENDER_ON_DELIVERY))
		strbuf_printf(sb, " F=<%.*s>", SL_ARG(t->m->sender));
	if (g && g->took_it && log_selected(t->log, LOG_RETURN_PATH_ON_DELIVERY))
		strbuf_printf(sb, " P=<%.*s>", SL_ARG(g->return_path));
}

/* log_as_local: only the local part, also for what an accept or smtp transport takes elsewhere. */
static bool shown_local(const struct address *a, bool is_local)
{
	const struct option_value *o = a->router ? &a->router->generic[RO_log_as_local] : NULL;
	return o && !slice_is_absent(o->text) ? o->number != 0 : is_local;
}

static bool is_quiet(const struct address *a)
{
	return (a->router && a->router->generic[RO_disable_logging].number != 0) ||
	       (a->transport && a->transport->generic[TO_disable_logging].number != 0);
}

static void put_names(struct strbuf *sb, const struct address *a, bool transport)
{
	if (a->router)
		strbuf_printf(sb, " R=%.*s", SL_ARG(a->router->name));
	if (transport && a->transport)
		strbuf_printf(sb, " T=%.*s", SL_ARG(a->transport->name));
}

static void put_host(
    const struct attempt *t, struct strbuf *sb, const struct group *g, const struct outcome *o)
{
	if (o->host < 0 || (size_t)o->host >= g->hosts->count)
		return;
	const struct heddle_route_host *h =
	    VEC_AT(g->hosts, struct heddle_route_host, (size_t)o->host);
	if (h->name.len)
		strbuf_printf(sb, " H=%.*s [%.*s]", SL_ARG(h->name), SL_ARG(h->address));
	else
		strbuf_printf(sb, " H=[%.*s]", SL_ARG(h->address));
	if (log_selected(t->log, LOG_OUTGOING_PORT))
		strbuf_printf(sb, ":%u", o->via ? o->via->port : h->port ? h->port : 25);
	if (!o->via || o->via->interface.len == 0 ||
	    !log_selected(t->log, LOG_OUTGOING_INTERFACE) ||
	    !log_selected(t->log, LOG_INCOMING_INTERFACE))
		return;
	strbuf_printf(sb, " I=[%.*s]", SL_ARG(o->via->interface));
	if (log_selected(t->log, LOG_OUTGOING_PORT))
		strbuf_printf(sb, ":%u", o->via->interface_port);
}

/* The TLS part, for deliveries and failures alike. */
static void put_tls(const struct attempt *t, struct strbuf *sb, const struct outcome_via *v)
{
	if (!v || !v->is_tls)
		return;
	if (log_selected(t->log, LOG_TLS_CIPHER))
		strbuf_printf(sb, " X=%.*s%s", SL_ARG(v->cipher),
		    v->resumed && log_selected(t->log, LOG_TLS_RESUMPTION) ? "*" : "");
	if (log_selected(t->log, LOG_TLS_CERTIFICATE_VERIFIED))
		strbuf_printf(sb, " CV=%s", v->verified ? "yes" : "no");
	if (log_selected(t->log, LOG_TLS_PEERDN) && !slice_is_absent(v->peerdn))
		log_quoted(sb, "DN", v->peerdn);
}

static void put_via(const struct attempt *t, struct strbuf *sb, const struct outcome_via *v)
{
	put_tls(t, sb, v);
	if (!v)
		return;
	if (!slice_is_absent(v->authenticator)) {
		strbuf_printf(sb, " A=%.*s", SL_ARG(v->authenticator));
		if (!slice_is_absent(v->authenticated_id) && v->authenticated_id.len)
			strbuf_printf(sb, ":%.*s", SL_ARG(v->authenticated_id));
		if (log_selected(t->log, LOG_SMTP_MAILAUTH) && v->mail_auth.len)
			strbuf_printf(sb, ":%.*s", SL_ARG(v->mail_auth));
	}
	if ((v->used & CLIENT_USED_PIPELINING) && log_selected(t->log, LOG_PIPELINING))
		strbuf_text(sb, " L");
	if (v->used & CLIENT_USED_PRDR)
		strbuf_text(sb, " PRDR");
	if (v->used & CLIENT_USED_CHUNKING)
		strbuf_text(sb, " K");
}

static void put_duration(
    const struct attempt *t, struct strbuf *sb, enum log_item item, const char *name, int64_t us)
{
	if (log_selected(t->log, item))
		log_duration(sb, t->log, name, us);
}

/* Since it was accepted; with the time that it took to come in unless that is excluded. */
static int64_t queued_us(const struct attempt *t)
{
	int64_t before = log_selected(t->log, LOG_QUEUE_TIME_EXCLUSIVE) ? 0 : t->m->received_in_us;
	return clock_wall_us() - t->m->received_us + before;
}

static void write_line(struct attempt *t, const struct strbuf *sb)
{
	log_text(t->log, LOG_TO_MAIN, t->id_text, strbuf_slice(sb), slice_absent());
}

/* The same for the message's own log, which has no arrows.  Most messages leave at once and never
 * have one: the lines wait until it is known that this one stays. */
static void remember(struct attempt *t, slice_t line)
{
	*VEC_PUSH(t->arena, &t->told, slice_t) = line;
}

/* Behind "== " or "** ". */
static slice_t without_sign(const struct strbuf *sb)
{
	slice_t line = strbuf_slice(sb);
	return slice_sub(line, 3, line.len);
}

static slice_t received_from(const struct attempt *t)
{
	const struct session_facts *from = &t->m->session;
	struct strbuf sb;

	strbuf_init(&sb, t->arena, 0);
	strbuf_printf(
	    &sb, "Received from %.*s", SL_ARG(t->m->sender.len ? t->m->sender : SL("<>")));
	if (from->sender_host_address.len)
		strbuf_printf(&sb, " H=%.*s%s[%.*s]", SL_ARG(from->sender_host_name),
		    from->sender_host_name.len ? " " : "", SL_ARG(from->sender_host_address));
	else if (t->m->origin_user.len)
		strbuf_printf(&sb, " U=%.*s", SL_ARG(t->m->origin_user));
	if (from->received_protocol.len)
		strbuf_printf(&sb, " P=%.*s", SL_ARG(from->received_protocol));
	strbuf_printf(&sb, " S=%llu", (unsigned long long)t->m->size_bytes);
	return strbuf_slice(&sb);
}

void lines_keep(struct attempt *t)
{
	slice_t first;

	if (t->told.count == 0)
		return;
	first = received_from(t);
	VEC_FOREACH(&t->told, slice_t, line)
	log_message(t->log, t->id_text, first, *line);
	t->told.count = 0;
}

/* "=>" for the first delivered of a group, "->" for the others. */
void line_delivered(struct attempt *t, const struct group *g)
{
	const char *arrow = "=>";

	for (size_t i = 0; i < g->addresses.count; i++) {
		const struct address *a = *VEC_AT(&g->addresses, struct address *, i);
		const struct outcome *o = &g->outcomes[i];
		struct strbuf sb;
		if (o->result != RC_OK || is_quiet(a))
			continue;
		strbuf_init(&sb, t->arena, 0);
		strbuf_printf(&sb, "%s ", arrow);
		put_address(t, &sb, a, shown_local(a, g->is_local));
		put_senders(t, &sb, g);
		put_names(&sb, a, true);
		if (log_selected(t->log, LOG_DELIVERY_SIZE))
			strbuf_printf(&sb, " S=%llu", (unsigned long long)t->m->size_bytes);
		put_host(t, &sb, g, o);
		put_via(t, &sb, o->via);
		if (log_selected(t->log, LOG_SMTP_CONFIRMATION) && (!g->is_local || o->smtp) &&
		    o->text.len)
			strbuf_printf(&sb, " C=\"%.*s\"", SL_ARG(o->text));
		put_duration(t, &sb, LOG_QUEUE_TIME, "QT", queued_us(t));
		put_duration(t, &sb, LOG_DELIVER_TIME, "DT", g->took_us);
		write_line(t, &sb);
		remember(
		    t, arena_printf(t->arena, "%.*s: %.*s transport succeeded", SL_ARG(a->text),
		           SL_ARG(a->transport ? a->transport->name : SL("its"))));
		arrow = "->";
	}
}

/* Nothing is done with it, and that is what was wanted: ":blackhole:", or the file /dev/null. */
void line_discarded(struct attempt *t, const struct address *a)
{
	bool is_file = a->kind != ADDRESS_PLAIN;
	struct strbuf sb;

	if (is_quiet(a))
		return;
	strbuf_init(&sb, t->arena, 0);
	strbuf_printf(&sb, "=> %.*s <%.*s>", SL_ARG(is_file ? a->text : SL(":blackhole:")),
	    SL_ARG(address_top(a)->text));
	put_names(&sb, a, false);
	if (is_file)
		strbuf_text(&sb, " T=**bypassed**");
	write_line(t, &sb);
}

void line_failed(
    struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o)
{
	struct strbuf sb;
	slice_t why = o ? o->text : a->logged;

	strbuf_init(&sb, t->arena, 0);
	strbuf_text(&sb, "** ");
	put_address(t, &sb, a, false);
	put_senders(t, &sb, g);
	if (g) {
		put_names(&sb, a, true);
		put_host(t, &sb, g, o);
		put_tls(t, &sb, o->via);
	} else if (!o) {
		put_names(&sb, a, false);
	}
	strbuf_printf(&sb, ": %.*s", SL_ARG(why));
	put_duration(t, &sb, LOG_DELIVER_TIME, "DT", g ? g->took_us : 0);
	write_line(t, &sb);
	remember(t, without_sign(&sb));
}

int line_defer_number(const struct group *g, const struct outcome *o)
{
	static const int numbers[] = {
	    ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET, EPIPE};
	static const struct {
		const char *said;
		int number;
	} answers[] = {
	    {"SMTP error from remote mail server after RCPT", -44},
	    {"SMTP error from remote mail server after pipelined RCPT", -44},
	    {"SMTP error from remote mail server after MAIL", -45},
	    {"SMTP error from remote mail server after pipelined MAIL", -45},
	    {"SMTP error from remote mail server after DATA", -46},
	    {"SMTP error from remote mail server after pipelined DATA", -46},
	    {"SMTP error from remote mail server after end of data", -46},
	    {"retry time not reached", -54},
	    {"first-pass only routing", -1},
	    {"TLS session:", -37},
	    {"mailbox is full (MTA-imposed", -22},
	    {"a TLS session is required", -38},
	    {"Retry time not yet reached", -53},
	};
	char buf[128];

	if (!g || !o)
		return g ? 0 : -1;
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		if (slice_starts(o->text, answers[i].said))
			return answers[i].number;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (slice_eqs(o->text, strerror_r(numbers[i], buf, sizeof buf)))
			return numbers[i];
	return 0;
}

void line_deferred(
    struct attempt *t, const struct address *a, const struct group *g, const struct outcome *o)
{
	struct strbuf sb;
	slice_t why = o ? o->text : a->logged;

	strbuf_init(&sb, t->arena, 0);
	strbuf_text(&sb, "== ");
	put_address(t, &sb, a, false); /* whole, also for a local delivery, as a failure is */
	put_names(&sb, a, g != NULL);
	int number = line_defer_number(g, o);
	strbuf_printf(&sb, " defer (%d)", number);
	if (number > 0) /* the system's words belong to its number */
		strbuf_printf(&sb, ": %.*s", SL_ARG(why));
	if (g && o && o->smtp)
		put_host(t, &sb, g, o);
	put_duration(t, &sb, LOG_DELIVER_TIME, "DT", g ? g->took_us : 0);
	if (number <= 0 && why.len)
		strbuf_printf(&sb, ": %.*s", SL_ARG(why));
	if (slice_eqs(why, "retry time not reached for any host"))
		strbuf_printf(&sb, " for '%.*s'", SL_ARG(a->facts.domain));
	write_line(t, &sb);
	remember(t, without_sign(&sb));
}

/* Its time has not come. */
void line_waits(struct attempt *t, slice_t address)
{
	struct strbuf sb;

	if (!log_selected(t->log, LOG_RETRY_DEFER))
		return;
	strbuf_init(&sb, t->arena, 0);
	strbuf_printf(&sb, "== %.*s routing defer (-52)", SL_ARG(address));
	put_duration(t, &sb, LOG_DELIVER_TIME, "DT", 0);
	strbuf_text(&sb, ": retry time not reached");
	write_line(t, &sb);
}

void line_completed(struct attempt *t)
{
	struct strbuf sb;

	strbuf_init(&sb, t->arena, 0);
	strbuf_text(&sb, "Completed");
	put_duration(t, &sb, LOG_QUEUE_TIME_OVERALL, "QT", queued_us(t));
	write_line(t, &sb);
}
