/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Dialogues and log lines; what is expected was taken from Debian's exim4 under the same
 * configuration. */
#include "smtp/server.h"
#include "unit/smtp/rig.h"

#define CONFIG                                                                            \
	"primary_hostname = mx.test.example\nqualify_domain = qual.example\nhost_lookup " \
	"=\nhelo_allow_chars = _\n"                                                       \
	"smtp_accept_max = 0\nsmtp_banner = $smtp_active_hostname ESMTP\nqueue_only\n"    \
	"tls_advertise_hosts =\nacl_smtp_rcpt = check_rcpt\nacl_smtp_data = "             \
	"check_data\nacl_smtp_mail = check_mail\n"                                        \
	"acl_smtp_vrfy = accept\nacl_smtp_predata = check_predata\n"
#define ACLS                                                                                  \
	"begin acl\n"                                                                         \
	"check_mail:\n"                                                                       \
	"  deny senders = bad@x.example\n       message = bad sender\n"                       \
	"  defer senders = defer@x.example\n"                                                 \
	"  drop senders = drop@x.example\n       message = 554 5.1.1 begone\n"                \
	"  discard senders = discard@x.example\n"                                             \
	"  accept\n"                                                                          \
	"check_rcpt:\n"                                                                       \
	"  deny local_parts = deny\n       message = you are denied\n"                        \
	"  deny local_parts = denyplain\n"                                                    \
	"  deny local_parts = multi\n       message = line one\\nline two\n"                  \
	"  deny local_parts = logm\n       log_message = the log text\n       message = 553 " \
	"5.9.9 user text\n"                                                                   \
	"  defer local_parts = defer\n"                                                       \
	"  drop local_parts = drop\n"                                                         \
	"  discard local_parts = discard\n"                                                   \
	"  accept\n"                                                                          \
	"check_predata:\n"                                                                    \
	"  deny senders = predata@x.example\n"                                                \
	"  accept\n"                                                                          \
	"check_data:\n"                                                                       \
	"  deny condition = ${if eq{$h_x-deny:}{yes}}\n       message = content bad\n"        \
	"  deny condition = ${if eq{$h_x-deny:}{plain}}\n"                                    \
	"  accept add_header = X-Added: 1\n"

static const char strict[] = CONFIG "message_size_limit = 50K\nrecipients_max = 6\n" ACLS;
static const char lax[] = CONFIG
    "message_size_limit = 50K\nsmtp_max_synprot_errors = 300\nsmtp_max_unknown_commands = 50\n"
    "smtp_accept_max_nonmail = 1000\nheader_maxsize = 20K\nheader_line_maxsize = 5000\n" ACLS;

#define EHLO                                                         \
	"250-mx.test.example Hello c.example [192.0.2.1]\n250-SIZE " \
	"51200\n250-8BITMIME\n250-VRFY\n250-PIPELINING\n250 HELP"
#define DATA "354 Enter message, ending with \".\" on a line by itself"

static struct rig g;

TEST(a_message)
{
	static const struct rig_line lines[] = {
	    {"EHLO c.example", EHLO},
	    {"MAIL FROM:<a@b.example>", "250 OK"},
	    {"RCPT TO:<c@d.example>", "250 Accepted"},
	    {"DATA", DATA},
	    {"Subject: x\r\nMessage-Id: <foo@bar>\r\n\r\nbody\r\n..\r\n.",
	        "250 OK id=1aaaaa-000000-AA"},
	    {"QUIT", "221 mx.test.example closing connection"},
	    {"", ""},
	    {NULL, NULL},
	};
	if (rig_start(&g, strict)) {
		rig_dialogue(&g, lines);
		CHECK_EQ_INT(atomic_load(&g.count), 1);
		const struct rig_message *m = &g.messages[0];
		if (CHECK(m->text != NULL)) {
			CHECK_EQ_STR(slice_cstr(m->envelope), "a@b.example>c@d.example,");
			slice_t t = slice_tainted(m->text, m->text_len);
			CHECK(slice_starts(t, "Received: from [192.0.2.1] (helo=c.example)\n\tby "
			                      "mx.test.example with esmtp "));
			CHECK(
			    slice_search(t,
			        SL("\n\tid 1aaaaa-000000-AA\n\tfor c@d.example;\n\t")) != SIZE_MAX);
			CHECK(slice_search(t, SL("\nSubject: x\nMessage-Id: <foo@bar>\nX-Added: "
			                         "1\n\nbody\n.\n")) != SIZE_MAX);
			char want[200];
			(void)snprintf(want, sizeof want,
			    " 1aaaaa-000000-AA <= a@b.example H=(c.example) [192.0.2.1] P=esmtp "
			    "S=%zu id=foo@bar\n",
			    m->text_len);
			CHECK_LOGGED(&g, want);
		}
		CHECK(!m->deliver_now);
	}
	rig_stop(&g);
}

