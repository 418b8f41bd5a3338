/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses through real routers.  What is expected was compared with exim4 -bt, 4.96, where that
 * can show it. */
#include "unit/deliver/fixture.h"

#define TRANSPORTS                                                           \
	"begin transports\n"                                                 \
	"t:\n driver = appendfile\n file = /nowhere/t\n user = nobody\n"     \
	"other:\n driver = appendfile\n file = /nowhere/o\n user = nobody\n" \
	"files:\n driver = appendfile\n user = nobody\n"                     \
	"pipes:\n driver = pipe\n user = nobody\n"

struct row {
	const char *addresses, *want;
};

static void check_rows(const char *config, const struct row *rows, size_t n, uint32_t flags)
{
	struct site s;
	struct routing r;

	if (CHECK(fixture_init(&s, config)))
		for (size_t i = 0; i < n; i++)
			if (!CHECK_EQ_STR(
			        fixture_route(&s, &r, rows[i].addresses, flags), rows[i].want))
				printf("# %s\n", rows[i].addresses);
	site_free(&s);
}
#define CHECK_ROWS(config, rows) check_rows(config, rows, sizeof(rows) / sizeof *(rows), 0)

/* Everything at the end goes to t; what the local part was is visible in the child. */
static const char affixes[] =
    "begin routers\n"
    "aff:\n driver = redirect\n domains = aff.example\n"
    " local_part_prefix = real- : *+\n local_part_suffix = -req : =*\n local_part_suffix_optional\n"
    " data = ${quote_local_part:l=$local_part p=$local_part_prefix pv=$local_part_prefix_v "
    "s=$local_part_suffix "
    "sv=$local_part_suffix_v}@x.example\n"
    "opt:\n driver = redirect\n domains = opt.example\n local_part_prefix = owner-\n "
    "local_part_prefix_optional\n"
    " data = ${quote_local_part:l=$local_part p=$local_part_prefix}@x.example\n"
    "star:\n driver = redirect\n domains = star.example\n local_part_prefix = *-\n"
    " data = ${quote_local_part:l=$local_part pv=$local_part_prefix_v}@x.example\n"
    "all:\n driver = accept\n transport = t\n" TRANSPORTS;

TEST(affixes)
{
	static const struct row rows[] = {
	    {"real-joe@aff.example",
	        "real-joe@aff.example children\n\"l=joe p=real- pv= s= sv=\"@x.example to all>t\n"},
	    {"REAL-joe-req@aff.example", "REAL-joe-req@aff.example children\n\"l=joe p=real- pv= "
	                                 "s=-req sv=\"@x.example to all>t\n"},
	    {"x+y+z=b=c@aff.example", "x+y+z=b=c@aff.example children\n\"l=z p=x+y+ pv=x+y s==b=c "
	                              "sv=b=c\"@x.example to all>t\n"},
	    {"+z@aff.example",
	        "+z@aff.example children\n\"l=z p=+ pv= s= sv=\"@x.example to all>t\n"},
	    {"real--req@aff.example", "real--req@aff.example children\n\"l=-req p=real- pv= s= "
	                              "sv=\"@x.example to all>t\n"},
	    /* nothing is left of the local part: Exim goes on with an empty one */
	    {"real-@aff.example",
	        "real-@aff.example children\n\"l= p=real- pv= s= sv=\"@x.example to all>t\n"},
	    {"a-b-@star.example", "a-b-@star.example children\n\"l= pv=a-b\"@x.example to all>t\n"},
	    {"z@aff.example", "z@aff.example to all>t\n"}, /* mandatory and not there */
	    {"owner-z@opt.example",
	        "owner-z@opt.example children\n\"l=z p=owner-\"@x.example to all>t\n"},
	    {"z@opt.example", "z@opt.example children\n\"l=z p=\"@x.example to all>t\n"},
	};
	CHECK_ROWS(affixes, rows);
}

