/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The client's sessions against a server that follows a script: whatever it does, each recipient
 * has one outcome. */
#include "base/clock.h"
#include "base/strbuf.h"
#include "lib/tap.h"
#include "smtp/client_private.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define SCRIPT_MAX 40

/* A step: wait for this line (prefix), then say that.  The end of the script closes. */
struct step {
	const char *want; /* NULL: nothing; ".": the whole message */
	const char *say; /* NULL: nothing; "STALL": nothing for ever; "RESET": close with a reset */
};

struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	const struct step (*scripts)[SCRIPT_MAX];
	size_t n_scripts;
	_Atomic unsigned connections;
	_Atomic bool stop;
	char seen[20000]; /* all lines of all connections */
	size_t seen_len;
};

struct line_in {
	int fd;
	char buf[100000];
	size_t len;
};

static bool fill(struct server *s, struct line_in *in)
{
	while (!atomic_load(&s->stop)) {
		struct pollfd p = {.fd = in->fd, .events = POLLIN};
		if (poll(&p, 1, 20) == 0)
			continue;
		ssize_t n = recv(in->fd, in->buf + in->len, sizeof in->buf - in->len, 0);
		if (n <= 0)
			return false;
		in->len += (size_t)n;
		return true;
	}
	return false;
}

/* Up to and with `end`; kept in seen. */
static bool take(struct server *s, struct line_in *in, const char *end, const char *want)
{
	size_t n = strlen(end);
	for (;;) {
		char *at = in->len >= n ? memmem(in->buf, in->len, end, n) : NULL;
		if (at) {
			size_t used = (size_t)(at - in->buf) + n;
			bool good =
			    strncmp(in->buf, want, strlen(want)) == 0 || strcmp(want, ".") == 0;
			size_t keep = used < sizeof s->seen - s->seen_len - 1 ? used : 0;
			memcpy(s->seen + s->seen_len, in->buf, keep);
			s->seen_len += keep;
			s->seen[s->seen_len] = '\0';
			memmove(in->buf, in->buf + used, in->len - used);
			in->len -= used;
			return good;
		}
		if (!fill(s, in))
			return false;
	}
}

static void serve(struct server *s, int fd, const struct step *script)
{
	static _Thread_local struct line_in in;
	in.fd = fd;
	in.len = 0;
	for (size_t i = 0; i < SCRIPT_MAX && (script[i].want || script[i].say); i++) {
		const struct step *st = &script[i];
		if (st->want &&
		    !take(s, &in, strcmp(st->want, ".") == 0 ? "\r\n.\r\n" : "\r\n", st->want))
			break;
		if (st->say && strcmp(st->say, "STALL") == 0) {
			while (!atomic_load(&s->stop) && fill(s, &in))
				;
			break;
		}
		if (st->say && strcmp(st->say, "RESET") == 0) {
			struct linger l = {.l_onoff = 1};
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
			break;
		}
		if (st->say)
			(void)send(fd, st->say, strlen(st->say), MSG_NOSIGNAL);
	}
	(void)close(fd);
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	while (!atomic_load(&s->stop)) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};
		if (poll(&p, 1, 20) <= 0)
			continue;
		int fd = accept(s->fd, NULL, NULL);
		if (fd < 0)
			continue;
		unsigned k = atomic_fetch_add(&s->connections, 1);
		serve(s, fd, s->scripts[k < s->n_scripts ? k : s->n_scripts - 1]);
	}
	return NULL;
}

static void server_start(struct server *s, const struct step (*scripts)[SCRIPT_MAX], size_t n)
{
	struct net_addr at = {.family = AF_INET, .bytes = {127, 0, 0, 1}}, bound;
	memset(s, 0, sizeof *s);
	s->scripts = scripts;
	s->n_scripts = n;
	MUST(net_listen(&at, 16, &s->fd, &bound, NULL) == RC_OK);
	s->port = bound.port;
	MUST(pthread_create(&s->thread, NULL, server_main, s) == 0);
}

static void server_stop(struct server *s)
{
	atomic_store(&s->stop, true);
	(void)pthread_join(s->thread, NULL);
	(void)close(s->fd);
}

