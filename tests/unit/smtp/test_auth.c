/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AUTH with the plaintext driver; replies and log lines as Debian's exim4 has them. */
#include "smtp/server.h"
#include "unit/smtp/rig.h"

#define CONFIG                                                                                   \
	"primary_hostname = mx.test.example\nhost_lookup =\nsmtp_accept_max = 0\nsmtp_banner = " \
	"$smtp_active_hostname ESMTP\n"                                                          \
	"tls_advertise_hosts =\nacl_smtp_rcpt = accept\nsmtp_max_synprot_errors = "              \
	"100\nsmtp_accept_max_nonmail = 1000\n"
#define AUTHS                                                                                     \
	"begin authenticators\n"                                                                  \
	"plain:\n  driver = plaintext\n  public_name = PLAIN\n"                                   \
	"  server_condition = ${if eq{$auth2}{u}{${if eq{$auth3}{p}}}}\n  server_set_id = "       \
	"$auth2\n  server_prompts = :\n"                                                          \
	"  server_mail_auth_condition = ${if !eq{$authenticated_sender}{bad@y.example}}\n"        \
	"login:\n  driver = plaintext\n  public_name = LOGIN\n"                                   \
	"  server_condition = ${if eq{$auth1}{u}{${if eq{$auth2}{p}}}}\n  server_set_id = "       \
	"$auth1\n"                                                                                \
	"  server_prompts = Username:: : Password::\n"                                            \
	"later:\n  driver = plaintext\n  public_name = LATER\n  server_condition = come back\n  " \
	"server_prompts = :\n"                                                                    \
	"never:\n  driver = plaintext\n  public_name = NEVER\n  server_condition = yes\n  "       \
	"server_prompts = :\n"                                                                    \
	"  server_advertise_condition = ${if eq{$sender_host_address}{10.0.0.1}}\n"
#define EHLO                                                         \
	"250-mx.test.example Hello c.example [192.0.2.1]\n250-SIZE " \
	"52428800\n250-8BITMIME\n250-PIPELINING\n"                   \
	"250-AUTH PLAIN LOGIN LATER\n250 HELP"
#define DATA "354 Enter message, ending with \".\" on a line by itself"

static struct rig g;

static bool start(void)
{
	rig_wants.drivers = true;
	return rig_start(&g, CONFIG AUTHS);
}

TEST(before_and_after)
{
	static const struct rig_line lines[] = {
	    {"AUTH PLAIN AHUAcA==", "503 AUTH command used when not advertised"},
	    {"EHLO c.example", EHLO},
	    {"AUTH", "504  authentication mechanism not supported"},
	    {"AUTH FOO", "504 FOO authentication mechanism not supported"},
	    {"AUTH NEVER AHUAcA==", "504 NEVER authentication mechanism not supported"},
	    {"AUTH PLAIN AHUAeA==", "535 Incorrect authentication data"},
	    {"AUTH PLAIN !!!", "501 Invalid base64 data"},
	    {"AUTH PLAIN", "334 "},
	    {"*", "501 Authentication cancelled"},
	    {"AUTH LATER AHUAcA==", "435 Unable to authenticate at present: come back"},
	    {"MAIL FROM:<a@b.c>", "250 OK"},
	    {"AUTH PLAIN AHUAcA==", "503 not permitted in mail transaction"},
	    {"RSET", "250 Reset OK"},
	    {"AUTH LOGIN", "334 VXNlcm5hbWU6"},
	    {"!!", "501 Invalid base64 data"},
	    {"AUTH LOGIN =", "334 UGFzc3dvcmQ6"},
	    {"cA==", "535 Incorrect authentication data"},
	    {"auth login", "334 VXNlcm5hbWU6"},
	    {"dQ==", "334 UGFzc3dvcmQ6"},
	    {"cA==", "235 Authentication succeeded"},
	    {"AUTH PLAIN AHUAcA==", "503 already authenticated"},
	    {"MAIL FROM:<a@b.example> AUTH=e+3Dmc2@example.com", "250 OK"},
	    {"RCPT TO:<c@d.example>", "250 Accepted"},
	    {"DATA", DATA},
	    {"\r\nbody\r\n.", "250 OK id=1aaaaa-000000-AA"},
	    {"QUIT", "221 mx.test.example closing connection"},
	    {NULL, NULL},
	};
	if (start()) {
		rig_dialogue(&g, lines);
		CHECK_LOGGED(&g, " plain authenticator failed for (c.example) [192.0.2.1]: 535 "
		                 "Incorrect authentication data (set_id=u)\n");
		CHECK_LOGGED(&g, " plain authenticator failed for (c.example) [192.0.2.1]: 501 "
		                 "Invalid base64 data\n");
		CHECK_LOGGED(&g, " plain authenticator failed for (c.example) [192.0.2.1]: 501 "
		                 "Authentication cancelled\n");
		CHECK_LOGGED(&g, " <= a@b.example H=(c.example) [192.0.2.1] P=esmtpa A=login:u S=");
		CHECK_LOGGED(&g, " SMTP protocol error in \"AUTH PLAIN\" H=(c.example) [192.0.2.1] "
		                 "already authenticated\n");
		if (CHECK_EQ_INT(atomic_load(&g.count), 1))
			CHECK(
			    slice_search(slice_tainted(g.messages[0].text, g.messages[0].text_len),
			        SL(" with esmtpa ")) != SIZE_MAX);
	}
	rig_stop(&g);
}