static const char walk[] =
    "begin routers\n"
    "adfail:\n driver = accept\n domains = adf.example\n address_data = ${if eq{1}{2}{x}fail}\n "
    "no_more\n transport = t\n"
    "morefail:\n driver = redirect\n domains = mf.example\n data =\n more = ${if eq{1}{2}{x}fail}\n"
    "morebad:\n driver = redirect\n domains = mb.example\n data =\n more = ${if "
    "eq{1}{1}{perhaps}}\n"
    "nomore:\n driver = redirect\n domains = nm.example\n local_parts = !skip\n data =\n no_more\n "
    "cannot_route_message = no $local_part here\n"
    "cond:\n driver = accept\n domains = cond.example\n condition = ${if eq{$local_part}{yes}}\n "
    "transport = other\n"
    "condfail:\n driver = accept\n domains = cond.example\n condition = ${if "
    "eq{$local_part}{forced}{yes}fail}\n transport = other\n"
    "condbad:\n driver = accept\n domains = condbad.example\n condition = "
    "${extract{x}{${readfile{/nowhere}}}}\n transport = t\n"
    "sender:\n driver = accept\n domains = s.example\n senders = *@from.example\n transport = "
    "other\n"
    "notransport:\n driver = accept\n domains = nt.example\n transport = ${if eq{1}{2}{t}{}}\n"
    "unknowntransport:\n driver = accept\n domains = ut.example\n transport = ${if "
    "eq{1}{1}{nosuch}}\n"
    "tainted:\n driver = accept\n domains = ta.example\n transport = ${if "
    "eq{$local_part}{}{t}{$local_part}}\n"
    "case:\n driver = redirect\n domains = case.example\n local_parts = +caseful : Upper\n "
    "caseful_local_part\n data = ${quote_local_part:$local_part}-kept@x.example\n"
    "nocase:\n driver = redirect\n domains = case.example\n data = "
    "${quote_local_part:$local_part}-lower@x.example\n"
    "files:\n driver = accept\n domains = rf.example\n require_files = /etc/passwd : "
    "!/nowhere/at/all\n transport = other\n"
    "nofiles:\n driver = accept\n domains = nrf.example\n require_files = !/etc/passwd\n transport "
    "= other\n"
    "relative:\n driver = accept\n domains = rel.example\n require_files = passwd/x\n transport = "
    "other\n"
    "last:\n driver = accept\n domains = ! none.example\n transport = t\n"
    "very_last:\n driver = redirect\n data =\n cannot_route_message = nobody takes "
    "$domain\n" TRANSPORTS;

TEST(declining_skipping_and_running_out)
{
	static const struct row rows[] = {
	    {"x@adf.example",
	        "x@adf.example failed (Unrouteable address)\n"}, /* declined, and no more */
	    {"x@mf.example", "x@mf.example to last>t\n"}, /* forced to fail: the default, true */
	    {"x@nm.example", "x@nm.example failed (no x here)\n"},
	    {"skip@nm.example", "skip@nm.example to last>t\n"}, /* skipped is not declined */
	    {"yes@cond.example", "yes@cond.example to cond>other\n"},
	    {"no@cond.example", "no@cond.example to last>t\n"},
	    {"forced@cond.example", "forced@cond.example to condfail>other\n"},
	    {"x@s.example", "x@s.example to sender>other\n"},
	    {"x@nt.example", "x@nt.example deferred (no transport set in router notransport)\n"},
	    {"x@ut.example", "x@ut.example deferred (transport \"nosuch\" not found in router "
	                     "unknowntransport)\n"},
	    {"Upper@case.example", "Upper@case.example children\nUpper-kept@x.example to last>t\n"},
	    {"uPPer@case.example",
	        "uPPer@case.example children\nupper-lower@x.example to last>t\n"},
	    {"x@rf.example", "x@rf.example to files>other\n"},
	    {"x@nrf.example", "x@nrf.example to last>t\n"},
	    {"x@none.example", "x@none.example failed (nobody takes none.example)\n"},
	};
	static const char *const deferring[] = {
	    "x@mb.example", "x@condbad.example", "other@ta.example", "x@rel.example"};
	struct site s;
	struct routing r;

	CHECK_ROWS(walk, rows);
	CHECK(fixture_init(&s, walk));
	for (size_t i = 0; i < 4; i++) {
		slice_t got = fixture_route(&s, &r, deferring[i], 0);
		if (!CHECK(slice_search(got, SL(" deferred (")) != SIZE_MAX))
			printf("# %.*s", SL_ARG(got));
	}
	s.message.sender_address = SL("else@where.example");
	CHECK_EQ_STR(fixture_route(&s, &r, "x@s.example", 0), "x@s.example to last>t\n");
	site_free(&s);
}