/* ---- a message ---- */
struct text_source {
	slice_t text, left;
	bool fails;
};
static enum rc text_open(void *ctx, bool dotted, struct error *err)
{
	struct text_source *t = ctx;
	(void)dotted, (void)err;
	t->left = t->text;
	return RC_OK;
}
static enum rc text_read(void *ctx, char *buf, size_t cap, size_t *got, struct error *err)
{
	struct text_source *t = ctx;
	size_t n = t->left.len < cap ? t->left.len : cap;
	if (t->fails && t->left.len < t->text.len)
		return error_set(err, RC_DEFER, "the disk is gone");
	if (t->fails && n > 10)
		n = 10;
	if (n)
		memcpy(buf, t->left.ptr, n);
	t->left = slice_sub(t->left, n, t->left.len);
	*got = n;
	return RC_OK;
}

struct trial {
	struct arena *a;
	struct smtp_clients *clients;
	struct client_target t;
	struct client_wait w;
	struct text_source source;
	struct client_message m;
	struct client_recipient r[3];
	struct client_outcome why;
	struct client_session *s;
};

static void trial_begin(struct trial *x, const struct server *s, struct smtp_clients *clients)
{
	memset(x, 0, sizeof *x);
	x->a = arena_new(0);
	x->clients = clients;
	x->t = (struct client_target){
	    .to = {.family = AF_INET, .bytes = {127, 0, 0, 1}, .port = s->port},
	    .name = SL("mx.example"),
	    .key = SL("key"),
	    .helo = SL("me.example"),
	    .connect_ms = 2000,
	    .command_ms = 300,
	    .data_ms = 300,
	    .final_ms = 300};
	x->w.deadline_us = clock_mono_us() + 10 * US_PER_SEC;
	x->source.text = SL("Subject: x\r\n\r\nhello\r\n");
	x->m = (struct client_message){.sender = SL("from@a.example"),
	    .size = 1000,
	    .ctx = &x->source,
	    .open = text_open,
	    .read = text_read};
	x->r[0].address = SL("one@b.example");
	x->r[1].address = SL("two@b.example");
	x->r[2].address = SL("three@b.example");
}

/* Open, send to n, close; the result of the first that was not OK. */
static enum rc trial_run(struct trial *x, size_t n)
{
	enum rc rc = client_open(x->clients, &x->t, &x->w, x->a, &x->s, &x->why);
	if (rc == RC_OK)
		rc = client_send(x->s, &x->m, x->r, n, &x->why);
	client_close(&x->s);
	return rc;
}

static struct smtp_clients *clients_new(void)
{
	static const struct smtp_clients_config cfg = {
	    .avoid_us = 200000, .unproven_wait_us = 300000};
	struct smtp_clients *c = NULL;
	MUST(smtp_clients_new(&cfg, &c, NULL) == RC_OK);
	return c;
}

#define HELLO                                                                              \
	{NULL, "220 mx.example ESMTP\r\n"},                                                \
	{                                                                                  \
		"EHLO me.example", "250-mx.example\r\n250-SIZE 100000\r\n250 8BITMIME\r\n" \
	}
#define HELLO_P                                                     \
	{NULL, "220 mx ESMTP\r\n"},                                 \
	{                                                           \
		"EHLO ", "250-mx\r\n250-PIPELINING\r\n250 SIZE\r\n" \
	}
#define MAIL_OK                                            \
	{                                                  \
		"MAIL FROM:<from@a.example>", "250 ok\r\n" \
	}
#define RCPT_OK                           \
	{                                 \
		"RCPT TO:<", "250 ok\r\n" \
	}
#define DATA_OK                      \
	{                            \
		"DATA", "354 go\r\n" \
	}
#define DOT_OK                                  \
	{                                       \
		".", "250 2.0.0 taken as 1\r\n" \
	}
#define QUIT                          \
	{                             \
		"QUIT", "221 bye\r\n" \
	}