TEST(helo_and_refused_recipients)
{
	static const struct rig_line lines[] = {
	    {"HELO c.example", "250 mx.test.example Hello c.example [192.0.2.1]"},
	    {"MAIL FROM:<a@b.example>", "250 OK"},
	    {"RCPT TO:<c@d.example>", "250 Accepted"},
	    {"RCPT TO:<postmaster>", "250 Accepted"},
	    {"RCPT TO:<deny@d.example>", "550 you are denied"},
	    {"RCPT TO:<denyplain@d>", "550 Administrative prohibition"},
	    {"RCPT TO:<multi@d>", "550-line one\n550 line two"},
	    {"RCPT TO:<logm@d>", "553 5.9.9 user text"},
	    {"RCPT TO:<defer@d>", "452 too many recipients"},
	    {"RCPT TO:<discard@d>", "452 too many recipients"},
	    {"DATA", DATA},
	    {"Subject: x\r\n\r\nbody\r\n.", "250 OK id=1aaaaa-000000-AA"},
	    {"QUIT", "221 mx.test.example closing connection"},
	    {NULL, NULL},
	};
	if (rig_start(&g, strict)) {
		rig_dialogue(&g, lines);
		if (CHECK_EQ_INT(atomic_load(&g.count), 1))
			CHECK_EQ_STR(slice_cstr(g.messages[0].envelope),
			    "a@b.example>c@d.example,postmaster@qual.example,");
		CHECK_LOGGED(&g, " H=(c.example) [192.0.2.1] F=<a@b.example> rejected RCPT "
		                 "<deny@d.example>: you are denied\n");
		CHECK_LOGGED(
		    &g, " H=(c.example) [192.0.2.1] F=<a@b.example> rejected RCPT <denyplain@d>\n");
		CHECK_LOGGED(&g, " H=(c.example) [192.0.2.1] F=<a@b.example> rejected RCPT "
		                 "<multi@d>: line one\n");
		CHECK_LOGGED(&g, " H=(c.example) [192.0.2.1] F=<a@b.example> rejected RCPT "
		                 "<logm@d>: the log text\n");
		CHECK_LOGGED(&g, " too many recipients: excess temporarily rejected: "
		                 "sender=<a@b.example> H=(c.example) [192.0.2.1]\n");
		CHECK_LOGGED(&g, " P=smtp S=");
	}
	rig_stop(&g);
}

TEST(syntax_errors_end_the_session)
{
	static const struct rig_line lines[] = {
	    {"EHLO c.example", EHLO},
	    {"MAIL FROM:a@b c", "501 a@b c: malformed address: c may not follow a@b "},
	    {"MAIL FROM:<a@b", "501 <a@b: '>' missing at end of address"},
	    {"MAIL FROM:", "501 MAIL must have an address operand"},
	    {"MAIL", "500-unrecognized command\n500 Too many syntax or protocol errors"},
	    {"NOOP", ""},
	    {NULL, NULL},
	};
	if (rig_start(&g, strict)) {
		rig_dialogue(&g, lines);
		CHECK_LOGGED(&g, " SMTP syntax error in \"MAIL FROM:a@b c\" H=(c.example) "
		                 "[192.0.2.1] malformed address: c may not "
		                 "follow a@b \n");
		CHECK_LOGGED(&g, " SMTP protocol error in \"MAIL FROM:\" H=(c.example) [192.0.2.1] "
		                 "MAIL must have an address operand\n");
		CHECK_LOGGED(&g, " SMTP call from (c.example) [192.0.2.1] dropped: too many syntax "
		                 "or protocol errors (last command "
		                 "was \"MAIL\",  C=EHLO,MAIL,MAIL,MAIL");
	}
	rig_stop(&g);
}

