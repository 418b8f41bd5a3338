/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The testing modes: -be -bt -bv -bP -bV. */
#include "config/config.h"
#include "deliver/deliver.h"
#include "main/cli.h"
#include "message/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEST_DEADLINE (300 * US_PER_SEC)

struct test {
	struct process *p;
	struct loaded loaded;
	struct config *cfg; /* loaded's */
	struct arena *arena;
	struct eval ev;
	struct message_facts message;
};

static void begin(struct test *t)
{
	arena_reset(t->arena);
	eval_init(&t->ev, t->arena, t->cfg);
	t->ev.process = &t->p->facts;
	t->ev.services = t->loaded.sv;
	t->ev.deadline_us = clock_mono_us() + TEST_DEADLINE;
}

static void expand_one(struct test *t, slice_t text)
{
	struct error err = {.text = ""};
	slice_t out;

	begin(t);
	text.flags |= HEDDLE_CLEAN; /* whoever types it here may */
	enum rc rc = expand_text(&t->ev, text, &out, &err);
	if (rc == RC_OK)
		printf("%.*s\n", SL_ARG(out));
	else
		printf("Failed: %s\n", err.text);
}

static int run_expand(struct test *t, const struct cli *c)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (c->words.count) {
		VEC_FOREACH(&c->words, slice_t, w) expand_one(t, *w);
		return 0;
	}
	/* the prompt is there without a terminal too, as Exim's */
	for (;;) {
		(void)printf("> ");
		(void)fflush(stdout);
		if ((n = getline(&line, &cap, stdin)) <= 0)
			break;
		if (line[n - 1] == '\n')
			n--;
		expand_one(t, slice_of(line, (size_t)n, HEDDLE_CLEAN));
	}
	printf("\n");
	free(line);
	return 0;
}

static slice_t qualified(struct test *t, slice_t address)
{
	slice_t domain = config_text(t->cfg, MO_qualify_recipient);

	if (slice_find(address, '@') != SIZE_MAX)
		return address;
	if (slice_is_absent(domain) || domain.len == 0)
		domain = config_text(t->cfg, MO_qualify_domain);
	if (slice_is_absent(domain) || domain.len == 0)
		domain = t->p->facts.primary_hostname;
	return arena_printf(t->p->arena, "%.*s@%.*s", SL_ARG(address), SL_ARG(domain));
}

/* Exit statuses of -bt and -bv: the worst counts. */
enum { ALL_WELL, SOME_DEFERRED, SOME_FAILED };

static int test_address(struct test *t, const struct cli *c, slice_t address)
{
	static const int status_of[] = {[RC_OK] = ALL_WELL,
	    [RC_FAIL] = SOME_FAILED,
	    [RC_DEFER] = SOME_DEFERRED,
	    [RC_ERROR] = SOME_DEFERRED};
	struct strbuf out;

	begin(t);
	strbuf_init(&out, t->p->arena, 0);
	t->ev.message = &t->message;
	enum rc rc = deliver_address_test(&t->ev, qualified(t, address),
	    c->mode != CLI_ADDRESS_TEST, c->mode == CLI_VERIFY_SENDER, &out);
	printf("%.*s", SL_ARG(strbuf_slice(&out)));
	return status_of[rc];
}

/* Without words each line of the input is one address; the prompt is there without a terminal too.
 */
static int run_typed(struct test *t, const struct cli *c)
{
	struct error err;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int status = ALL_WELL;

	for (;;) {
		slice_t address;
		int now = SOME_FAILED;
		(void)printf("> ");
		(void)fflush(stdout);
		if ((n = getline(&line, &cap, stdin)) <= 0)
			break;
		slice_t text = slice_trim(slice_tainted(line, (size_t)n));
		if (text.len == 0)
			printf("syntax error: empty address\n");
		else if (address_parse_path(t->p->arena, text, false, address_flags(t->cfg),
		             &address, &err) != RC_OK)
			printf("syntax error: %s\n", err.text);
		else
			now = test_address(t, c, address);
		if (now > status)
			status = now;
	}
	printf("\n");
	free(line);
	return status;
}

/* Each word is a list of addresses, in any form that a header may have. */
static int run_addresses(struct test *t, const struct cli *c)
{
	struct error err;
	slice_t address;
	int status = ALL_WELL;

	if (c->words.count == 0)
		return run_typed(t, c);
	VEC_FOREACH(&c->words, slice_t, w)
	for (size_t pos = 0;;) {
		int now = SOME_FAILED;
		if (address_list_next(t->p->arena, *w, address_flags(t->loaded.cfg), &pos, &address,
		        &err) != RC_OK)
			printf("syntax error: %s\n", err.text);
		else if (slice_is_absent(address))
			break;
		else if (address.len == 0)
			printf("syntax error: missing or malformed local part\n");
		else
			now = test_address(t, c, address);
		if (now > status)
			status = now;
	}
	return status;
}