/* One script, two recipients: what comes out. */
static const struct row {
	const char *name;
	struct step script[SCRIPT_MAX];
	enum rc rc;        /* of the whole */
	uint32_t about;    /* of why, if rc is not OK */
	const char *why;   /* is in its text */
	int first, second; /* recipients' own results, -1: none */
	const char *second_text;
} rows[] = {
    {"delivered", {HELLO, MAIL_OK, RCPT_OK, RCPT_OK, DATA_OK, DOT_OK, QUIT}, RC_OK, 0, NULL, RC_OK,
        RC_OK, "taken as 1"},
    {"delivered, pipelined", {HELLO_P, MAIL_OK, RCPT_OK, RCPT_OK, DATA_OK, DOT_OK, QUIT}, RC_OK, 0,
        NULL, RC_OK, RC_OK, "taken as 1"},
    {"EHLO unknown",
        {{NULL, "220 mx\r\n"}, {"EHLO", "502 what\r\n"}, {"HELO", "250 mx\r\n"}, MAIL_OK, RCPT_OK,
            RCPT_OK, DATA_OK, DOT_OK},
        RC_OK, 0, NULL, RC_OK, RC_OK, "taken"},
    {"refused at once", {{NULL, "554 no service here\r\n"}}, RC_FAIL, HEDDLE_X_HOST,
        "SMTP error from remote mail server after initial connection: 554 no service here", -1, -1,
        NULL},
    {"busy", {{NULL, "421 come back\r\n"}}, RC_DEFER, HEDDLE_X_HOST,
        "after initial connection: 421 come back", -1, -1, NULL},
    {"EHLO and HELO refused", {{NULL, "220 mx\r\n"}, {"EHLO", "550 a\r\n"}, {"HELO", "550 b\r\n"}},
        RC_FAIL, HEDDLE_X_HOST, "after HELO me.example: 550 b", -1, -1, NULL},
    {"closes at once", {{NULL, "RESET"}}, RC_DEFER, HEDDLE_X_HOST,
        "closed connection in response to initial connection", -1, -1, NULL},
    {"no greeting", {{NULL, "STALL"}}, RC_DEFER, HEDDLE_X_HOST,
        "SMTP timeout after initial connection", -1, -1, NULL},
    {"closes after EHLO", {{NULL, "220 mx\r\n"}, {"EHLO", NULL}}, RC_DEFER, HEDDLE_X_HOST,
        "Remote host closed connection in response to EHLO me.example", -1, -1, NULL},
    {"MAIL later", {HELLO, {"MAIL", "452 4.3.1 full\r\n"}, QUIT}, RC_DEFER, HEDDLE_X_MESSAGE,
        "MAIL FROM:<from@a.example> SIZE=1000: 452", -1, -1, NULL},
    {"MAIL never",
        {HELLO_P, {"MAIL", "550 no\r\n"}, {"RCPT", "503 a\r\n"}, {"RCPT", "503 b\r\n"},
            {"DATA", "503 c\r\n"}, QUIT},
        RC_FAIL, HEDDLE_X_MESSAGE, "after pipelined MAIL FROM:<from@a.example> SIZE=1000: 550 no",
        -1, -1, NULL},
    {"MAIL stalls", {HELLO, {"MAIL", "STALL"}}, RC_DEFER, HEDDLE_X_MESSAGE,
        "SMTP timeout after MAIL", -1, -1, NULL},
    {"MAIL closes", {HELLO, {"MAIL", NULL}}, RC_DEFER, HEDDLE_X_HOST, "in response to MAIL", -1, -1,
        NULL},
    {"one of two", {HELLO, MAIL_OK, RCPT_OK, {"RCPT", "550 5.1.1 nobody\r\n"}, DATA_OK, DOT_OK},
        RC_OK, 0, NULL, RC_OK, RC_FAIL,
        "SMTP error from remote mail server after RCPT TO:<two@b.example>: 550 5.1.1 nobody"},
    {"one later",
        {HELLO_P, MAIL_OK, RCPT_OK, {"RCPT", "450-first\r\n450 second\r\n"}, DATA_OK, DOT_OK},
        RC_OK, 0, NULL, RC_OK, RC_DEFER, "450-first\n450 second"},
    {"nobody, pipelined, DATA taken",
        {HELLO_P, MAIL_OK, {"RCPT", "550 a\r\n"}, {"RCPT", "550 b\r\n"}, DATA_OK,
            {".", "554 none\r\n"}},
        RC_OK, 0, NULL, RC_FAIL, RC_FAIL, "550 b"},
    {"nobody", {HELLO, MAIL_OK, {"RCPT", "550 a\r\n"}, {"RCPT", "551 b\r\n"}, QUIT}, RC_OK, 0, NULL,
        RC_FAIL, RC_FAIL, "551 b"},
    {"second stalls", {HELLO, MAIL_OK, RCPT_OK, {"RCPT", "STALL"}}, RC_DEFER, 0,
        "SMTP timeout after RCPT", -1, RC_DEFER, "timeout"},
    {"421 at RCPT", {HELLO, MAIL_OK, {"RCPT", "421 bye\r\n"}}, RC_DEFER, HEDDLE_X_HOST, "421 bye",
        -1, -1, NULL},
    {"closes at RCPT", {HELLO, MAIL_OK, {"RCPT", NULL}}, RC_DEFER, HEDDLE_X_HOST,
        "RCPT TO:<one@b.example>", -1, -1, NULL},
    {"DATA refused", {HELLO, MAIL_OK, RCPT_OK, RCPT_OK, {"DATA", "554 no\r\n"}}, RC_FAIL,
        HEDDLE_X_MESSAGE, "after DATA: 554", -1, -1, NULL},
    {"DATA stalls", {HELLO, MAIL_OK, RCPT_OK, RCPT_OK, {"DATA", "STALL"}}, RC_DEFER, HEDDLE_X_HOST,
        "timeout after DATA", -1, -1, NULL},
    {"end refused", {HELLO, MAIL_OK, RCPT_OK, RCPT_OK, DATA_OK, {".", "550 spam\r\n"}}, RC_FAIL,
        HEDDLE_X_MESSAGE, "after end of data: 550 spam", -1, -1, NULL},
    {"end later", {HELLO, MAIL_OK, RCPT_OK, RCPT_OK, DATA_OK, {".", "451 later\r\n"}}, RC_DEFER,
        HEDDLE_X_MESSAGE, "end of data: 451", -1, -1, NULL},
    {"end stalls", {HELLO, MAIL_OK, RCPT_OK, RCPT_OK, DATA_OK, {".", "STALL"}}, RC_DEFER,
        HEDDLE_X_MESSAGE, "timeout after end of data", -1, -1, NULL},
    {"closes at the end", {HELLO, MAIL_OK, RCPT_OK, RCPT_OK, DATA_OK, {".", NULL}}, RC_DEFER,
        HEDDLE_X_MESSAGE, "in response to end of data", -1, -1, NULL},
    {"garbage", {{NULL, "hello there\r\n"}}, RC_DEFER, HEDDLE_X_HOST,
        "Malformed SMTP reply in response to initial connection: hello there", -1, -1, NULL},
    {"codes differ", {{NULL, "220-a\r\n250 b\r\n"}}, RC_DEFER, HEDDLE_X_HOST, "Malformed", -1, -1,
        NULL},
    {"control characters", {{NULL, "554 a\033[2Jb\r\n"}}, RC_FAIL, HEDDLE_X_HOST, "554 a?[2Jb", -1,
        -1, NULL},
    {"intermediate code at RCPT",
        {HELLO, MAIL_OK, {"RCPT", "354 what\r\n"}, RCPT_OK, DATA_OK, DOT_OK}, RC_OK, 0, NULL,
        RC_DEFER, RC_OK, "taken"},
};