TEST(unknown_commands_end_the_session)
{
	static const struct rig_line lines[] = {
	    {"EHLO c.example", EHLO},
	    {"AAA", "500 unrecognized command"},
	    {"BBB", "500 unrecognized command"},
	    {"CCC", "500 unrecognized command"},
	    {"DDD", "500 Too many unrecognized commands"},
	    {"EEE", ""},
	    {NULL, NULL},
	};
	if (rig_start(&g, strict)) {
		rig_dialogue(&g, lines);
		CHECK_LOGGED(&g, " SMTP call from (c.example) [192.0.2.1] dropped: too many "
		                 "unrecognized commands (last was \"DDD\")\n");
	}
	rig_stop(&g);
}

TEST(senders)
{
	static const struct rig_line lines[] = {
	    {"EHLO c.example", EHLO},
	    {"MAIL FROM:<bad@x.example>", "550 bad sender"},
	    {"MAIL FROM:<defer@x.example>", "451 Temporary local problem - please try later"},
	    {"MAIL FROM:<discard@x.example>", "250 OK"},
	    {"RCPT TO:<a@b>", "250 Accepted"},
	    {"DATA", DATA},
	    {"x: y\r\n\r\nz\r\n.", "250 OK id=1aaaaa-000000-AA"},
	    {"MAIL FROM:<predata@x.example>", "250 OK"},
	    {"RCPT TO:<a@b>", "250 Accepted"},
	    {"DATA", "550 Administrative prohibition"},
	    {"MAIL FROM:<drop@x.example>", "554 5.1.1 begone"},
	    {"NOOP", ""},
	    {NULL, NULL},
	};
	if (rig_start(&g, strict)) {
		rig_dialogue(&g, lines);
		CHECK_EQ_INT(atomic_load(&g.count), 0);
		CHECK_LOGGED(
		    &g, " H=(c.example) [192.0.2.1] rejected MAIL <bad@x.example>: bad sender\n");
		CHECK_LOGGED(
		    &g, " H=(c.example) [192.0.2.1] temporarily rejected MAIL <defer@x.example>\n");
		CHECK_LOGGED(&g, " H=(c.example) [192.0.2.1] F=<discard@x.example> RCPT <a@b>: "
		                 "discarded by MAIL ACL\n");
		CHECK_LOGGED(
		    &g, " 1aaaaa-000000-AA => blackhole (MAIL ACL discarded recipients)\n");
		CHECK_LOGGED(&g, " 1aaaaa-000000-AA Completed\n");
		CHECK_LOGGED(&g, " H=(c.example) [192.0.2.1] rejected DATA\n");
		CHECK_LOGGED(&g, " H=(c.example) [192.0.2.1] rejected MAIL <drop@x.example>: 554 "
		                 "5.1.1 begone\n");
	}
	rig_stop(&g);
}