/* Specification, 33.2. */
TEST(the_auth_parameter_of_mail)
{
	static const struct rig_line lines[] = {
	    {"EHLO c.example", EHLO},
	    {"MAIL FROM:<a@b.example> AUTH=x@y.example", "250 OK"},
	    {"RCPT TO:<c@d.example>", "250 Accepted"},
	    {"DATA", DATA},
	    {"\r\nbody\r\n.", "250 OK id=1aaaaa-000000-AA"},
	    {"MAIL FROM:<a@b.example> AUTH=x+4", "501 invalid data for AUTH"},
	    {"AUTH PLAIN AHUAcA==", "235 Authentication succeeded"},
	    {"MAIL FROM:<a@b.example> AUTH=<>", "250 OK"},
	    {"RSET", "250 Reset OK"},
	    {"MAIL FROM:<a@b.example> AUTH=bad@y.example", "250 OK"},
	    {"RSET", "250 Reset OK"},
	    {"MAIL FROM:<a@b.example> AUTH=e+3Dmc2@y.example", "250 OK"},
	    {"RCPT TO:<c@d.example>", "250 Accepted"},
	    {"DATA", DATA},
	    {"\r\nbody\r\n.", "250 OK id=1aaaaa-000001-AA"},
	    {"QUIT", "221 mx.test.example closing connection"},
	    {NULL, NULL},
	};
	if (start()) {
		rig_dialogue(&g, lines);
		CHECK_LOGGED(&g, " ignoring AUTH=x@y.example from H=(c.example) [192.0.2.1] "
		                 "(client not authenticated)\n");
		CHECK_LOGGED(&g, " P=esmtp S=");
		CHECK_LOGGED(&g, " ignoring AUTH=bad@y.example from H=(c.example) [192.0.2.1] "
		                 "(server_mail_auth_condition failed: authenticated ID=\"u\")\n");
		CHECK_LOGGED(&g, " P=esmtpa A=plain:u S=");
	}
	rig_stop(&g);
}

TEST(gone_in_the_middle)
{
	static struct rig_client c;
	if (start()) {
		for (int i = 0; i < 3; i++) {
			rig_connect(&g, &c);
			(void)rig_want(&c, "220 *");
			(void)rig_say(&c, "EHLO c.example", EHLO);
			(void)rig_say(&c, "AUTH LOGIN", "334 VXNlcm5hbWU6");
			if (i)
				(void)rig_send(&c, "dQ==\r\n", i == 1 ? 2 : 6);
			rig_close(&c);
		}
		rig_connect(&g, &c);
		(void)rig_want(&c, "220 *");
		(void)rig_say(&c, "HELO x", "250 mx.test.example Hello x [192.0.2.1]");
		(void)rig_say(
		    &c, "AUTH PLAIN AHUAcA==", "503 AUTH command used when not advertised");
		rig_close(&c);
	}
	rig_stop(&g);
}

TAP_MAIN()
