/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The testing modes: -be -bem -bt -bv -bP -bV -brt. */
#include "base/codec.h"
#include "config/config.h"
#include "deliver/deliver.h"
#include "main/cli.h"
#include "main/cli_input.h"
#include "main/cli_message.h"
#include "main/environment.h"
#include "message/message.h"
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEST_DEADLINE (300 * US_PER_SEC)

struct test {
	struct process *p;
	struct loaded loaded;
	struct config *cfg; /* loaded's */
	struct arena *arena;
	struct eval ev;
	struct message_facts message;
	struct session_facts session;
	struct header_list fields; /* message's */
	bool has_session, has_message;
	int worst; /* of the lines that were typed */
};

static void begin(struct test *t)
{
	arena_reset(t->arena);
	eval_init(&t->ev, t->arena, t->cfg);
	t->ev.process = &t->p->facts;
	t->ev.services = t->loaded.sv;
	t->ev.session = t->has_session ? &t->session : NULL;
	t->ev.message = t->has_message ? &t->message : NULL;
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

/* Lines of standard input, with a prompt that is there without a terminal too, as Exim's; a
 * backslash at an end goes on in the next line, whose blanks in front are no part of it. */
static void each_line(struct test *t, const struct cli *c,
    void (*fn)(struct test *t, const struct cli *c, slice_t line), bool continued)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	struct strbuf whole;

	strbuf_init(&whole, t->p->arena, 0);
	for (;;) {
		if (!whole.len)
			(void)printf("> ");
		(void)fflush(stdout);
		if ((n = getline(&line, &cap, stdin)) <= 0)
			break;
		if (line[n - 1] == '\n')
			n--;
		slice_t part = slice_of(line, (size_t)n, HEDDLE_CLEAN);
		while (whole.len && part.len && (part.ptr[0] == ' ' || part.ptr[0] == '\t'))
			part = slice_sub(part, 1, part.len);
		bool more = continued && part.len && part.ptr[part.len - 1] == '\\';
		strbuf_add(&whole, slice_sub(part, 0, part.len - (more ? 1u : 0u)));
		if (more)
			continue;
		fn(t, c, strbuf_slice(&whole));
		strbuf_init(&whole, t->p->arena, 0);
	}
	printf("\n");
	free(line);
}

static void expand_line(struct test *t, const struct cli *c, slice_t line)
{
	(void)c;
	expand_one(t, line);
}

static int run_expand(struct test *t, const struct cli *c)
{
	if (c->words.count == 0)
		each_line(t, c, expand_line, true);
	VEC_FOREACH(&c->words, slice_t, w) expand_one(t, *w);
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
	enum rc rc = deliver_address_test(&t->ev, qualified(t, address),
	    c->mode != CLI_ADDRESS_TEST, c->mode == CLI_VERIFY_SENDER, &out);
	printf("%.*s", SL_ARG(strbuf_slice(&out)));
	return status_of[rc];
}