static const char redirects[] =
    "qualify_domain = qual.example\n"
    "begin routers\n"
    "lists:\n driver = redirect\n domains = l.example\n allow_fail\n allow_defer\n"
    " data = ${if eq{$local_part}{bh1}{:blackhole:, z@x.example}\\\n"
    "{${if eq{$local_part}{bh2}{z@x.example, :blackhole:}\\\n"
    "{${if eq{$local_part}{null}{/dev/null, z@x.example}\\\n"
    "{${if eq{$local_part}{nullonly}{/dev/null}\\\n"
    "{${if eq{$local_part}{fail}{z@x.example, :fail: gone, quite gone}\\\n"
    "{${if eq{$local_part}{code}{:fail: 551 5.7.9 elsewhere}\\\n"
    "{${if eq{$local_part}{defer}{:defer: later on}\\\n"
    "{${if eq{$local_part}{unknown}{:unknown:}\\\n"
    "{${if eq{$local_part}{many}{one, \\\\two, \"three\"@l.example, # nothing\\n "
    "four@x.example}\\\n"
    "{${if eq{$local_part}{file}{/var/mail/list, /var/dir/, \"|/bin/cat a,b\"}\\\n"
    "{${if eq{$local_part}{bad}{z@x.example, @@}\\\n"
    "{${if eq{$local_part}{x400}{/s=a/o=b/@x400.example}{}}}}}}}}}}}}}}}}}}}}}}}}\n"
    " file_transport = files\n directory_transport = files\n pipe_transport = pipes\n"
    "all:\n driver = accept\n transport = t\n" TRANSPORTS;

TEST(items_of_lists)
{
	static const struct row rows[] = {
	    {"bh1@l.example", "bh1@l.example discarded\n"},
	    {"bh2@l.example", "bh2@l.example discarded\n"}, /* "anywhere in the list" */
	    {"null@l.example",
	        "null@l.example children\n/dev/null discarded\nz@x.example to all>t\n"},
	    {"nullonly@l.example", "nullonly@l.example children\n/dev/null discarded\n"},
	    {"fail@l.example", "fail@l.example failed (gone, quite gone)\n"},
	    {"code@l.example", "code@l.example failed (551 5.7.9 elsewhere)\n"},
	    {"defer@l.example", "defer@l.example deferred (later on)\n"},
	    {"unknown@l.example", "unknown@l.example to all>t\n"},
	    {"many@l.example",
	        "many@l.example children\none@qual.example to all>t\ntwo@l.example to all>t\n"
	        "\"three\"@l.example to all>t\nfour@x.example to all>t\n"},
	    {"file@l.example",
	        "file@l.example children\n/var/mail/list to lists>files\n/var/dir/ to lists>files\n"
	        "|/bin/cat a,b to lists>pipes\n"},
	    {"bad@l.example", "bad@l.example deferred (error in redirect data: domain missing or "
	                      "malformed in \"@@\")\n"},
	    {"x400@l.example", "x400@l.example children\n/s=a/o=b/@x400.example to all>t\n"},
	};
	CHECK_ROWS(redirects, rows);
}

static const char loops[] =
    "begin routers\n"
    "deep:\n driver = redirect\n domains = deep.example\n data = x$local_part@deep.example\n"
    "loop:\n driver = redirect\n domains = loop.example\n data = ${if "
    "eq{$local_part}{a}{b}{a}}@loop.example\n"
    "self:\n driver = redirect\n domains = self.example\n data = $local_part@$domain, "
    "copy@x.example\n"
    "once:\n driver = redirect\n domains = once.example\n no_repeat_use\n data = "
    "x$local_part@once.example\n"
    "ancestor:\n driver = redirect\n domains = anc.example\n local_parts = sam.reman : spqr\n "
    "check_ancestor\n"
    " data = ${if eq{$local_part}{spqr}{sam.reman@anc.example, s@x.example}{spqr@anc.example}}\n"
    "user:\n driver = accept\n local_parts = !sam.reman\n transport = t\n" TRANSPORTS;