TEST(commands_and_their_arguments)
{
	static const struct rig_line lines[] = {{"NOOP", "250 OK"}, {"NOOP x", "250 OK"},
	    {"HELP", "214-Commands supported:\n214 AUTH HELO EHLO MAIL RCPT DATA NOOP QUIT RSET "
	             "HELP VRFY"},
	    {"RSET", "250 Reset OK"}, {"RSET x", "501 unexpected argument data"},
	    {"VRFY", "501 empty address"},
	    {"VRFY unq", "501 unq: recipient address must contain a domain"},
	    {"VRFY <>", "501 missing or malformed local part"},
	    {"EXPN x", "550 Administrative prohibition"},
	    {"ETRN x", "458 Administrative prohibition"},
	    {"STARTTLS", "503 STARTTLS command used when not advertised"},
	    {"STARTTLS x", "501 unexpected argument data"},
	    {"AUTH PLAIN", "503 AUTH command used when not advertised"},
	    {"EHLO", "501 Syntactically invalid EHLO argument(s)"},
	    {"EHLO a b", "501 Syntactically invalid EHLO argument(s)"},
	    {"EHLO [1.2.3", "501 Syntactically invalid EHLO argument(s)"},
	    {"EHLO [junk]", "501 Syntactically invalid EHLO argument(s)"},
	    {"EHLO a$b", "501 Syntactically invalid EHLO argument(s)"},
	    {"HELO", "501 Syntactically invalid HELO argument(s)"},
	    {"HELO [1.2.3.4]", "250 mx.test.example Hello [1.2.3.4] [192.0.2.1]"},
	    {"HELO [IPv6:::1]", "250 mx.test.example Hello [IPv6:::1] [192.0.2.1]"},
	    {"HELO _x.y", "250 mx.test.example Hello _x.y [192.0.2.1]"},
	    {"TURN", "500 unrecognized command"}, {"  NOOP", "500 unrecognized command"},
	    {"", "500 unrecognized command"}, {"NOOPX", "500 unrecognized command"},
	    {"MAIL\tFROM:<a@b>", "500 unrecognized command"},
	    {"MAIL TO:<x>", "500 unrecognized command"},
	    {"MAIL FROM <a@b.c>", "500 unrecognized command"}, {"EHLO c.example", EHLO},
	    {"RCPT TO:<a@b>", "503 sender not yet given"},
	    {"DATA", "503-All RCPT commands were rejected with this error:\n503-503 sender not yet "
	             "given\n"
	             "503 valid RCPT command must precede DATA"},
	    {"MAIL FROM:<a@b.example> SIZE=99999999", "552 Message size exceeds maximum permitted"},
	    {"MAIL FROM:<unq>", "501 <unq>: sender address must contain a domain"},
	    {"MAIL FROM:<a@b> FOO=BAR",
	        "501 <a@b> FOO=BAR: malformed address: FOO=BAR may not follow <a@b> "},
	    {"MAIL FROM:<a@b> BODY=x", "501 invalid data for BODY"},
	    {"mail from: <a@b.example> SIZE=100 BODY=8BITMIME", "250 OK"},
	    {"MAIL FROM:<x@y>", "503 sender already given"},
	    {"RCPT TO:<unq>", "501 <unq>: recipient address must contain a domain"},
	    {"RCPT TO:<>", "501 <>: missing or malformed local part"},
	    {"RCPT TO:", "501 RCPT must have an address operand"},
	    {"RCPT TO:<@a,@b:c@d.example>", "250 Accepted"},
	    {"AUTH x", "503 AUTH command used when not advertised"},
	    {"EHLO again", "250-mx.test.example Hello again *"}, {"MAIL FROM:<a@b>", "250 OK"},
	    {"DATA", "503 valid RCPT command must precede DATA"},
	    {"DATA x", "501 unexpected argument data"},
	    {"QUIT now", "501 unexpected argument data"},
	    {"BDAT 3", "503 BDAT command used when CHUNKING not advertised"}, {"NOOP", ""},
	    {NULL, NULL}};
	if (rig_start(&g, lax)) {
		rig_dialogue(&g, lines);
		CHECK_LOGGED(&g, " rejected EHLO from [192.0.2.1]: syntactically invalid "
		                 "argument(s): (no argument given)\n");
		CHECK_LOGGED(&g,
		    " rejected EHLO from [192.0.2.1]: syntactically invalid argument(s): a b\n");
		CHECK_LOGGED(&g, " ETRN x received from [192.0.2.1]\n");
		CHECK_LOGGED(&g, " H=[192.0.2.1] rejected ETRN x\n");
		CHECK_LOGGED(&g, " rejected MAIL FROM:<a@b.example> H=(c.example) [192.0.2.1]: "
		                 "message too big: size=99999999 max=51200\n");
		CHECK_LOGGED(
		    &g, " unqualified recipient rejected: <unq> H=(c.example) [192.0.2.1]\n");
		CHECK_LOGGED(&g, " SMTP protocol error in \"MAIL FROM:<x@y>\" H=(c.example) "
		                 "[192.0.2.1] sender already given\n");
	}
	rig_stop(&g);
}

