/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Clients that mean harm, are broken, slow, or go away. */
#include "smtp/server.h"
#include "unit/smtp/rig.h"

#define BASE                                                                                      \
	"primary_hostname = mx.test.example\nhost_lookup =\nsmtp_banner = $smtp_active_hostname " \
	"ESMTP\n"                                                                                 \
	"message_size_limit = 20M\nacl_smtp_rcpt = accept\ntls_advertise_hosts =\n"
#define CONFIG BASE "smtp_accept_max = 0\n"
#define DATA   "354 Enter message, ending with \".\" on a line by itself"

static struct rig g;
static struct rig_client c;

static void to_data(void)
{
	rig_connect(&g, &c);
	(void)rig_want(&c, "220 *");
	(void)rig_say(&c, "EHLO c.example", "250-*");
	(void)rig_say(&c, "MAIL FROM:<a@b>", "250 OK");
	(void)rig_say(&c, "RCPT TO:<c@d>", "250 Accepted");
	(void)rig_say(&c, "DATA", DATA);
}

/* Each holds what would be a second message if its end-of-data were believed. */
#define SECOND "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nSubject: smuggled\r\n\r\nhi\r\n"
struct smuggle {
	const char *end;
	size_t n;
};
#define E(s)                     \
	{                        \
		s, sizeof(s) - 1 \
	}
static const struct smuggle ends[] = {
    E("\n.\n"),
    E("\n.\r\n"),
    E("\r\n.\n"),
    E("\r.\r"),
    E("\r\n.\r"),
    E("\r.\r\n"),
    E("\n.\r"),
    E("\r.\n"),
    E("\r\n\0.\r\n"),
    E("\r\n.\0\r\n"),
    E("\r\n.\r\0\n"),
    E("\0\r\n.\0\r\n"),
    E("\r\r\n.\r\r\n"),
    E("\r\n.\r\r\n"),
    E("\n\n.\r\n"),
    E("\r\n. \r\n"),
    E("\r\n .\r\n"),
    E("\r\n\t.\r\n"),
    E("\r\n.\v\r\n"),
    E("\n.\n\r\n"),
    E("\r\n..\r\n"),
    E("\x85.\x85"),
    E("\r\n.\r \n"),
    E("\n\r.\n\r"),
    E("\n\r.\r\n"),
};

static void smuggle(const struct smuggle *e, const char *first_line, size_t step)
{
	char text[1024];
	size_t n = (size_t)snprintf(text, sizeof text, "%s", first_line),
	       before = atomic_load(&g.count);
	memcpy(text + n, "one", 3);
	n += 3;
	memcpy(text + n, e->end, e->n);
	n += e->n;
	memcpy(text + n, SECOND, sizeof SECOND - 1);
	n += sizeof SECOND - 1;
	memcpy(text + n, "\r\n.\r\n", 5);
	n += 5;
	to_data();
	for (size_t i = 0; i < n; i += step)
		(void)rig_send(&c, text + i, n - i < step ? n - i : step);
	(void)rig_want(&c, "250 OK id=*");
	(void)rig_say(&c, "NOOP", "250 OK");
	rig_close(&c);
	if (!CHECK_EQ_INT(atomic_load(&g.count), before + 1))
		printf("# case %td\n", e - ends);
	CHECK_EQ_STR(slice_cstr(g.messages[before].envelope), "a@b>c@d,");
}

TEST(smuggling)
{
	if (rig_start(&g, CONFIG))
		for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
			smuggle(&ends[i], "Subject: x\r\n\r\n", 4096);
			smuggle(&ends[i], "Subject: x\n\n", 4096);
			smuggle(&ends[i], "Subject: x\r\n", 4096);
			smuggle(&ends[i], "", 4096);
			if (i % 5 == 0)
				smuggle(&ends[i], "Subject: x\r\n\r\n", 1);
		}
	rig_stop(&g);
}

TEST(a_byte_at_a_time)
{
	static const char session[] = "EHLO c.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
	if (rig_start(&g, CONFIG)) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		for (const char *p = session; *p; p++) {
			(void)rig_send(&c, p, 1);
			if (*p == '\n')
				(void)rig_want(&c, "250*");
			else
				(void)poll(NULL, 0, 1);
		}
		(void)rig_say(&c, "DATA", DATA);
		for (const char *p = "A: b\r\n\r\n..x\r\n.\r\n"; *p; p++) {
			(void)rig_send(&c, p, 1);
			(void)poll(NULL, 0, 1);
		}
		(void)rig_want(&c, "250 OK id=*");
		slice_t t = slice_tainted(g.messages[0].text, g.messages[0].text_len);
		CHECK(slice_search(t, SL("\nA: b\n\n.x\n")) != SIZE_MAX);
		rig_close(&c);
	}
	rig_stop(&g);
}