TEST(loops_end)
{
	static const struct row rows[] = {
	    {"a@loop.example",
	        "a@loop.example children\nb@loop.example children\na@loop.example to user>t\n"},
	    {"joe@self.example", "joe@self.example children\njoe@self.example to "
	                         "user>t\ncopy@x.example to user>t\n"},
	    {"a@once.example", "a@once.example children\nxa@once.example to user>t\n"},
	    {"sam.reman@anc.example",
	        "sam.reman@anc.example children\nspqr@anc.example children\nspqr@anc.example to "
	        "user>t\ns@x.example to user>t\n"},
	};
	struct site s;
	struct routing r;

	CHECK_ROWS(loops, rows);
	CHECK(fixture_init(&s, loops));
	slice_t got = fixture_route(&s, &r, "y@deep.example", 0);
	CHECK(slice_search(got, SL("deferred (routing loop: more than 100 generations)")) !=
	      SIZE_MAX);
	CHECK_EQ_INT(r.addresses.count, 102);
	site_free(&s);
}

static const char unseen[] =
    "begin routers\n"
    "copy:\n driver = accept\n domains = c.example\n unseen\n errors_to =\n headers_add = X-Copy: "
    "1\n transport = other\n"
    "redir:\n driver = redirect\n domains = r.example\n unseen = ${if eq{$local_part}{u}}\n data = "
    "elsewhere@x.example\n"
    "hole:\n driver = redirect\n domains = h.example\n unseen\n data = :blackhole:\n"
    "bad:\n driver = accept\n domains = b.example\n unseen = ${if eq{1}{1}{perhaps}}\n transport = "
    "other\n"
    "data:\n driver = redirect\n domains = d.example\n local_parts = a\n address_data = kept\n "
    "unseen\n data = b@d.example\n"
    "all:\n driver = accept\n address_data = ${if def:address_data{$address_data}{none}}\n "
    "transport = t\n" TRANSPORTS;

TEST(unseen_goes_on_too)
{
	static const struct row rows[] = {
	    {"x@c.example", "x@c.example to copy>other\nx@c.example to all>t\n"},
	    {"u@r.example",
	        "u@r.example children\nelsewhere@x.example to all>t\nu@r.example to all>t\n"},
	    {"s@r.example", "s@r.example children\nelsewhere@x.example to all>t\n"},
	    {"x@h.example", "x@h.example discarded\nx@h.example to all>t\n"},
	};
	struct site s;
	struct routing r;

	CHECK_ROWS(unseen, rows);
	CHECK(fixture_init(&s, unseen));
	CHECK(slice_search(fixture_route(&s, &r, "x@b.example", 0), SL("x@b.example deferred (")) ==
	      0);
	/* header changes and errors_to are the first one's alone */
	(void)fixture_route(&s, &r, "x@c.example", 0);
	const struct address *first = *VEC_AT(&r.addresses, struct address *, 0),
	                     *second = *VEC_AT(&r.addresses, struct address *, 1);
	CHECK_EQ_STR(first->headers_add, "X-Copy: 1");
	CHECK(slice_is_absent(second->headers_add));
	CHECK(!slice_is_absent(first->errors_to) && first->errors_to.len == 0);
	CHECK(slice_is_absent(second->errors_to));
	/* $address_data goes to children and copies */
	(void)fixture_route(&s, &r, "a@d.example", 0);
	CHECK_EQ_INT(r.addresses.count, 3);
	for (size_t i = 1; i < r.addresses.count; i++)
		CHECK_EQ_STR(
		    (*VEC_AT(&r.addresses, struct address *, i))->facts.address_data, "kept");
	site_free(&s);
}