static bool has(slice_t text, const char *part)
{
	return slice_search(text, slice_cstr(part)) != SIZE_MAX;
}

static void run_row(const struct row *row)
{
	static struct server s;
	struct trial x;
	struct smtp_clients *c = clients_new();
	server_start(&s, &row->script, 1);
	trial_begin(&x, &s, c);
	enum rc rc = trial_run(&x, 2);
	bool good = rc == row->rc;
	if (row->why)
		good = good && x.why.about == row->about && x.why.result == row->rc &&
		       has(x.why.text, row->why);
	const int want[2] = {row->first, row->second};
	for (int i = 0; i < 2; i++)
		good = good && x.r[i].has_outcome == (want[i] >= 0) &&
		       (want[i] < 0 || (int)x.r[i].outcome.result == want[i]);
	if (row->second_text)
		good = good && has(x.r[1].outcome.text, row->second_text);
	tap_check(good, __FILE__, __LINE__, row->name);
	if (!good)
		printf("# rc %d about %u why \"%.*s\" / %d %d \"%.*s\"\n", (int)rc, x.why.about,
		    SL_ARG(x.why.text), x.r[0].has_outcome, x.r[1].has_outcome,
		    SL_ARG(x.r[1].outcome.text));
	struct client_stats st;
	smtp_clients_stats(c, &st);
	CHECK_EQ_INT(st.active, 0);
	smtp_clients_free(&c);
	server_stop(&s);
	arena_free(&x.a);
}