static int run_print(struct test *t, const struct cli *c)
{
	struct strbuf out;
	struct error err = {.text = ""};
	slice_t all = SL("");
	size_t n = c->words.count ? c->words.count : 1;
	int status = 0;

	for (size_t i = 0; i < n; i++) {
		slice_t what = c->words.count ? *VEC_AT(&c->words, slice_t, i) : all;
		/* "router NAME" comes as two words */
		if (i + 1 < c->words.count &&
		    (slice_eqs(what, "router") || slice_eqs(what, "transport") ||
		        slice_eqs(what, "authenticator"))) {
			what = arena_printf(t->p->arena, "%.*s %.*s", SL_ARG(what),
			    SL_ARG(*VEC_AT(&c->words, slice_t, i + 1)));
			i++;
		}
		strbuf_init(&out, t->p->arena, 0);
		if (config_print(t->cfg, what, getuid() == 0 || t->p->ordinary_user, &out, &err) !=
		    RC_OK) {
			printf("%s\n", err.text); /* where an answer is looked for, and the next one
			                             is answered too */
			status = 1;
			continue;
		}
		printf("%.*s", SL_ARG(strbuf_slice(&out)));
	}
	return status;
}

/* Up to three words: address or domain, another domain, the name of an error. */
static int run_retry(struct test *t, const struct cli *c)
{
	slice_t word[3] = {slice_absent(), slice_absent(), slice_absent()};
	struct error err = {.text = ""};
	struct strbuf out;
	size_t n = c->words.count < 3 ? c->words.count : 3, at = 1;

	if (n == 0) {
		printf("-brt needs a domain or address argument\n");
		return 1;
	}
	word[0] = *VEC_AT(&c->words, slice_t, 0);
	if (slice_find(word[0], '@') == SIZE_MAX && slice_find(word[0], '.') == SIZE_MAX)
		printf("Warning: \"%.*s\" contains no '@' and no '.' characters. It is being \n"
		       "treated as a one-component domain, not as a local part.\n\n",
		    SL_ARG(word[0]));
	if (at < n && slice_find(*VEC_AT(&c->words, slice_t, at), '.') != SIZE_MAX)
		word[1] = *VEC_AT(&c->words, slice_t, at++);
	if (at < n)
		word[2] = *VEC_AT(&c->words, slice_t, at);
	if (!slice_is_absent(word[2]) && !config_is_retry_error(word[2])) {
		printf("unknown or malformed retry error \"%.*s\"\n", SL_ARG(word[2]));
		return 1;
	}
	begin(t);
	t->ev.message = &t->message;
	strbuf_init(&out, t->p->arena, 0);
	if (deliver_retry_test(&t->ev, word[0], word[1], word[2], &out, &err) != RC_OK)
		printf("%s\n", err.text);
	printf("%.*s", SL_ARG(strbuf_slice(&out)));
	return 0;
}

int cli_run_test(struct process *p, const struct cli *c)
{
	struct test t = {.p = p};
	int status = 0;

	if (cli_load(p, c, c->mode == CLI_PRINT, &t.loaded) != RC_OK)
		return 1;
	t.cfg = t.loaded.cfg;
	process_adopt(p, t.cfg);
	t.arena = arena_new(0);
	t.message.arena = p->arena;
	t.message.sender_address = SL("");
	if (c->mode == CLI_EXPAND)
		status = run_expand(&t, c);
	else if (c->mode == CLI_RETRY_TEST)
		status = run_retry(&t, c);
	else if (c->mode == CLI_PRINT)
		status = run_print(&t, c);
	else
		status = run_addresses(&t, c);
	arena_free(&t.arena);
	cli_unload(&t.loaded);
	return fflush(stdout) == 0 ? status : 1;
}

static void print_class(struct drivers *d, uint16_t cls, const char *title, struct arena *a)
{
	struct vec list = {0};

	drivers_list(d, cls, a, &list);
	printf("%s:", title);
	VEC_FOREACH(&list, struct driver_listing, l) printf(" %.*s", SL_ARG(l->name));
	printf("\n");
	VEC_FOREACH(&list, struct driver_listing, l)
	if (!l->readable)
		printf("  %.*s: refused: %s\n", SL_ARG(l->name), l->problem.text);
}

int cli_run_version(struct process *p, const struct cli *c)
{
	struct services *sv = ARENA_NEW(p->arena, struct services);
	struct loaded loaded;
	struct error err = {.text = ""};
	struct drivers *d = NULL;

	printf("Heddle version %s (speaks the configuration language of Exim version %s)\n",
	    HEDDLE_VERSION, EXIM_LANGUAGE);
	services_init(sv);
	struct drivers_config dc = {
	    .folders = p->driver_folders, .any_owner = p->ordinary_user, .host = &sv->host};
	if (drivers_new(&dc, &d, &err) != RC_OK)
		return cli_fail(&err);
	print_class(d, HEDDLE_LOOKUP, "Lookups", p->arena);
	print_class(d, HEDDLE_AUTH, "Authenticators", p->arena);
	print_class(d, HEDDLE_ROUTER, "Routers", p->arena);
	print_class(d, HEDDLE_TRANSPORT, "Transports", p->arena);
	printf("Driver ABI: %d.%d\n", HEDDLE_ABI_MAJOR, HEDDLE_ABI_MINOR);
	fflush(stdout);
	drivers_free(&d);
	services_fini(sv);
	if (cli_load(p, c, false, &loaded) != RC_OK)
		return 1;
	printf("Configuration file is %.*s\n", SL_ARG(p->facts.config_file));
	cli_unload(&loaded);
	return fflush(stdout) == 0 ? 0 : 1;
}
