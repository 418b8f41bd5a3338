/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * EXPN, and ETRN: a queue run for what the client names, or a command of the site's.
 * The command runs apart from the session, in an agent; while one runs, the same argument is told
 * so (smtp_etrn_serialize).  What a client sends becomes one word of it at most: no blanks, no
 * quotes.
 */
#include "smtp/server_private.h"

#include <stdlib.h>

#define WORDS_MAX 50
#define ETRN_US   (INT64_C(300) * US_PER_SEC)

/* ---- EXPN ---- */
void serve_expn(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	struct error err = {0};
	struct strbuf sb;
	if (session_acl(r, ACL_EXPN, MO_acl_smtp_expn, slice_absent(), &out) != ACL_ACCEPT) {
		if (acl_refuse(r, ACL_EXPN, &out, r->arg))
			session_close(r, "acl-drop");
		return;
	}
	slice_t address, local, domain;
	if (!r->arg.len ||
	    address_parse_path(r->scratch, r->arg, false, address_flags(s->cfg), &address, &err)) {
		reply(r, 501, r->arg.len ? slice_cstr(err.text) : SL("empty address"));
		return;
	}
	if (!address_split(address, &local, &domain))
		address = arena_printf(r->scratch, "%.*s@%.*s", SL_ARG(address),
		    SL_ARG(config_text(s->cfg, MO_qualify_domain)));
	strbuf_init(&sb, r->scratch, 0);
	enum rc rc = RC_DEFER;
	if (s->server->cfg.expand_address &&
	    !pool_blocking_begin(r->w, POOL_FOR_LOOKUP, net_addr_client_key(&s->peer), &err)) {
		rc = s->server->cfg.expand_address(&r->ev, address, &sb, &err);
		pool_blocking_end(r->w);
	}
	if (rc == RC_OK)
		reply(r, 250, strbuf_slice(&sb));
	else if (rc == RC_FAIL)
		replyf(r, 553, "%.*s is undeliverable", SL_ARG(address));
	else
		replyf(r, 451, "<%.*s> Cannot resolve at this time", SL_ARG(address));
}

/* ---- ETRN ---- */
struct etrn {
	struct job job; /* first */
	struct etrn *next;
	struct smtp_server *server;
	struct arena *arena;
	struct config *cfg;
	struct log *log;
	slice_t key, argv[WORDS_MAX];
	uint32_t argc;
};

LOCK_FNS(etrns, struct smtp_server, lock, lk_smtp_clients)

/* false: the same is under way, and one at a time is enough */
static bool etrn_enter(struct etrn *e, bool serialize) EXCLUDES(lk_smtp_clients)
{
	bool found = false;
	etrns_lock(e->server);
	for (struct etrn *it = e->server->etrns; it && serialize; it = it->next)
		found = found || slice_eqi(it->key, e->key);
	if (!found) {
		e->next = e->server->etrns;
		e->server->etrns = e;
	}
	etrns_unlock(e->server);
	return !found;
}

static void etrn_leave(struct etrn *e) EXCLUDES(lk_smtp_clients)
{
	etrns_lock(e->server);
	struct etrn **p = &e->server->etrns;
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	etrns_unlock(e->server);
}

static void etrn_free(struct etrn *e)
{
	config_unref(&e->cfg);
	arena_free(&e->arena);
	free(e);
}

/* A worker's: as long as the command takes. */
static void etrn_job(struct job *job, struct worker *w)
{
	struct etrn *e = (struct etrn *)(void *)job;
	struct smtp_server *server = e->server;
	struct error err = {0};
	struct eval ev;
	slice_t text;
	int status = 0;
	eval_init(&ev, e->arena, e->cfg);
	ev.process = config_process(e->cfg);
	ev.hooks = server->cfg.eval_hooks;
	ev.services = server->cfg.services;
	ev.worker = w;
	ev.deadline_us = clock_mono_us() + ETRN_US;
	enum rc rc = pool_blocking_begin(w, POOL_FOR_AGENT, 0, &err);
	if (!rc) {
		rc = ev.hooks->run(&ev, e->argv, e->argc, &text, &status, &err);
		pool_blocking_end(w);
	}
	if (rc || status)
		log_main(e->log, slice_absent(), "ETRN command for %.*s failed: %s", SL_ARG(e->key),
		    rc ? err.text : "it ended with a status other than 0");
	etrn_leave(e);
	etrn_free(e);
	(void)atomic_fetch_sub_explicit(&server->sessions, 1, memory_order_acq_rel);
}