TEST(scripts)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		run_row(&rows[i]);
}

TEST(the_wire)
{
	static const struct step scripts[1][SCRIPT_MAX] = {
	    {HELLO, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK, QUIT}};
	static struct server s;
	struct trial x;
	struct smtp_clients *c = clients_new();
	server_start(&s, scripts, 1);
	trial_begin(&x, &s, c);
	x.m.body_8bit = true;
	x.source.text = SL("Subject: x\r\n\r\n..dot\r\nno end");
	CHECK_EQ_INT(trial_run(&x, 1), RC_OK);
	CHECK_EQ_STR(slice_cstr(x.r[0].outcome.enhanced), "2.0.0");
	CHECK_EQ_INT(x.r[0].outcome.smtp, 250);
	smtp_clients_free(&c); /* says QUIT */
	usleep(50000);
	server_stop(&s);
	CHECK_EQ_STR(slice_cstr(s.seen),
	    "EHLO me.example\r\nMAIL FROM:<from@a.example> SIZE=1000 BODY=8BITMIME\r\n"
	    "RCPT TO:<one@b.example>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\nno "
	    "end\r\n.\r\nQUIT\r\n");
	arena_free(&x.a);
}

/* Whatever the server does, nothing but EHLO and STARTTLS is said in clear where TLS is required.
 */
TEST(required_tls_is_never_clear)
{
#define OFFERS                                                          \
	{NULL, "220 mx ESMTP\r\n"},                                     \
	{                                                               \
		"EHLO ", "250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n" \
	}
	static const struct {
		const char *name;
		struct step script[SCRIPT_MAX];
		const char *why, *seen;
	} cases[] = {
	    {"not offered", {HELLO_P, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK},
	        "did not offer TLS support", "EHLO me.example\r\n"},
	    {"refused", {OFFERS, {"STARTTLS", "554 no\r\n"}, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK},
	        "an attempt to start TLS failed", "EHLO me.example\r\nSTARTTLS\r\n"},
	    {"not now", {OFFERS, {"STARTTLS", "454 no\r\n"}, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK},
	        "an attempt to start TLS failed", "EHLO me.example\r\nSTARTTLS\r\n"},
	    {"more than its reply",
	        {OFFERS, {"STARTTLS", "220 go\r\n250 mx\r\n"}, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK},
	        "sent more than its reply", "EHLO me.example\r\nSTARTTLS\r\n"},
	};
#undef OFFERS
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		static struct server s;
		struct trial x;
		struct smtp_clients *c = clients_new();
		server_start(&s, &cases[i].script, 1);
		trial_begin(&x, &s, c);
		x.t.tls.wish = CLIENT_REQUIRE;
		x.t.tls.try_clear = true; /* makes no difference */
		enum rc rc = trial_run(&x, 1);
		smtp_clients_free(&c);
		server_stop(&s);
		bool good = rc == RC_DEFER && has(x.why.text, cases[i].why) &&
		            x.why.about == HEDDLE_X_HOST && strcmp(s.seen, cases[i].seen) == 0;
		tap_check(good, __FILE__, __LINE__, cases[i].name);
		if (!good)
			printf(
			    "# rc %d \"%.*s\", it saw %s\n", (int)rc, SL_ARG(x.why.text), s.seen);
		arena_free(&x.a);
	}
}

