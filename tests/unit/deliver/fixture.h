/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A site whose configuration has routers: the built drivers, with the services that deliver gives
 * them. */
#ifndef HEDDLE_TESTS_DELIVER_FIXTURE_H
#define HEDDLE_TESTS_DELIVER_FIXTURE_H
#include "deliver/deliver.h"
#include "deliver/route.h"
#include "unit/match/site.h"

/* joe and ann have accounts; later cannot be asked about now. */
static inline enum rc fixture_find_user(struct services *s, struct arena *a, slice_t login,
    int64_t deadline_us, struct user_info *out, struct error *err)
{
	(void)s, (void)deadline_us;
	if (slice_eqs(login, "later"))
		return error_set(err, RC_DEFER, "nobody answers");
	if (!slice_eqs(login, "joe") && !slice_eqs(login, "ann"))
		return error_set(err, RC_FAIL, "no such user");
	*out = (struct user_info){.name = slice_of(arena_cstr(a, login), login.len, HEDDLE_CLEAN),
	    .home = SL("/home/of-user"),
	    .shell = SL("/bin/sh"),
	    .gecos = SL(""),
	    .uid = 1234,
	    .gid = 4321};
	return RC_OK;
}

static inline bool fixture_init(struct site *s, const char *config)
{
	site_init(s);
	deliver_services(&s->services);
	s->services.find_user = fixture_find_user;
	struct config_source src = {.path = "test.conf",
	    .content = slice_cstr(config),
	    .drivers = s->drivers,
	    .process = &s->process,
	    .services = &s->services};
	bool ok = config_load(&src, s->arena, &s->problems, &s->warnings, &s->cfg) == RC_OK;
	if (!ok) {
		site_say_problems(s);
		return false;
	}
	site_facts(s);
	s->message.sender_address = SL("sender@from.example");
	s->ev.process = config_process(s->cfg);
	s->ev.deadline_us = clock_mono_us() + 60 * US_PER_SEC;
	return true;
}

/* One address in words: "text=RESULT:ROUTER>TRANSPORT" and, of a failure, its text. */
static inline void fixture_put_address(struct strbuf *sb, const struct address *a)
{
	static const char *const words[] = {
	    "undone", "to", "children", "discarded", "duplicate", "failed", "deferred", "frozen"};

	strbuf_printf(sb, "%.*s %s", SL_ARG(a->text), words[a->result]);
	if (a->result == ROUTE_DELIVER)
		strbuf_printf(sb, " %.*s>%.*s", SL_ARG(a->router->name),
		    SL_ARG(a->transport ? a->transport->name : SL("-")));
	if (a->result == ROUTE_FAILED || a->result == ROUTE_DEFERRED || a->result == ROUTE_FROZEN)
		strbuf_printf(
		    sb, " (%.*s)", SL_ARG(slice_is_absent(a->logged) ? SL("-") : a->logged));
	strbuf_char(sb, '\n');
}

/* Route addresses (separated by spaces) as one run; what became of each, in the order of their
 * making. */
static inline slice_t fixture_route(
    struct site *s, struct routing *r, const char *addresses, uint32_t flags)
{
	slice_t rest = slice_cstr(addresses), word;
	struct strbuf sb;
	uint32_t n = 0;

	routing_init(r, s->arena, &s->ev, flags);
	while (slice_next(&rest, ' ', &word))
		(void)routing_add(r, slice_tainted(word.ptr, word.len), n++);
	s->err = (struct error){0};
	(void)(routing_run(r, &s->err) == RC_OK);
	strbuf_init(&sb, s->arena, 0);
	VEC_FOREACH(&r->addresses, struct address *, a)
	fixture_put_address(&sb, *a);
	return strbuf_slice(&sb);
}
#endif