static bool is_plain(slice_t word)
{
	for (uint32_t i = 0; i < word.len; i++)
		if ((unsigned char)word.ptr[i] <= ' ' || word.ptr[i] == 127 ||
		    strchr("\"'\\`$", word.ptr[i]))
			return false;
	return word.len != 0;
}

/* The command's words; $domain is the argument.  false: it has been logged. */
static bool etrn_words(struct run *r, struct etrn *e)
{
	struct session *s = r->s;
	struct address_facts facts;
	struct error err = {0};
	slice_t text, word;
	session_address_facts(r, slice_absent(), &facts);
	facts.domain = r->arg;
	r->ev.address = &facts;
	enum rc rc = config_expand(&r->ev, MO_smtp_etrn_command, &text, &err);
	r->ev.address = NULL;
	if (rc) {
		log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "failed to expand smtp_etrn_command: %s",
		    err.text);
		return false;
	}
	slice_t rest = text;
	while (slice_next(&rest, ' ', &word)) {
		if (!word.len)
			continue;
		if (e->argc == WORDS_MAX) {
			log_line(
			    r, LOG_TO_MAIN | LOG_TO_PANIC, "smtp_etrn_command has too many words");
			return false;
		}
		e->argv[e->argc++] = arena_dup(e->arena, word);
	}
	/* the program is the site's own word, or refused as tainted */
	slice_t own = slice_trim(config_main(s->cfg, MO_smtp_etrn_command)->text);
	own = slice_sub(own, 0, slice_find(own, ' '));
	if (e->argc && slice_eq(own, e->argv[0]) && slice_find(own, '$') == SIZE_MAX)
		e->argv[0].flags = HEDDLE_CLEAN;
	if (e->argc && e->argv[0].ptr[0] == '/' && s->server->cfg.eval_hooks &&
	    s->server->cfg.eval_hooks->run)
		return true;
	log_line(r, LOG_TO_MAIN | LOG_TO_PANIC, "smtp_etrn_command is no absolute path: %.*s",
	    SL_ARG(text));
	return false;
}

static void start_command(struct run *r)
{
	struct session *s = r->s;
	struct etrn *e = calloc(1, sizeof *e); /* outlives the session */
	MUST(e != NULL);
	e->job.run = etrn_job;
	e->server = s->server;
	e->arena = arena_new(0);
	e->log = s->log;
	e->cfg = config_ref(s->cfg);
	e->key = arena_dup(e->arena, r->arg);
	if (!etrn_words(r, e)) {
		etrn_free(e);
		reply(r, 458, SL("Internal failure"));
		return;
	}
	if (!etrn_enter(e, config_bool(s->cfg, MO_smtp_etrn_serialize))) {
		etrn_free(e);
		replyf(r, 458, "Already processing %.*s", SL_ARG(r->arg));
		return;
	}
	(void)atomic_fetch_add_explicit(
	    &s->server->sessions, 1, memory_order_acq_rel); /* the server waits for it */
	pool_submit(s->server->cfg.pool, &e->job, POOL_DELIVERY);
	reply(r, 250, SL("OK"));
}

void serve_etrn(struct run *r)
{
	struct session *s = r->s;
	struct acl_outcome out;
	if (s->m) {
		synprot_error(r, true, 503, SL("ETRN is not permitted inside a transaction"));
		return;
	}
	if (log_selected(s->log, LOG_ETRN))
		log_line(r, LOG_TO_MAIN, "ETRN %.*s received from %.*s", SL_ARG(r->arg),
		    SL_ARG(host_for_text(r)));
	if (session_acl(r, ACL_ETRN, MO_acl_smtp_etrn, slice_absent(), &out) != ACL_ACCEPT) {
		if (acl_refuse(r, ACL_ETRN, &out, r->arg))
			session_close(r, "acl-drop");
		return;
	}
	if (config_main(s->cfg, MO_smtp_etrn_command)->is_set) {
		if (is_plain(r->arg))
			start_command(r);
		else
			synprot_error(r, false, 501, SL("invalid argument"));
		return;
	}
	if (r->arg.len < 2 || r->arg.ptr[0] != '#') {
		synprot_error(r, false, 501, SL("argument must begin with #"));
		return;
	}
	if (!s->server->cfg.queue_run) {
		reply(r, 458, SL("Administrative prohibition"));
		return;
	}
	s->server->cfg.queue_run(s->server->cfg.ctx, slice_sub(r->arg, 1, r->arg.len));
	reply(r, 250, SL("OK"));
}