TEST(after_data)
{
	static struct rig_client c;
	static char big[100000];
	if (rig_start(&g, lax)) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 mx.test.example ESMTP");
		(void)rig_say(&c, "EHLO c.example", EHLO);
		static const char *const contents[][2] = {
		    {"X-Deny: yes\r\n\r\nz\r\n.", "550 content bad"},
		    {"X-Deny: plain\r\n\r\nz\r\n.", "550 Administrative prohibition"},
		    {"BIG", "552 Message size exceeds maximum permitted"},
		    {"LINE", "552 A message header line is too long"},
		    {"HEADER", "552 Message header is ridiculously long"},
		    {"\r\nfine\r\n.", "250 OK id=*"},
		};
		for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
			(void)rig_say(&c, "MAIL FROM:<a@x.example>", "250 OK");
			(void)rig_say(&c, "RCPT TO:<a@b>", "250 Accepted");
			(void)rig_say(&c, "DATA", DATA);
			const char *text = contents[i][0];
			if (!strchr(text, '\r')) {
				size_t n = !strcmp(text, "LINE") ? 6000 : 60000;
				memset(big, 'y', sizeof big);
				for (size_t at = 0; strcmp(text, "LINE") && at + 60 < n; at += 60)
					memcpy(big + at + 50,
					    !strcmp(text, "HEADER") ? "\r\nZ:zzzzzz"
					                            : "\r\nyyyyyyyy",
					    10);
				memcpy(big, !strcmp(text, "BIG") ? "x: y\r\n\r\n" : "x: yzzzz", 8);
				memcpy(big + n, "\r\n.", 4);
				text = big;
			}
			(void)rig_say(&c, text, contents[i][1]);
		}
		/* who goes away between two messages is not worth a line */
		(void)rig_say(&c, "MAIL FROM:<a@x.example>", "250 OK");
		rig_close(&c);
		CHECK_EQ_INT(atomic_load(&g.count), 1);
		CHECK_LOGGED(&g, " H=(c.example) [192.0.2.1] F=<a@x.example> rejected after DATA: "
		                 "content bad\n");
		CHECK_LOGGED(&g, " rejected from <a@x.example> H=(c.example) [192.0.2.1]: message "
		                 "too big: read=");
		CHECK_LOGGED(&g, " overlong message header line received from (c.example) "
		                 "[192.0.2.1] (more than 5000 characters): "
		                 "message abandoned\n");
		CHECK_LOGGED(&g, " ridiculously long message header received from (c.example) "
		                 "[192.0.2.1] (more than 20480 "
		                 "characters): message abandoned\n");
		CHECK_LOGGED(&g, " unexpected disconnection while reading SMTP command from "
		                 "(c.example) [192.0.2.1] D=0s\n");
	}
	rig_stop(&g);
}