/* RFC 6531: a domain has an ASCII form, a local part has not. */
TEST(addresses_without_smtputf8)
{
	static const struct step scripts[1][SCRIPT_MAX] = {
	    {HELLO, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK, QUIT}};
	static struct server s;
	struct trial x;
	struct smtp_clients *c = clients_new();
	server_start(&s, scripts, 1);
	trial_begin(&x, &s, c);
	x.m.utf8_downconvert = -1;
	x.m.smtputf8 = true;
	x.r[0].address = SL("joe@b\xc3\xbc"
	                    "cher.example");
	x.r[1].address = SL("j\xc3\xbcrgen@b.example");
	CHECK_EQ_INT(trial_run(&x, 2), RC_OK);
	CHECK_EQ_INT(x.r[0].outcome.result, RC_OK);
	CHECK_EQ_INT(x.r[1].outcome.result, RC_FAIL);
	CHECK_EQ_STR(slice_cstr(x.r[1].outcome.enhanced), "5.6.7");
	x.r[0].has_outcome = x.r[1].has_outcome = false;
	x.m.utf8_downconvert = 0;
	CHECK_EQ_INT(trial_run(&x, 1), RC_OK);
	CHECK_EQ_INT(x.r[0].outcome.result, RC_FAIL);
	x.r[0].has_outcome = false;
	x.r[0].address = SL("joe@b.example");
	x.m.utf8_header = true;
	CHECK_EQ_INT(trial_run(&x, 1), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(x.why.enhanced), "5.6.9");
	smtp_clients_free(&c);
	server_stop(&s);
	CHECK(strstr(s.seen, "RCPT TO:<joe@xn--bcher-kva.example>\r\nDATA") != NULL);
	CHECK(strstr(s.seen, "SMTPUTF8") == NULL);
	arena_free(&x.a);
}

/* What a server offers is what is used, and a limit that is none is none. */
TEST(limits_of_the_server)
{
	static const struct {
		const char *line;
		uint32_t rcpt, mail, domain;
	} lines[] = {
	    {"250 LIMITS RCPTMAX=3 MAILMAX=20 RCPTDOMAINMAX=1", 3, 20, 1},
	    {"250 limits rcptmax=7", 7, 0, 0},
	    {"250 LIMITS RCPTMAX=0 MAILMAX=-1 RCPTDOMAINMAX=x", 0, 0, 0},
	    {"250 LIMITS RCPTMAX=99999999999999999999 MAILMAX= OTHER=1", 0, 0, 0},
	    {"250 LIMITS", 0, 0, 0},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct reply r;
		struct offers o = {.mechanisms = slice_absent()};
		reply_begin(&r);
		CHECK_EQ_INT(reply_line(&r, "250-mx", 6), 1);
		CHECK_EQ_INT(reply_line(&r, lines[i].line, strlen(lines[i].line)), 0);
		reply_offers(&r, a, &o);
		bool good = o.rcpt_max == lines[i].rcpt && o.mail_max == lines[i].mail &&
		            o.rcpt_domain_max == lines[i].domain;
		tap_check(good, __FILE__, __LINE__, lines[i].line);
	}
	arena_free(&a);
}

/* A message that cannot be read to its end must not arrive as if it were whole. */
TEST(half_a_message_never_ends_with_a_dot)
{
	static const struct step scripts[1][SCRIPT_MAX] = {
	    {HELLO, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK}};
	static struct server s;
	struct trial x;
	struct smtp_clients *c = clients_new();
	server_start(&s, scripts, 1);
	trial_begin(&x, &s, c);
	x.source.fails = true;
	CHECK_EQ_INT(trial_run(&x, 1), RC_DEFER);
	CHECK(has(x.why.text, "the disk is gone"));
	smtp_clients_free(&c);
	server_stop(&s);
	CHECK(!strstr(s.seen, "\r\n.\r\n"));
	arena_free(&x.a);
}

TEST(lmtp_answers_for_each)
{
	static const struct step scripts[1][SCRIPT_MAX] = {{{NULL, "220 x LMTP\r\n"},
	    {"LHLO me.example", "250-x\r\n250 PIPELINING\r\n"}, MAIL_OK, RCPT_OK,
	    {"RCPT", "550 unknown\r\n"}, RCPT_OK, DATA_OK, {".", "250 a\r\n452 4.2.2 full\r\n"}}};
	static struct server s;
	struct trial x;
	struct smtp_clients *c = clients_new();
	server_start(&s, scripts, 1);
	trial_begin(&x, &s, c);
	x.t.lmtp = true;
	CHECK_EQ_INT(trial_run(&x, 3), RC_OK);
	CHECK_EQ_INT(x.r[0].outcome.result, RC_OK);
	CHECK_EQ_INT(x.r[1].outcome.result, RC_FAIL);
	CHECK_EQ_INT(x.r[2].outcome.result, RC_DEFER);
	CHECK_EQ_STR(slice_cstr(x.r[2].outcome.enhanced), "4.2.2");
	smtp_clients_free(&c);
	server_stop(&s);
	arena_free(&x.a);
}