static const char duplicates[] =
    "begin routers\n"
    "pipe:\n driver = redirect\n domains = p.example\n local_parts = pipe\n data = \"|/bin/cmd\"\n "
    "pipe_transport = pipes\n"
    "direct:\n driver = redirect\n domains = p.example\n local_parts = d1 : d2\n data = "
    "\"|/bin/cmd\"\n pipe_transport = pipes\n"
    "indirect:\n driver = redirect\n domains = p.example\n local_parts = i1 : i2\n data = "
    "pipe@p.example\n"
    "file:\n driver = redirect\n domains = f.example\n data = ${if eq{$local_part}{broken}{/var/f, "
    "|/bin/cmd}{/var/f}}\n file_transport = files\n"
    "all:\n driver = accept\n transport = t\n" TRANSPORTS;

TEST(the_same_place_twice_is_one_delivery)
{
	static const struct row rows[] = {
	    {"a@x.example a@X.example A@x.example",
	        "a@x.example to all>t\na@X.example duplicate\nA@x.example to all>t\n"}, /* local
	                                                                                   parts:
	                                                                                   case
	                                                                                   matters
	                                                                                 */
	    {"d1@p.example d2@p.example",
	        "d1@p.example children\nd2@p.example children\n|/bin/cmd to direct>pipes\n"
	        "|/bin/cmd to direct>pipes\n"},
	    {"i1@p.example i2@p.example",
	        "i1@p.example children\ni2@p.example children\npipe@p.example children\n"
	        "pipe@p.example duplicate\n|/bin/cmd to pipe>pipes\n"},
	    {"a@f.example b@f.example", "a@f.example children\nb@f.example children\n/var/f to "
	                                "file>files\n/var/f duplicate\n"},
	    /* what was dropped with its list does not stand for another one's file */
	    {"broken@f.example b@f.example",
	        "broken@f.example deferred (pipe_transport unset in router file)\n"
	        "b@f.example children\n/var/f to file>files\n"},
	};
	CHECK_ROWS(duplicates, rows);
}

static const char hosts[] =
    "begin routers\n"
    "me:\n driver = manualroute\n domains = freeze.example\n route_list = * 127.0.0.1 byname\n "
    "transport = t\n"
    "mefail:\n driver = manualroute\n domains = fail.example\n self = fail\n route_list = * "
    "127.0.0.1\n transport = t\n"
    "medefer:\n driver = manualroute\n domains = defer.example\n self = defer\n route_list = * "
    "127.0.0.1\n transport = t\n"
    "mesend:\n driver = manualroute\n domains = send.example\n self = send\n route_list = * "
    "127.0.0.1\n transport = t\n"
    "mepass:\n driver = manualroute\n domains = pass.example\n self = pass\n no_more\n pass_router "
    "= far\n route_list = * 127.0.0.1\n transport = t\n"
    "cut:\n driver = manualroute\n domains = cut.example\n route_list = * "
    "10.1.1.1:127.0.0.1:10.2.2.2\n transport = t\n"
    "ignored:\n driver = manualroute\n domains = ign.example\n ignore_target_hosts = 10.0.0.0/8\n "
    "route_list = * 10.1.1.1:192.0.2.1\n transport = t\n"
    "near:\n driver = accept\n domains = pass.example\n transport = t\n"
    "far:\n driver = accept\n domains = pass.example\n transport = ${if "
    "eq{$self_hostname}{127.0.0.1}{other}{t}}\n" TRANSPORTS;

TEST(a_host_that_is_ourselves)
{
	static const struct row rows[] = {
	    {"x@freeze.example",
	        "x@freeze.example frozen (remote host address is the local host)\n"},
	    {"x@fail.example", "x@fail.example failed (remote host address is the local host)\n"},
	    {"x@defer.example",
	        "x@defer.example deferred (remote host address is the local host)\n"},
	    {"x@send.example", "x@send.example to mesend>t\n"},
	    {"x@pass.example", "x@pass.example to far>other\n"},
	};
	struct site s;
	struct routing r;

	CHECK_ROWS(hosts, rows);
	CHECK(fixture_init(&s, hosts));
	CHECK_EQ_STR(fixture_route(&s, &r, "x@cut.example", 0), "x@cut.example to cut>t\n");
	const struct address *a = *VEC_AT(&r.addresses, struct address *, 0);
	CHECK_EQ_INT(a->hosts.count, 1);
	CHECK_EQ_STR(VEC_AT(&a->hosts, struct heddle_route_host, 0)->address, "10.1.1.1");
	CHECK_EQ_STR(fixture_route(&s, &r, "x@ign.example", 0), "x@ign.example to ignored>t\n");
	a = *VEC_AT(&r.addresses, struct address *, 0);
	CHECK_EQ_INT(a->hosts.count, 1);
	CHECK_EQ_STR(VEC_AT(&a->hosts, struct heddle_route_host, 0)->address, "192.0.2.1");
	site_free(&s);
}

