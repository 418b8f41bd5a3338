/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who a local delivery acts as, and its $home.  Specification, chapter 23. */
#include "deliver/deliver_private.h"
#include "unit/deliver/fixture.h"

#include <stdlib.h>

#define USER_OF(name, options) #name ":\n driver = appendfile\n file = /nowhere/x\n" options

static const char config[] =
    "never_users = root : ann : 77\n"
    "begin routers\n"
    "plain:\n driver = accept\n domains = plain.example\n transport = none\n"
    "named:\n driver = accept\n domains = named.example\n user = mail\n group = mail\n "
    "initgroups\n transport = none\n"
    "checked:\n driver = accept\n domains = checked.example\n check_local_user\n transport = none\n"
    " transport_home_directory = ${if eq{$local_part}{joe}{/srv/joe}{}}\n"
    "checked2:\n driver = accept\n domains = checked2.example\n check_local_user\n "
    "router_home_directory = /router/home\n transport = none\n"
    "homed:\n driver = accept\n domains = homed.example\n router_home_directory = /router/home\n "
    "transport = none\n"
    "begin transports\n" USER_OF(none, "") USER_OF(fixed, " user = daemon\n group = staff\n")
        USER_OF(numbered, " user = 1001\n")
            USER_OF(expanded, " user = ${if eq{$domain}{plain.example}{dyn}{other}}\n")
                USER_OF(forced, " user = ${if eq{1}{2}{x}fail}\n")
                    USER_OF(broken, " user = ${extract{x}{${readfile{/nowhere}}}}\n")
                        USER_OF(rooted, " user = root\n") USER_OF(anned, " user = ann\n")
                            USER_OF(annumbered, " user = 1234\n") USER_OF(seven, " user = 77\n")
                                USER_OF(homely, " home_directory = /transport/home\n");

static struct site s;
static struct attempt at;
static struct group group;
static struct routing run;

/* Route, and make a group of the one address; the transport may be another than the router's. */
static struct address *begin(const char *address, const char *transport)
{
	if (!CHECK(fixture_init(&s, config)))
		exit(1);
	(void)fixture_route(&s, &run, address, 0);
	struct address *a = *VEC_AT(&run.addresses, struct address *, 0);
	a->transport = config_transport_named(s.cfg, slice_cstr(transport));
	MUST(a->transport);
	at = (struct attempt){.arena = s.arena, .cfg = s.cfg, .ev = s.ev};
	at.ev.address = &a->facts;
	group = (struct group){.transport = a->transport, .is_local = true};
	*VEC_PUSH(s.arena, &group.addresses, struct address *) = a;
	return a;
}

struct row {
	const char *address, *transport;
	enum rc rc;
	const char *user, *group; /* "-": none */
	bool constant, initgroups;
};

TEST(users_and_groups)
{
	static const struct row rows[] = {
	    {"x@plain.example", "none", RC_OK, "-", "-", false, false}, /* whoever we are */
	    {"x@plain.example", "fixed", RC_OK, "daemon", "staff", true, false},
	    {"x@plain.example", "numbered", RC_OK, "1001", "-", true, false},
	    {"x@plain.example", "expanded", RC_OK, "dyn", "-", false, false},
	    {"x@plain.example", "forced", RC_OK, "-", "-", false, false},
	    {"x@plain.example", "broken", RC_DEFER, "", "", false, false},
	    {"x@named.example", "none", RC_OK, "mail", "mail", true, true}, /* the router's */
	    {"x@named.example", "fixed", RC_OK, "daemon", "staff", true,
	        true}, /* the transport's comes first */
	    {"x@named.example", "expanded", RC_OK, "other", "mail", false, true},
	    {"joe@checked.example", "none", RC_OK, "1234", "4321", false,
	        false}, /* check_local_user's */
	    {"joe@checked.example", "numbered", RC_OK, "1001", "4321", true, false},
	    /* never_users, by whatever name or number */
	    {"x@plain.example", "rooted", RC_DEFER, "", "", false, false},
	    {"x@plain.example", "anned", RC_DEFER, "", "", false, false},
	    {"x@plain.example", "annumbered", RC_DEFER, "", "", false, false},
	    {"x@plain.example", "seven", RC_DEFER, "", "", false, false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct agent_identity who;
		(void)begin(rows[i].address, rows[i].transport);
		if (strstr(rows[i].address,
		        "checked")) /* joe and ann share a number here: without the list */
			((struct option_value *)(uintptr_t)config_main(s.cfg, MO_never_users))
			    ->text = slice_absent();
		bool ok = CHECK_EQ_INT(local_identity(&at, &group, &who, &s.err), rows[i].rc);
		if (rows[i].rc == RC_OK && ok) {
			ok &= CHECK_EQ_STR(
			    slice_is_absent(who.user) ? SL("-") : who.user, rows[i].user);
			ok &= CHECK_EQ_STR(
			    slice_is_absent(who.group) ? SL("-") : who.group, rows[i].group);
			ok &= CHECK_EQ_INT(who.is_constant, rows[i].constant);
			ok &= CHECK_EQ_INT(who.initgroups, rows[i].initgroups);
		}
		if (!ok)
			printf("# row %zu: %s\n", i, s.err.text);
		site_free(&s);
	}
}

/* A user that was found by check_local_user is known by number only; the list has names. */
TEST(never_users_holds_for_checked_users)
{
	struct agent_identity who;
	(void)begin("ann@checked.example", "none");
	CHECK_EQ_INT(local_identity(&at, &group, &who, &s.err), RC_DEFER);
	CHECK(strstr(s.err.text, "is on the never_users list") != NULL);
	site_free(&s);
}

TEST(home)
{
	static const struct {
		const char *address, *transport, *want;
	} rows[] = {
	    {"joe@checked.example", "homely", "/transport/home"},
	    {"joe@checked.example", "none", "/srv/joe"}, /* the router's transport_home_directory */
	    {"ann@checked.example", "none", "/home/of-user"},  /* that is empty: the account's */
	    {"joe@checked2.example", "none", "/home/of-user"}, /* before router_home_directory */
	    {"x@homed.example", "none", "/router/home"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct address *a = begin(rows[i].address, rows[i].transport);
		local_set_home(&at, &group);
		if (!CHECK_EQ_STR(a->facts.home, rows[i].want))
			printf("# row %zu\n", i);
		site_free(&s);
	}
}

TAP_MAIN()