TEST(long_command_lines)
{
	size_t n = 200000;
	char *line = malloc(n + 2);
	memset(line, 'x', n);
	memcpy(line, "NOOP ", 5);
	memcpy(line + n, "\r\n", 2);
	if (rig_start(&g, CONFIG)) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_send(&c, line, n + 2);
		(void)rig_want(&c, "500 line too long");
		(void)rig_say(&c, "NOOP", "250 OK");
		/* one that just fits */
		(void)rig_send(&c, line, 16000);
		(void)rig_say(&c, "", "250 OK");
		/* and one without an end */
		for (int i = 0; i < 20; i++)
			(void)rig_send(&c, line, n);
		rig_close(&c);
	}
	rig_stop(&g);
	free(line);
}

TEST(five_megabytes_in_one_line)
{
	size_t n = 5 << 20;
	char *line = malloc(n);
	memset(line, 'x', n);
	if (rig_start(&g, CONFIG)) {
		to_data();
		(void)rig_send(&c, "A: b\r\n\r\n", 8);
		(void)rig_send(&c, line, n);
		(void)rig_say(&c, "\r\n.", "250 OK id=*");
		(void)rig_say(&c, "QUIT", "221 *");
		rig_close(&c);
		CHECK(g.messages[0].in_file);
		CHECK(g.messages[0].text_len > n);
	}
	rig_stop(&g);
	free(line);
}

TEST(two_hundred_thousand_headers)
{
	size_t n = 200000;
	char *text = malloc(n * 6);
	for (size_t i = 0; i < n; i++)
		memcpy(text + i * 6, "A: b\r\n", 6);
	if (rig_start(&g, CONFIG)) {
		to_data();
		(void)rig_send(&c, text, n * 6);
		(void)rig_say(&c, "\r\nbody\r\n.", "552 Message header is ridiculously long");
		(void)rig_say(&c, "NOOP", "250 OK");
		rig_close(&c);
		to_data();
		(void)rig_send(&c, text, 20000 * 6);
		(void)rig_say(&c, "\r\nbody\r\n.", "250 OK id=*");
		rig_close(&c);
	}
	rig_stop(&g);
	free(text);
}

/* Gone after each step, also in the middle of lines. */
TEST(vanishing)
{
	static const char session[] = "EHLO c.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
	static const char content[] = "A: b\r\nC: d\r\n\r\nbody\r\n.";
	if (rig_start(&g, CONFIG)) {
		for (size_t n = 0; n < sizeof session; n += 3) {
			rig_connect(&g, &c);
			(void)rig_want(&c, "220 *");
			(void)rig_send(&c, session, n);
			rig_close(&c);
		}
		for (size_t n = 0; n < sizeof content - 1; n++) {
			to_data();
			(void)rig_send(&c, content, n);
			rig_close(&c);
		}
		rig_connect(&g, &c);
		rig_close(&c);
		CHECK_LOGGED(&g, " SMTP connection from (c.example) [192.0.2.1] lost while reading "
		                 "message data\n");
		CHECK_LOGGED(&g, " SMTP connection from (c.example) [192.0.2.1] lost while reading "
		                 "message data (after header)\n");
		CHECK_EQ_INT(atomic_load(&g.count), 0);
	}
	rig_stop(&g);
}

TEST(nul_in_commands)
{
	if (rig_start(&g, CONFIG)) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_send(&c, "NO\0OP\r\n", 7);
		(void)rig_want(&c, "501 NUL characters are not allowed in SMTP commands");
		(void)rig_send(&c, "MAIL FROM:<a\0@b>\r\n", 18);
		(void)rig_want(&c, "501 NUL characters are not allowed in SMTP commands");
		rig_close(&c);
		CHECK_LOGGED(&g, " SMTP syntax error in \"NO?OP\" H=[192.0.2.1] NUL character(s) "
		                 "present (shown as '?')\n");
	}
	rig_stop(&g);
}

TEST(timeouts)
{
	if (rig_start(&g, CONFIG "smtp_receive_timeout = 1s\n")) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_want(
		    &c, "421 mx.test.example: SMTP command timeout - closing connection");
		(void)rig_want(&c, "");
		rig_close(&c);
		to_data();
		(void)rig_send(&c, "A: b\r\n\r\nabc", 11);
		(void)rig_want(
		    &c, "421 mx.test.example SMTP incoming data timeout - closing connection.");
		rig_close(&c);
		CHECK_LOGGED(&g, " SMTP command timeout on connection from [192.0.2.1]\n");
		CHECK_LOGGED(&g, " SMTP data timeout (message abandoned) on connection from "
		                 "(c.example) [192.0.2.1] F=<a@b>\n");
	}
	rig_stop(&g);
}