TEST(a_long_line_and_many_lines_are_bounded)
{
	static char line[20000], many[60000];
	static struct step scripts[2][SCRIPT_MAX];
	memset(line, 'x', sizeof line - 1);
	memcpy(line, "220 ", 4);
	size_t at = 0;
	for (int i = 0; i < 3000; i++)
		at += (size_t)snprintf(many + at, sizeof many - at, "220-%d\r\n", i);
	scripts[0][0] = (struct step){NULL, line};
	scripts[1][0] = (struct step){NULL, many};
	for (size_t i = 0; i < 2; i++) {
		static struct server s;
		struct trial x;
		struct smtp_clients *c = clients_new();
		server_start(&s, (const struct step(*)[SCRIPT_MAX]) & scripts[i], 1);
		trial_begin(&x, &s, c);
		CHECK_EQ_INT(trial_run(&x, 1), RC_DEFER);
		CHECK(has(x.why.text, "Malformed SMTP reply"));
		CHECK(x.why.text.len < 1300);
		smtp_clients_free(&c);
		server_stop(&s);
		arena_free(&x.a);
	}
}

TEST(an_address_is_no_command)
{
	static const struct step scripts[1][SCRIPT_MAX] = {{HELLO, QUIT}};
	static struct server s;
	struct trial x;
	struct smtp_clients *c = clients_new();
	server_start(&s, scripts, 1);
	trial_begin(&x, &s, c);
	x.r[0].address = SL("a@b>\r\nRCPT TO:<evil@c");
	CHECK_EQ_INT(trial_run(&x, 1), RC_OK);
	CHECK_EQ_INT(x.r[0].outcome.result, RC_FAIL);
	x.m.sender = SL("a@b\n");
	x.r[0].has_outcome = false;
	CHECK_EQ_INT(trial_run(&x, 1), RC_FAIL);
	smtp_clients_free(&c);
	server_stop(&s);
	CHECK(!strstr(s.seen, "evil"));
	arena_free(&x.a);
}

/* ---- connections that are kept ---- */
TEST(the_next_message_takes_the_connection)
{
	static const struct step scripts[1][SCRIPT_MAX] = {
	    {HELLO, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK, MAIL_OK, {"RCPT", "550 no\r\n"},
	        {"RSET", "250 ok\r\n"}, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK}};
	static struct server s;
	struct smtp_clients *c = clients_new();
	struct client_stats st;
	server_start(&s, scripts, 1);
	const enum rc want[] = {RC_OK, RC_FAIL, RC_OK};
	for (int i = 0; i < 3; i++) {
		struct trial x;
		trial_begin(&x, &s, c);
		CHECK_EQ_INT(trial_run(&x, 1), RC_OK);
		CHECK_EQ_INT(x.r[0].outcome.result, want[i]);
		arena_free(&x.a);
	}
	smtp_clients_stats(c, &st);
	CHECK_EQ_INT(st.connects, 1);
	CHECK_EQ_INT(st.reused, 2);
	CHECK_EQ_INT(st.idle, 1);
	struct trial other; /* another key is another connection */
	trial_begin(&other, &s, c);
	other.t.key = SL("other");
	other.t.connect_ms = 200;
	CHECK_EQ_INT(client_open(c, &other.t, &other.w, other.a, &other.s, &other.why), RC_OK);
	client_close(&other.s);
	arena_free(&other.a);
	smtp_clients_stats(c, &st);
	CHECK_EQ_INT(st.connects, 2);
	smtp_clients_free(&c);
	server_stop(&s);
	CHECK_EQ_INT(atomic_load(&s.connections) >= 1, 1);
}