TEST(pipelining)
{
	static struct rig_client c;
	if (rig_start(&g, strict)) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_say(&c, "EHLO c.example", EHLO);
		(void)rig_say(
		    &c, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<deny@d>\r\nDATA", "250 OK");
		(void)rig_want(&c, "250 Accepted");
		(void)rig_want(&c, "550 you are denied");
		(void)rig_want(&c, DATA);
		(void)rig_say(&c, "x: y\r\n\r\n.\r\nMAIL FROM:<a2@b>\r\nRCPT TO:<c@d>\r\nDATA",
		    "250 OK id=1aaaaa-000000-AA");
		(void)rig_want(&c, "250 OK");
		(void)rig_want(&c, "250 Accepted");
		(void)rig_want(&c, DATA);
		(void)rig_say(&c, "\r\n.", "250 OK id=1aaaaa-000001-AA");
		(void)rig_say(&c, "MAIL FROM:<a@b>\r\nRCPT TO:<deny@d>\r\nDATA", "250 OK");
		(void)rig_want(&c, "550 you are denied");
		(void)rig_want(&c,
		    "503-All RCPT commands were rejected with this error:\n503-you are denied\n"
		    "503 Valid RCPT command must precede DATA");
		(void)rig_say(&c, "NOOP\r\nQUIT\r\nX", "554 SMTP synchronization error");
		(void)rig_want(&c, "");
		rig_close(&c);
		CHECK_LOGGED(&g, " SMTP protocol synchronization error (next input sent too soon: "
		                 "pipelining was advertised): "
		                 "rejected \"NOOP\" H=(c.example) [192.0.2.1] next "
		                 "input=\"QUIT\\r\\nX\\r\\n\"\n");
		/* content sent before 354 */
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_say(&c, "EHLO c.example", EHLO);
		(void)rig_say(&c, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nfoo\r\n.", "250 OK");
		(void)rig_want(&c, "250 Accepted");
		(void)rig_want(&c, "554 SMTP synchronization error");
		rig_close(&c);
		/* not advertised after HELO */
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_say(
		    &c, "HELO c.example", "250 mx.test.example Hello c.example [192.0.2.1]");
		(void)rig_say(
		    &c, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", "554 SMTP synchronization error");
		rig_close(&c);
		CHECK_EQ_INT(atomic_load(&g.count), 2);
	}
	rig_stop(&g);
}

TEST(nonmail_commands)
{
	static struct rig_client c;
	if (rig_start(&g, strict)) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_say(&c, "EHLO c.example", EHLO);
		for (int i = 0; i < 10; i++)
			(void)rig_say(&c, "NOOP", "250 OK");
		(void)rig_say(&c, "NOOP", "554 Too many nonmail commands");
		(void)rig_want(&c, "");
		rig_close(&c);
		CHECK_LOGGED(&g, " SMTP call from (c.example) [192.0.2.1] dropped: too many "
		                 "nonmail commands (last was \"NOOP\")\n");
	}
	rig_stop(&g);
}

TEST(the_queue_says_no)
{
	static const struct rig_line lines[] = {{"EHLO c.example", EHLO},
	    {"MAIL FROM:<a@b>", "250 OK"}, {"RCPT TO:<c@d>", "250 Accepted"}, {"DATA", DATA},
	    {"\r\nx\r\n.", "451 Temporary local problem - please try later"}, {"NOOP", "250 OK"},
	    {NULL, NULL}};
	if (rig_start(&g, strict)) {
		g.fail = true;
		rig_dialogue(&g, lines);
		g.fail = false;
		g.refuse = true;
		rig_dialogue(&g, lines);
		g.refuse = false;
		g.free_bytes = 1000;
		static const struct rig_line full[] = {{"EHLO c.example", EHLO},
		    {"MAIL FROM:<a@b>", "452 space shortage, please try later"}, {NULL, NULL}};
		rig_dialogue(&g, full);
		CHECK_LOGGED(&g, " rejected from <a@b> H=(c.example) [192.0.2.1]: sync failed\n");
	}
	rig_stop(&g);
}

/* 250 is not said before the queue has called back. */
TEST(waits_for_the_commit)
{
	static struct rig_client c;
	if (rig_start(&g, strict)) {
		g.hold = true;
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_say(&c, "EHLO c.example", EHLO);
		(void)rig_say(&c, "MAIL FROM:<a@b>", "250 OK");
		(void)rig_say(&c, "RCPT TO:<c@d>", "250 Accepted");
		(void)rig_say(&c, "DATA", DATA);
		(void)rig_send(&c, "\r\nx\r\n.\r\n", 8);
		for (int i = 0; i < 200 && !atomic_load(&g.held_fn); i++)
			(void)poll(NULL, 0, 10);
		struct pollfd p = {.fd = c.fd, .events = POLLIN};
		CHECK_EQ_INT(poll(&p, 1, 200), 0);
		smtp_commit_fn *fn = atomic_exchange(&g.held_fn, NULL);
		if (CHECK(fn != NULL))
			fn(g.held_arg, RC_OK, NULL);
		(void)rig_want(&c, "250 OK id=1aaaaa-000000-AA");
		/* and a client that leaves meanwhile does no harm */
		(void)rig_say(&c, "MAIL FROM:<a@b>", "250 OK");
		(void)rig_say(&c, "RCPT TO:<c@d>", "250 Accepted");
		(void)rig_say(&c, "DATA", DATA);
		(void)rig_send(&c, "\r\nx\r\n.\r\n", 8);
		for (int i = 0; i < 200 && !atomic_load(&g.held_fn); i++)
			(void)poll(NULL, 0, 10);
		rig_close(&c);
		(void)poll(NULL, 0, 50);
		CHECK_EQ_INT(smtp_server_count(g.server), 1);
		fn = atomic_exchange(&g.held_fn, NULL);
		if (CHECK(fn != NULL))
			fn(g.held_arg, RC_OK, NULL);
		CHECK_LOGGED(&g, " 1aaaaa-000001-AA <= a@b ");
	}
	rig_stop(&g);
}

TEST(shutdown)
{
	static struct rig_client c, d;
	if (rig_start(&g, strict)) {
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		rig_connect(&g, &d);
		(void)rig_want(&d, "220 *");
		(void)rig_say(&d, "EHLO c.example", EHLO);
		(void)rig_say(&d, "MAIL FROM:<a@b>", "250 OK");
		(void)rig_say(&d, "RCPT TO:<c@d>", "250 Accepted");
		(void)rig_say(&d, "DATA", DATA);
		smtp_server_stop(g.server);
		(void)rig_want(
		    &c, "421 mx.test.example: Service not available - closing connection");
		(void)rig_want(&c, "");
		/* what is in DATA may finish */
		(void)rig_say(&d, "\r\nx\r\n.", "250 OK id=1aaaaa-000000-AA");
		(void)rig_want(
		    &d, "421 mx.test.example: Service not available - closing connection");
		rig_close(&c);
		rig_close(&d);
	}
	rig_stop(&g);
}

TAP_MAIN()