/* A list of addresses, in any form that a header may have; the worst status of all. */
static int test_list(struct test *t, const struct cli *c, slice_t list)
{
	struct error err;
	slice_t address;
	int status = ALL_WELL;

	for (size_t pos = 0;;) {
		int now = SOME_FAILED;
		if (address_list_next(t->p->arena, list, address_flags(t->loaded.cfg), &pos,
		        &address, &err) != RC_OK)
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

/* A line of the input is one address. */
static void test_line(struct test *t, const struct cli *c, slice_t line)
{
	struct error err;
	slice_t text = slice_trim(line), address;
	int now = SOME_FAILED;

	text.flags = 0;
	if (text.len == 0)
		printf("syntax error: empty address\n");
	else if (address_parse_path(
	             t->p->arena, text, false, address_flags(t->cfg), &address, &err) != RC_OK)
		printf("syntax error: %s\n", err.text);
	else
		now = test_address(t, c, address);
	if (now > t->worst)
		t->worst = now;
}

static int run_addresses(struct test *t, const struct cli *c)
{
	if (c->words.count == 0)
		each_line(t, c, test_line, false);
	int status = t->worst;
	VEC_FOREACH(&c->words, slice_t, w)
	{
		int now = test_list(t, c, *w);
		if (now > status)
			status = now;
	}
	return status;
}

/* -n: the values alone; one that is not set is not there. */
static void print_terse(slice_t text)
{
	slice_t line;

	while (slice_next(&text, '\n', &line)) {
		size_t at = slice_search(line, SL(" = "));
		bool empty =
		    line.len > 2 && line.ptr[line.len - 1] == '=' && line.ptr[line.len - 2] == ' ';
		if (at != SIZE_MAX)
			line = slice_sub(line, at + 3, line.len);
		if (!empty && line.len)
			printf("%.*s\n", SL_ARG(line));
	}
}

/* What is left of the environment by the configuration; -n: without the values. */
static enum rc print_environment(struct test *t, const struct cli *c, struct error *err)
{
	struct vec left = {0};
	enum rc rc = environment_make(t->p->arena, t->cfg, environ, &left, err);

	if (rc == RC_OK)
		VEC_FOREACH(&left, const char *, one)
	printf("%.*s\n", c->terse ? (int)strcspn(*one, "=") : (int)strlen(*one), *one);
	return rc;
}

/* Words that come with the next one; a macro's list is for admin users. */
static bool takes_name(slice_t what)
{
	static const char *const words[] = {"router", "transport", "authenticator", "macro"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (slice_eqs(what, words[i]))
			return true;
	return false;
}

static enum rc print_one(struct test *t, const struct cli *c, slice_t what, struct error *err)
{
	struct strbuf out;
	bool admin = cli_is_admin(t->p, t->cfg);

	if (slice_eqs(what, "environment"))
		return print_environment(t, c, err);
	if (slice_starts(what, "macro") && !admin) {
		(void)error_set(err, RC_FAIL, "permission denied");
		(void)cli_fail(err);
		return RC_DEFER;
	}
	strbuf_init(&out, t->p->arena, 0);
	enum rc rc = config_print(t->cfg, what, admin, &out, err);
	slice_t text = strbuf_slice(&out);
	size_t eq = slice_find(text, '=');
	if (rc == RC_OK && c->terse && slice_starts(what, "macro ") && eq != SIZE_MAX)
		printf("%.*s", SL_ARG(slice_sub(text, eq + 1, text.len)));
	else if (rc == RC_OK && c->terse && !slice_eqs(what, "config"))
		print_terse(text);
	else if (rc == RC_OK)
		printf("%.*s", SL_ARG(text));
	return rc;
}

static int run_print(struct test *t, const struct cli *c)
{
	struct error err = {.text = ""};
	struct vec what = {0};
	int status = 0;

	VEC_FOREACH(&c->words, slice_t, w)
	{
		slice_t *last = what.count ? VEC_AT(&what, slice_t, what.count - 1) : NULL;
		if (last && takes_name(*last)) /* "router NAME" comes as two words */
			*last = arena_printf(t->p->arena, "%.*s %.*s", SL_ARG(*last), SL_ARG(*w));
		else if (!slice_eqs(*w, "-n")) /* Exim takes it behind -bP too */
			*VEC_PUSH(t->p->arena, &what, slice_t) = *w;
	}
	if (!c->words.count)
		*VEC_PUSH(t->p->arena, &what, slice_t) = SL("");
	VEC_FOREACH(&what, slice_t, one)
	{
		enum rc rc = print_one(t, c, *one, &err);
		if (rc == RC_OK)
			continue;
		status = 1;
		if (rc == RC_DEFER)
			return status;
		/* where an answer is looked for; and the next one is answered too */
		printf("%s\n", err.text);
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
	strbuf_init(&out, t->p->arena, 0);
	if (deliver_retry_test(&t->ev, word[0], word[1], word[2], &out, &err) != RC_OK)
		printf("%s\n", err.text);
	printf("%.*s", SL_ARG(strbuf_slice(&out)));
	return 0;
}

/* ---- what is known of a message or a session ---------------------------------------------------
 */
/* -oM...: any caller may play with them here. */
static enum rc set_session(struct test *t, const struct cli *c, struct error *err)
{
	struct session_facts *f = &t->session;
	char buf[NET_ADDR_TEXT];
	struct net_addr addr;

	session_facts_clear(f, t->p->arena);
	f->sender_host_name = slice_cstr(c->host_name);
	f->sender_ident = slice_cstr(c->ident);
	f->received_protocol = slice_cstr(c->protocol);
	f->smtp_active_hostname = t->p->facts.primary_hostname;
	f->sender_host_authenticated = slice_cstr(c->auth);
	f->authenticated_id = slice_cstr(c->auth_id);
	if (c->host_name)
		f->host_lookup = HOST_LOOKUP_OK;
	t->message.authenticated_sender = slice_cstr(c->auth_sender);
	if (c->host) {
		if (!net_addr_parse_port(slice_cstr(c->host), &addr))
			return error_set(
			    err, RC_FAIL, "abandoned: \"%s\" is not an IP address", c->host);
		f->sender_host_address = arena_dup(t->p->arena, net_addr_text(&addr, buf));
		f->sender_host_port = addr.port;
	}
	if (c->interface) {
		if (!net_addr_parse_port(slice_cstr(c->interface), &addr))
			return error_set(
			    err, RC_FAIL, "abandoned: \"%s\" is not an IP address", c->interface);
		f->interface_address = arena_dup(t->p->arena, net_addr_text(&addr, buf));
		f->interface_port = addr.port;
	}
	return RC_OK;
}

/* -f, else the caller; nobody's own name is in the way where the system has none. */
static void set_sender(struct test *t, const struct cli *c)
{
	struct arena *a = t->p->arena;
	struct error err;
	slice_t login, address = SL("");

	if (c->sender) {
		slice_t text = slice_trim(slice_cstr(c->sender));
		if (text.len &&
		    address_parse_path(a, text, true, address_flags(t->cfg) | ADDRESS_LITERAL,
		        &address, &err) != RC_OK)
			address = SL("");
	} else if (c->file && cli_login(a, &login, &err) == RC_OK) {
		address = login;
	}
	t->message.sender_address = address.len ? qualified(t, address) : address;
}

static void set_body(struct test *t, slice_t body)
{
	struct arena *a = t->p->arena;
	int64_t max = config_int(t->cfg, MO_message_body_visible);
	char *flat = arena_bytes(a, body.len + 1u);

	for (uint32_t i = 0; i < body.len; i++) {
		flat[i] = body.ptr[i] && body.ptr[i] != '\n' ? body.ptr[i] : ' ';
		t->message.body_linecount += body.ptr[i] == '\n';
		t->message.body_zerocount += body.ptr[i] == '\0';
	}
	slice_t all = slice_tainted(flat, body.len);
	t->message.body_size = body.len;
	if (max <= 0)
		return;
	t->message.body_start = slice_sub(all, 0, (size_t)max);
	t->message.body_end =
	    body.len > max ? slice_sub(all, body.len - (size_t)max, body.len) : all;
}

/* -bem: a file, as a message on standard input would be read; -t takes recipients from it. */
static enum rc set_from_file(struct test *t, const struct cli *c, struct error *err)
{
	struct arena *a = t->p->arena;
	struct strbuf body;
	struct input in;
	slice_t line;
	int fd = open(c->file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, RC_FAIL, errno, "failed to open %s", c->file);
	input_init(&in, a, fd);
	in.dot_is_text = c->dot_is_text;
	strbuf_init(&body, a, 0);
	(void)input_header(&in, NULL);
	while (input_body(&in, &line) == INPUT_LINE) {
		strbuf_add(&body, line);
		strbuf_char(&body, '\n');
	}
	header_parse(a, strbuf_slice(&in.header), &t->fields);
	input_fini(&in);
	(void)close(fd);
	t->message.headers = &t->fields;
	set_body(t, strbuf_slice(&body));
	t->message.message_size =
	    (int64_t)(header_section_size(&t->fields) + 1 + strbuf_slice(&body).len);
	if (!c->extract)
		return RC_OK;
	struct cli plain = *c;
	struct submission s = {.p = t->p, .c = &plain, .loaded = t->loaded, .fd = -1};
	struct sending sending = {.s = &s, .arena = a, .fields = t->fields};
	plain.words = (struct vec){0}; /* here they are texts to expand */
	message_recipients(&sending);
	t->fields = sending.fields;
	t->message.recipients = sending.recipients.items;
	t->message.recipients_count = (uint32_t)sending.recipients.count;
	return RC_OK;
}

/* What the daemon says of a message: "NAME VALUE" in lines, then the body. */
static enum rc set_from_answer(struct test *t, slice_t answer, struct error *err)
{
	struct arena *a = t->p->arena;
	struct message *m = message_new(); /* lives as long as the process */
	struct vec recipients = {0};
	slice_t line, value, bytes = SL("");

	while (slice_next(&answer, '\n', &line) && !slice_eqs(line, "body")) {
		size_t space = slice_find(line, ' ');
		slice_t name = slice_sub(line, 0, space == SIZE_MAX ? line.len : space);
		value = space == SIZE_MAX ? SL("") : slice_sub(line, space + 1, line.len);
		value.flags = 0;
		bool encoded = slice_eqs(name, "facts") || slice_eqs(name, "headers");
		if (encoded && !base64_decode(a, value, &bytes))
			return error_set(err, RC_FAIL, "what the daemon says cannot be read");
		if (slice_eqs(name, "facts") && message_decode_envelope(m, bytes, err) != RC_OK)
			return RC_FAIL;
		if (slice_eqs(name, "facts")) {
			t->message = m->facts;
			t->session = m->session;
			t->session.arena = t->message.arena = a;
		}
		if (slice_eqs(name, "headers"))
			header_parse(a, bytes, &t->fields);
		if (slice_eqs(name, "recipient"))
			*VEC_PUSH(a, &recipients, slice_t) = value;
	}
	t->message.headers = &t->fields;
	t->message.recipients = recipients.items;
	t->message.recipients_count = (uint32_t)recipients.count;
	answer.flags = 0;
	set_body(t, answer);
	return RC_OK;
}

/* The rest of the facts, which are lines before "body" too. */
static void set_numbers(struct test *t, slice_t answer)
{
	slice_t line;
	int64_t n;

	while (slice_next(&answer, '\n', &line) && !slice_eqs(line, "body")) {
		if (slice_starts(line, "sender "))
			t->message.sender_address = slice_tainted(line.ptr + 7, line.len - 7);
		if (slice_starts(line, "received ") &&
		    slice_to_i64(slice_sub(line, 9, line.len), 10, false, &n))
			t->message.received_time_us = n;
		if (slice_starts(line, "size ") &&
		    slice_to_i64(slice_sub(line, 5, line.len), 10, false, &n))
			t->message.message_size = n;
	}
}

/* -Mset: a message of the queue; when there is none, the expansions go on without, as Exim's. */
static void set_from_queue(struct test *t, const struct cli *c)
{
	struct error err = {.text = ""};
	slice_t answer = SL(""), id = slice_cstr(c->set_id);
	slice_t request = arena_printf(t->p->arena, "view-facts %.*s", SL_ARG(id));

	if (!cli_ask(t->p, request, &answer, &err) || set_from_answer(t, answer, &err) != RC_OK) {
		printf("Failed to load message %s: %s\n", c->set_id, err.text);
		return;
	}
	set_numbers(t, answer);
	t->message.id = id;
}

static enum rc set_facts(struct test *t, const struct cli *c, struct error *err)
{
	enum rc rc = RC_OK;

	t->message = (struct message_facts){.arena = t->p->arena, .message_size = -1};
	t->has_session = c->set_id || c->host || c->interface || c->host_name || c->ident ||
	                 c->auth || c->auth_id || c->protocol;
	t->has_message =
	    c->mode != CLI_EXPAND || c->set_id || c->file || c->sender || c->auth_sender;
	set_sender(t, c);
	if (c->file)
		rc = set_from_file(t, c, err);
	if (c->set_id)
		set_from_queue(t, c);
	else if (rc == RC_OK)
		rc = set_session(t, c, err);
	return rc;
}

int cli_run_test(struct process *p, const struct cli *c)
{
	struct test t = {.p = p};
	struct error err = {.text = ""};
	int status = 0;

	if (cli_load(p, c, c->mode == CLI_PRINT, &t.loaded) != RC_OK)
		return 1;
	t.cfg = t.loaded.cfg;
	process_adopt(p, t.cfg);
	t.arena = arena_new(0);
	if ((c->mode != CLI_PRINT && cli_check_rights(p, t.cfg, &err) != RC_OK) ||
	    set_facts(&t, c, &err) != RC_OK)
		status = cli_fail(&err);
	else if (c->mode == CLI_EXPAND)
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