/* A byte now and then keeps no command alive: it is the command that has to come in time. */
TEST(dribble)
{
	if (rig_start(&g, CONFIG "smtp_receive_timeout = 1s\n")) {
		int sent = 0;
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		while (sent < 30 && smtp_server_count(g.server)) {
			if (send(c.fd, "N", 1, MSG_NOSIGNAL) != 1)
				break;
			sent++;
			(void)poll(NULL, 0, 100);
		}
		CHECK(sent >= 5 && sent < 25);
		rig_close(&c);
		CHECK_LOGGED(&g, " SMTP command timeout on connection from [192.0.2.1]\n");
	}
	rig_stop(&g);
}

/* Commands without end, replies never read: memory is bounded and others are served. */
TEST(takes_no_replies)
{
	static struct rig_client other;
	char flood[8000];
	for (size_t i = 0; i < sizeof flood; i += 10)
		memcpy(flood + i, "RSET    \r\n", 10);
	if (rig_start(
	        &g, CONFIG "smtp_accept_max_nonmail = 100000000\nsmtp_receive_timeout = 2s\n")) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_say(&c, "EHLO c.example", "250-*");
		(void)io_nonblock(c.fd);
		for (int i = 0; i < 1000; i++)
			if (send(c.fd, flood, sizeof flood, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
				(void)poll(NULL, 0, 1);
		rig_connect(&g, &other);
		(void)rig_want(&other, "220 *");
		(void)rig_say(&other, "NOOP", "250 OK");
		rig_close(&other);
		for (int i = 0; i < 60 && smtp_server_count(g.server); i++)
			(void)poll(NULL, 0, 100);
		CHECK_EQ_INT(smtp_server_count(g.server), 0);
		rig_close(&c);
	}
	rig_stop(&g);
}

TEST(connection_limits)
{
	static struct rig_client d, e;
	if (rig_start(&g, BASE "smtp_accept_max = 3\nsmtp_accept_max_per_host = "
	                       "2\nsmtp_accept_max_per_connection = 2\n")) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		rig_connect(&g, &d);
		(void)rig_want(&d, "220 *");
		rig_connect(&g, &e);
		(void)rig_want(&e, "421 Too many concurrent SMTP connections from this IP address; "
		                   "please try again later.");
		rig_close(&e);
		for (int i = 0; i < 100 && smtp_server_count(g.server) > 2; i++)
			(void)poll(NULL, 0, 10);
		rig_connect_from(&g, &e, "192.0.2.2");
		(void)rig_want(&e, "220 *");
		static struct rig_client f;
		rig_connect_from(&g, &f, "192.0.2.3");
		(void)rig_want(
		    &f, "421 Too many concurrent SMTP connections; please try again later.");
		rig_close(&f);
		(void)rig_say(&c, "EHLO c.example", "250-*");
		for (int i = 0; i < 2; i++) {
			(void)rig_say(&c, "MAIL FROM:<a@b>", "250 OK");
			(void)rig_say(&c, "RSET", "250 Reset OK");
		}
		(void)rig_say(&c, "MAIL FROM:<a@b>", "421 too many messages in this connection");
		(void)rig_want(&c, "");
		rig_close(&c);
		rig_close(&d);
		rig_close(&e);
		CHECK_LOGGED(&g, " Connection from [192.0.2.1] refused: too many connections from "
		                 "that IP address\n");
		CHECK_LOGGED(&g, " Connection from [192.0.2.3] refused: too many connections\n");
	}
	rig_stop(&g);
}

/* Many senders that stop in the middle of large bodies: the budget holds. */
TEST(slow_senders_share_the_budget)
{
	enum { SENDERS = 40 };
	static struct rig_client many[SENDERS];
	char *text = malloc(100000);
	memset(text, 'x', 100000);
	for (size_t i = 78; i < 100000; i += 80)
		memcpy(text + i, "\r\n", 2);
	if (rig_start(&g, CONFIG)) {
		g.budget.limit = 1 << 20;
		unsigned taken = 0, refused = 0;
		for (int i = 0; i < SENDERS; i++) {
			to_data();
			(void)rig_send(&c, "A: b\r\n\r\n", 8);
			(void)rig_send(&c, text, 100000);
			many[i] = c;
			CHECK(atomic_load(&g.budget.used) <= g.budget.limit + 100000);
		}
		for (int i = 0; i < SENDERS; i++) {
			(void)rig_send(&many[i], "\r\n.\r\n", 5);
			const char *got = rig_reply(&many[i]);
			taken += !strncmp(got, "250", 3);
			refused += !strncmp(got, "452", 3);
			rig_close(&many[i]);
		}
		CHECK_EQ_INT(taken + refused, SENDERS);
		CHECK(taken > 5);
	}
	rig_stop(&g);
	free(text);
}

TAP_MAIN()