static const char users[] = "begin routers\n"
                            "user:\n driver = accept\n check_local_user\n router_home_directory = "
                            "/srv/$local_part_data\n condition = ${if eq{$home}{/srv/joe}}\n"
                            " transport = t\n"
                            "list:\n driver = redirect\n local_parts = list\n redirect_router = "
                            "last\n data = joe@x.example\n"
                            "last:\n driver = accept\n transport = other\n" TRANSPORTS;

TEST(local_users)
{
	static const struct row rows[] = {
	    {"joe@x.example", "joe@x.example to user>t\n"},
	    {"ann@x.example",
	        "ann@x.example to last>other\n"}, /* the condition sees router_home_directory */
	    {"bob@x.example", "bob@x.example to last>other\n"},
	    {"later@x.example", "later@x.example deferred (check_local_user check in router user: "
	                        "nobody answers)\n"},
	    {"list@x.example",
	        "list@x.example children\njoe@x.example to last>other\n"}, /* redirect_router */
	};
	struct site s;
	struct routing r;

	CHECK_ROWS(users, rows);
	CHECK(fixture_init(&s, users));
	(void)fixture_route(&s, &r, "joe@x.example", 0);
	const struct address *a = *VEC_AT(&r.addresses, struct address *, 0);
	CHECK_EQ_INT(a->uid, 1234);
	CHECK_EQ_INT(a->gid, 4321);
	CHECK_EQ_STR(a->facts.home, "/srv/joe");
	CHECK_EQ_STR(a->user_home, "/home/of-user");
	CHECK(slice_is_clean(a->facts.local_part_data) && !slice_is_clean(a->facts.local_part));
	/* ann was refused behind check_local_user: the next router knows nothing of her account */
	(void)fixture_route(&s, &r, "ann@x.example", 0);
	a = *VEC_AT(&r.addresses, struct address *, 0);
	CHECK_EQ_INT(a->uid, -1);
	CHECK(slice_is_absent(a->facts.home) && slice_is_absent(a->user_home));
	site_free(&s);
}

static const char errors_to[] =
    "begin routers\n"
    "e:\n driver = accept\n domains = e.example\n headers_add = X-A: 1\n headers_remove = x-gone\n "
    "transport = t\n"
    " errors_to = ${if eq{$local_part}{good}{ok@x.example}{${if "
    "eq{$local_part}{bad}{no@nowhere.example}\\\n"
    "{${if eq{$local_part}{null}{}{${if eq{1}{2}{x}fail}}}}}}}\n"
    "list:\n driver = redirect\n domains = list.example\n errors_to = owner@x.example\n "
    "headers_add = X-L: 1\n data = null@e.example, forced@e.example\n"
    "x:\n driver = accept\n domains = x.example\n condition = ${if eq{$sender_address}{}}\n "
    "transport = t\n" TRANSPORTS;

TEST(errors_to_must_verify)
{
	static const struct {
		const char *address, *want;
	} rows[] = {{"good@e.example", "ok@x.example"}, {"bad@e.example", "-"},
	    {"null@e.example", ""}, {"forced@e.example", "-"}};
	struct site s;
	struct routing r;

	CHECK(fixture_init(&s, errors_to));
	for (size_t i = 0; i < 4; i++) {
		(void)fixture_route(&s, &r, rows[i].address, 0);
		const struct address *a = *VEC_AT(&r.addresses, struct address *, 0);
		CHECK_EQ_STR(slice_is_absent(a->errors_to) ? SL("-") : a->errors_to, rows[i].want);
		CHECK_EQ_STR(a->headers_add, "X-A: 1");
		CHECK_EQ_STR(a->headers_remove, "x-gone");
	}
	CHECK_EQ_STR(s.message.sender_address, "sender@from.example");
	(void)fixture_route(&s, &r, "any@list.example", 0);
	const struct address *null = *VEC_AT(&r.addresses, struct address *, 1),
	                     *forced = *VEC_AT(&r.addresses, struct address *, 2);
	CHECK(!slice_is_absent(null->errors_to) && null->errors_to.len == 0);
	CHECK_EQ_STR(forced->errors_to, "owner@x.example");
	CHECK_EQ_STR(forced->headers_add, "X-L: 1\nX-A: 1");
	/* a verification adds nothing */
	(void)fixture_route(&s, &r, "good@e.example", ROUTE_VERIFY);
	CHECK(slice_is_absent((*VEC_AT(&r.addresses, struct address *, 0))->headers_add));
	site_free(&s);
}