/* Dead in three ways while it was idle: closed, 421 unasked, and closed only when MAIL comes. */
TEST(a_dead_kept_connection_is_replaced_once)
{
	static const struct step scripts[3][2][SCRIPT_MAX] = {
	    {{HELLO, MAIL_OK, RCPT_OK, DATA_OK, {".", "250 taken\r\n"}},
	        {HELLO, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK}},
	    {{HELLO, MAIL_OK, RCPT_OK, DATA_OK, {".", "250 taken\r\n421 idle\r\n"}},
	        {HELLO, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK}},
	    {{HELLO_P, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK, {"MAIL", "421 bye\r\n"}},
	        {HELLO, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK}},
	};
	for (size_t k = 0; k < 3; k++) {
		static struct server s;
		struct smtp_clients *c = clients_new();
		server_start(&s, scripts[k], 2);
		for (int i = 0; i < 2; i++) {
			struct trial x;
			trial_begin(&x, &s, c);
			CHECK_EQ_INT(trial_run(&x, 1), RC_OK);
			CHECK_EQ_INT(x.r[0].outcome.result, RC_OK);
			arena_free(&x.a);
			usleep(30000);
		}
		CHECK_EQ_INT(atomic_load(&s.connections), 2);
		smtp_clients_free(&c);
		server_stop(&s);
	}
}

TEST(a_used_up_connection_is_not_kept)
{
	static const struct step scripts[1][SCRIPT_MAX] = {
	    {HELLO, MAIL_OK, RCPT_OK, DATA_OK, DOT_OK, QUIT}};
	static struct server s;
	struct smtp_clients *c = clients_new();
	struct client_stats st;
	struct trial x;
	server_start(&s, scripts, 1);
	trial_begin(&x, &s, c);
	x.t.max_messages = 1;
	CHECK_EQ_INT(trial_run(&x, 1), RC_OK);
	smtp_clients_stats(c, &st);
	CHECK_EQ_INT(st.idle, 0);
	arena_free(&x.a);
	smtp_clients_free(&c);
	server_stop(&s);
}

/* ---- hosts that are better left alone ---- */
TEST(a_host_that_refused_is_avoided_for_a_while)
{
	static struct server s;
	static const struct step scripts[1][SCRIPT_MAX] = {{HELLO}};
	struct smtp_clients *c = clients_new();
	struct client_stats st;
	struct trial x;
	server_start(&s, scripts, 1);
	server_stop(&s); /* the port is nobody's now */
	trial_begin(&x, &s, c);
	CHECK_EQ_INT(trial_run(&x, 1), RC_DEFER);
	CHECK_EQ_STR(x.why.text, "Connection refused");
	CHECK_EQ_INT(x.why.about, HEDDLE_X_HOST);
	CHECK_EQ_INT(trial_run(&x, 1), RC_DEFER);
	CHECK_EQ_STR(x.why.text, "retry time not reached for any host");
	x.t.forced = true;
	CHECK_EQ_INT(trial_run(&x, 1), RC_DEFER);
	CHECK_EQ_STR(x.why.text, "Connection refused");
	x.t.forced = false;
	usleep(250000);
	CHECK_EQ_INT(trial_run(&x, 1), RC_DEFER);
	CHECK_EQ_STR(x.why.text, "Connection refused");
	smtp_clients_stats(c, &st);
	CHECK_EQ_INT(st.avoided, 1);
	arena_free(&x.a);
	smtp_clients_free(&c);
}

TEST(cancelled)
{
	static const struct step scripts[1][SCRIPT_MAX] = {{{NULL, "STALL"}}};
	static struct server s;
	struct smtp_clients *c = clients_new();
	struct cancel token;
	struct trial x;
	cancel_init(&token);
	cancel_set(&token);
	server_start(&s, scripts, 1);
	trial_begin(&x, &s, c);
	x.w.cancel = &token;
	int64_t began = clock_mono_us();
	CHECK_EQ_INT(trial_run(&x, 1), RC_DEFER);
	CHECK(clock_mono_us() - began < 2 * US_PER_SEC);
	arena_free(&x.a);
	smtp_clients_free(&c);
	server_stop(&s);
	cancel_fini(&token);
}
TAP_MAIN()
