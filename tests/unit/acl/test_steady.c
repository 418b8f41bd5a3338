/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An ACL that has run before asks malloc for nothing: every request of this program is counted,
 * also those of libraries. */
#include "acl/acl.h"
#include "unit/match/site.h"

#include <stdatomic.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTED 0
#endif
#endif
#ifndef COUNTED
#define COUNTED 1
#endif

static atomic_uint asked;

#if COUNTED
/* the library's own, under the names that it keeps for those who replace them */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	atomic_fetch_add(&asked, 1);
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	atomic_fetch_add(&asked, 1);
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	atomic_fetch_add(&asked, 1);
	return __libc_realloc(p, size);
}
#endif

static const struct config_hooks load_hooks = {.compile_acls = acl_compile_all};
static const struct eval_hooks eval_hooks = {.acl = acl_eval_hook};

static const char config[] =
    "primary_hostname = mx.example.org\n"
    "domainlist local = a.example : *.b.example : ^c[0-9]+\\\\.example\\$\n"
    "hostlist relays = <; 10.0.0.0/8 ; 192.0.2.0/24 ; 2001:db8::/32\n"
    "addresslist bad = ^spam.*@ : *@spam.example\n"
    "begin acl\n"
    "rcpt:\n"
    "  warn set acl_m_count = ${eval:${if def:acl_m_count{$acl_m_count}{0}}+1}\n"
    "       set acl_c_who = ${lc:$sender_address}\n"
    "  deny senders = +bad\n message = no $sender_address\n"
    "  deny local_parts = ^[.] : ^.*[@%!/|] : ^.*/\\\\.\\\\./\n message = odd\n"
    "  deny condition = ${if match{$sender_address}{^(.*)\\\\+(.*)@}{${if eq{$2}{x}}}{no}}\n"
    "  deny condition = ${if forany{a:b:c:d}{eq{$item}{$local_part}}}\n message = $acl_m_count\n"
    "  deny domains = ${if eq{$local_part}{run}{z.example : *.y.example}{x.example}}\n"
    "  warn condition = ${if >{${strlen:${map{<, "
    "1,2,3,4,5,6,7,8}{${sg{x$item}{x}{$acl_c_who}}}}}}{5}}\n"
    "       add_header = X-Count: $acl_m_count ${reduce{1:2:3}{0}{${eval:$value+$item}}}\n"
    "  deny acl = inner $local_part 7\n"
    "  accept hosts = +relays\n"
    "  accept domains = +local\n"
    "  deny message = relay not permitted for $local_part@$domain\n"
    "inner:\n"
    "  accept condition = ${if eq{$acl_arg1}{joe7}}\n"
    "  deny condition = ${if inlist{$acl_arg2}{1:2:3}}\n";

struct steady {
	struct site s;
	struct arena *transaction;
	struct acl_effects fx;
	struct acl_outcome out;
	bool ok;
};

/* What smtp does for a recipient and for the end of a message. */
static void message(struct steady *t)
{
	static const char *const domains[] = {
	    "a.example", "x.b.example", "c17.example", "q.example"};
	t->s.message.arena = t->s.address.arena = t->s.session.arena = t->fx.arena = t->transaction;
	t->s.message.acl_m = t->s.session.acl_c = NULL;
	t->s.message.sender_address = slice_tainted("Joe+list@remote.example", 23);
	for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++) {
		t->s.address.local_part = slice_tainted("joe", 3);
		t->s.address.domain = slice_tainted(domains[i], strlen(domains[i]));
		struct strbuf sb;
		strbuf_init(&sb, t->transaction, 0);
		strbuf_add(&sb, t->s.address.local_part);
		strbuf_char(&sb, '@');
		strbuf_add(&sb, t->s.address.domain);
		struct acl_run r = {
		    .where = ACL_RCPT, .recipient = strbuf_slice(&sb), .effects = &t->fx};
		enum rc rc = acl_check(&t->s.ev, &r, SL("rcpt"), &t->out, &t->s.err);
		bool ok =
		    rc == RC_OK && t->out.verdict == (domains[i][0] == 'q' ? ACL_DENY : ACL_ACCEPT);
		if (t->ok && !ok)
			printf("# %s: verdict %d, %.*s %.*s %s\n", domains[i], (int)t->out.verdict,
			    SL_ARG(t->out.user_text), SL_ARG(t->out.log_text), t->s.err.text);
		t->ok = t->ok && ok;
		arena_reset(t->s.scratch);
	}
	t->fx = (struct acl_effects){.arena = t->transaction};
	arena_reset(t->transaction);
}

TEST(an_acl_that_has_run_asks_malloc_for_nothing)
{
	struct steady t = {.ok = true, .transaction = arena_new(0)};
	site_init(&t.s);
	if (!CHECK(site_load(&t.s, config, &load_hooks)))
		site_say_problems(&t.s);
	t.s.ev.hooks = &eval_hooks;
	t.s.session.sender_host_address = slice_tainted("198.51.100.7", 12);
	for (int i = 0; i < 10; i++)
		message(&t);
	CHECK(t.ok);
	CHECK(!COUNTED || asked > 0); /* it does count */
	unsigned before = asked;
	for (int i = 0; i < 1000; i++)
		message(&t);
	CHECK(t.ok);
	CHECK_EQ_INT(asked - before, 0);
	arena_free(&t.transaction);
	site_free(&t.s);
}

TAP_MAIN()