static const char modes[] =
    "begin routers\n"
    "notest:\n driver = accept\n domains = m.example\n no_address_test\n no_verify\n no_expn\n "
    "transport = other\n"
    "vonly:\n driver = accept\n domains = m.example : vo.example\n verify_only\n"
    "fv:\n driver = accept\n domains = fv.example\n fail_verify\n transport = t\n"
    "fvs:\n driver = accept\n domains = fvs.example\n fail_verify_sender\n transport = t\n"
    "nvs:\n driver = accept\n domains = nvs.example\n no_verify_sender\n transport = t\n"
    "alias:\n driver = redirect\n domains = alias.example\n allow_defer\n"
    " data = ${if eq{$local_part}{one}{nobody@none.example}{${if "
    "eq{$local_part}{two}{nobody@none.example, nix@none.example}{:defer: 450 wait}}}}\n"
    "all:\n driver = accept\n domains = m.example\n transport = t\n" TRANSPORTS;

TEST(routers_for_some_purposes_only)
{
	static const struct {
		const char *address;
		uint32_t flags;
		const char *want;
	} rows[] = {
	    {"a@m.example", 0, "a@m.example to notest>other\n"},
	    {"a@m.example", ROUTE_TEST, "a@m.example to all>t\n"},
	    {"a@m.example", ROUTE_EXPN, "a@m.example to all>t\n"},
	    {"a@m.example", ROUTE_VERIFY, "a@m.example to vonly>-\n"},
	    {"a@vo.example", 0, "a@vo.example failed (Unrouteable address)\n"},
	    {"a@fv.example", 0, "a@fv.example to fv>t\n"},
	    {"a@fv.example", ROUTE_VERIFY,
	        "a@fv.example failed (fv router forced verify failure)\n"},
	    {"a@fv.example", ROUTE_VERIFY | ROUTE_VERIFY_SENDER,
	        "a@fv.example failed (fv router forced verify failure)\n"},
	    {"a@fvs.example", ROUTE_VERIFY, "a@fvs.example to fvs>t\n"},
	    {"a@fvs.example", ROUTE_VERIFY | ROUTE_VERIFY_SENDER,
	        "a@fvs.example failed (fvs router forced verify failure)\n"},
	    {"a@nvs.example", ROUTE_VERIFY, "a@nvs.example to nvs>t\n"},
	    {"a@nvs.example", ROUTE_VERIFY | ROUTE_VERIFY_SENDER,
	        "a@nvs.example failed (Unrouteable address)\n"},
	};
	struct site s;
	struct routing r;

	CHECK(fixture_init(&s, modes));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!CHECK_EQ_STR(
		        fixture_route(&s, &r, rows[i].address, rows[i].flags), rows[i].want))
			printf("# %s %u\n", rows[i].address, rows[i].flags);
	site_free(&s);
}

TEST(verifying_for_an_acl)
{
	static const struct {
		const char *address;
		struct verify_options o;
		enum rc want;
		const char *user, *log;
	} rows[] = {
	    {"a@m.example", {0}, RC_OK, "-", "-"},
	    {"a@none.example", {0}, RC_FAIL, "Unrouteable address", "Unrouteable address"},
	    {"a@none.example", {.defer_ok = true}, RC_FAIL, "Unrouteable address",
	        "Unrouteable address"},
	    {"one@alias.example", {0}, RC_FAIL, "Unrouteable address",
	        "Unrouteable address"}, /* one child stands for it */
	    {"one@alias.example", {.success_on_redirect = true}, RC_OK, "-", "-"},
	    {"two@alias.example", {0}, RC_OK, "-", "-"}, /* several: verified, whatever they are */
	    {"later@alias.example", {0}, RC_DEFER, "wait", "450 wait"},
	    {"later@alias.example", {.defer_ok = true}, RC_OK, "-", "-"},
	    {"nodomain", {0}, RC_FAIL, "unqualified address", "unqualified address"},
	};
	struct site s;
	slice_t user, log;

	CHECK(fixture_init(&s, modes));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct address_facts *was = s.ev.address;
		bool ok = CHECK_EQ_INT(deliver_verify_address(&s.ev,
		                           slice_tainted(rows[i].address, strlen(rows[i].address)),
		                           false, &rows[i].o, &user, &log, &s.err),
		    rows[i].want);
		ok &= CHECK_EQ_STR(slice_is_absent(user) ? SL("-") : user, rows[i].user);
		ok &= CHECK_EQ_STR(slice_is_absent(log) ? SL("-") : log, rows[i].log);
		CHECK(s.ev.address == was);
		if (!ok)
			printf("# %s\n", rows[i].address);
	}
	site_free(&s);
}

TEST(address_test_prints_as_exim_does)
{
	static const struct {
		const char *config, *address, *want;
		bool verify;
		enum rc status;
	} rows[] = {
	    {modes, "a@m.example", "a@m.example\n  router = all, transport = t\n", false, RC_OK},
	    {modes, "a@m.example", "a@m.example verified\n", true, RC_OK},
	    {modes, "a@none.example", "a@none.example is undeliverable: Unrouteable address\n",
	        false, RC_FAIL},
	    {modes, "a@none.example", "a@none.example failed to verify: Unrouteable address\n",
	        true, RC_FAIL},
	    {modes, "one@alias.example",
	        "one@alias.example failed to verify: Unrouteable address\n", true, RC_FAIL},
	    {modes, "two@alias.example", "two@alias.example verified\n", true, RC_OK},
	    {modes, "later@alias.example",
	        "later@alias.example cannot be resolved at this time: 450 wait\n", true, RC_DEFER},
	    {modes, "one@alias.example",
	        "nobody@none.example is undeliverable: Unrouteable address\n    <-- "
	        "one@alias.example\n",
	        false, RC_FAIL},
	    {redirects, "bh1@l.example", "bh1@l.example verified\n", true, RC_OK},
	    {redirects, "file@l.example", "file@l.example verified\n", true, RC_OK},
	    {redirects, "file@l.example",
	        "file@l.example -> /var/mail/list\n  transport = files\nfile@l.example -> "
	        "/var/dir/\n  transport = files\n"
	        "file@l.example -> |/bin/cat a,b\n  transport = pipes\n",
	        false, RC_OK},
	    {redirects, "bh1@l.example", "mail to bh1@l.example is discarded\n", false, RC_OK},
	    {redirects, "defer@l.example",
	        "defer@l.example cannot be resolved at this time: later on\n", false, RC_DEFER},
	    {redirects, "bad@l.example",
	        "bad@l.example cannot be resolved at this time: error in redirect data: domain "
	        "missing or malformed in \"@@\"\n",
	        false, RC_DEFER},
	    {redirects, "null@l.example",
	        "null@l.example -> /dev/null\n  transport = files\n"
	        "z@x.example\n    <-- null@l.example\n  router = all, transport = t\n",
	        false, RC_OK},
	    {hosts, "x@cut.example",
	        "x@cut.example\n  router = cut, transport = t\n  host 10.1.1.1 [10.1.1.1]\n", false,
	        RC_OK},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct site s;
		struct strbuf sb;
		if (CHECK(fixture_init(&s, rows[i].config))) {
			strbuf_init(&sb, s.arena, 0);
			CHECK_EQ_INT(deliver_address_test(&s.ev, slice_cstr(rows[i].address),
			                 rows[i].verify, false, &sb),
			    rows[i].status);
			CHECK_EQ_STR(strbuf_slice(&sb), rows[i].want);
		}
		site_free(&s);
	}
}

TAP_MAIN()
