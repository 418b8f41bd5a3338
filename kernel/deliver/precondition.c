/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The generic preconditions of a router, in the specification's order; one small function each, in
 * a table. */
#include "deliver/route.h"

#define OPT(s, which) (&(s)->router->generic[RO_##which])

static bool flag(const struct route_step *s, enum router_option o)
{
	return s->router->generic[o].number != 0;
}

/* "real-", "*+" ...: does item match the end of s (or its start)?  *out_len: how much; *out_v: what
 * the star stood for. */
static bool affix_matches(slice_t item, slice_t s, bool suffix, uint32_t *out_len, slice_t *out_v)
{
	bool star = item.len && item.ptr[suffix ? item.len - 1 : 0] == '*';
	slice_t fixed = star ? slice_sub(item, suffix ? 0 : 1, item.len - 1) : item;

	*out_v = slice_sub(s, 0, 0);
	if (s.len < fixed.len || (fixed.len == 0 && !star))
		return false;
	if (!star) {
		if (suffix && s.len == fixed.len)
			return false; /* Exim leaves something before a fixed suffix, though nothing
			                 behind a prefix */
		slice_t part = slice_sub(s, suffix ? s.len - fixed.len : 0, fixed.len);
		*out_len = fixed.len;
		return slice_eqi(part, fixed);
	}
	/* the longest that the star can stand for, even if nothing is left of the local part: Exim
	 * does so too */
	for (uint32_t k = 0; k + fixed.len <= s.len; k++) {
		uint32_t at = suffix ? k : s.len - fixed.len - k;
		if (!slice_eqi(slice_sub(s, at, fixed.len), fixed))
			continue;
		*out_len = suffix ? s.len - at : at + fixed.len;
		*out_v = suffix ? slice_sub(s, at + fixed.len, s.len) : slice_sub(s, 0, at);
		return true;
	}
	return false;
}

static bool find_affix(struct route_step *s, slice_t list, slice_t from, bool suffix,
    uint32_t *out_len, slice_t *out_v)
{
	uint64_t pos = 0;
	slice_t item;

	while (expand_list_next(s->run->arena, list, &pos, &item))
		if (affix_matches(item, from, suffix, out_len, out_v))
			return true;
	return false;
}

static enum rc check_prefix(struct route_step *s, struct error *err)
{
	struct address_facts *f = &s->addr->facts;
	const struct option_value *o = OPT(s, local_part_prefix);
	uint32_t n;
	slice_t v, list;

	if (slice_is_absent(o->text))
		return RC_OK;
	list = o->text;
	if (o->expr) {
		enum rc rc = expr_eval(s->run->eval, o->expr, &list, err);
		if (rc != RC_OK)
			return rc;
	}
	if (!find_affix(s, list, f->local_part, false, &n, &v))
		return flag(s, RO_local_part_prefix_optional) ? RC_OK : RC_FAIL;
	f->local_part_prefix = slice_sub(f->local_part, 0, n);
	f->local_part_prefix_v = v;
	f->local_part = slice_sub(f->local_part, n, f->local_part.len);
	return RC_OK;
}

static enum rc check_suffix(struct route_step *s, struct error *err)
{
	struct address_facts *f = &s->addr->facts;
	const struct option_value *o = OPT(s, local_part_suffix);
	uint32_t n;
	slice_t v, list;

	if (slice_is_absent(o->text))
		return RC_OK;
	list = o->text;
	if (o->expr) {
		enum rc rc = expr_eval(s->run->eval, o->expr, &list, err);
		if (rc != RC_OK)
			return rc;
	}
	if (!find_affix(s, list, f->local_part, true, &n, &v))
		return flag(s, RO_local_part_suffix_optional) ? RC_OK : RC_FAIL;
	f->local_part_suffix = slice_sub(f->local_part, f->local_part.len - n, n);
	f->local_part_suffix_v = v;
	f->local_part = slice_sub(f->local_part, 0, f->local_part.len - n);
	return RC_OK;
}

/* verify, verify_only, verify_sender, verify_recipient, expn, address_test */
static enum rc check_mode(struct route_step *s, struct error *err)
{
	uint32_t flags = s->run->flags;

	(void)err;
	if ((flags & ROUTE_EXPN) && !flag(s, RO_expn))
		return RC_FAIL;
	if ((flags & ROUTE_TEST) && !flag(s, RO_address_test))
		return RC_FAIL;
	if (flags & ROUTE_VERIFY) {
		if (!flag(s, RO_verify))
			return RC_FAIL;
		return flag(s,
		           (flags & ROUTE_VERIFY_SENDER) ? RO_verify_sender : RO_verify_recipient)
		           ? RC_OK
		           : RC_FAIL;
	}
	return flag(s, RO_verify_only) ? RC_FAIL : RC_OK;
}

static enum rc check_domains(struct route_step *s, struct error *err)
{
	struct address_facts *f = &s->addr->facts;

	if (!OPT(s, domains)->list)
		return RC_OK;
	return match_domain(s->run->eval, OPT(s, domains)->list, f->domain, &f->domain_data, err);
}

static enum rc check_local_parts(struct route_step *s, struct error *err)
{
	struct address_facts *f = &s->addr->facts;
	struct match_list *list = OPT(s, local_parts)->list;

	if (!list)
		return RC_OK;
	return (flag(s, RO_caseful_local_part) ? match_local_part_caseful : match_local_part)(
	    s->run->eval, list, f->local_part, &f->local_part_data, err);
}

static enum rc check_local_user(struct route_step *s, struct error *err)
{
	struct address_facts *f = &s->addr->facts;
	struct services *sv = s->run->eval->services;
	struct user_info u;

	if (!flag(s, RO_check_local_user))
		return RC_OK;
	if (!sv || !sv->find_user)
		return error_set(err, RC_DEFER, "nobody to ask about local users");
	enum rc rc =
	    sv->find_user(sv, s->run->arena, f->local_part, s->run->eval->deadline_us, &u, err);
	if (rc != RC_OK)
		return rc;
	f->local_part_data = u.name;
	f->home = s->addr->user_home = u.home;
	f->local_user_uid = u.uid;
	f->local_user_gid = u.gid;
	s->addr->uid = u.uid;
	s->addr->gid = u.gid;
	return RC_OK;
}

static enum rc set_router_home(struct route_step *s, struct error *err)
{
	const struct option_value *o = OPT(s, router_home_directory);
	slice_t v;

	if (!o->expr)
		return RC_OK;
	enum rc rc = expr_eval(s->run->eval, o->expr, &v, err);
	if (rc == RC_FAIL)
		return RC_OK; /* a forced failure leaves it as it was */
	if (rc == RC_OK)
		s->addr->facts.home = v;
	return rc;
}

static enum rc check_senders(struct route_step *s, struct error *err)
{
	const struct message_facts *m = s->run->eval->message;

	if (!OPT(s, senders)->list || !m || slice_is_absent(m->sender_address))
		return RC_OK;
	return match_address(s->run->eval, OPT(s, senders)->list, m->sender_address, NULL, err);
}

/* Any text but the empty one, 0, no and false; a forced failure is false too. */
static enum rc check_condition(struct route_step *s, struct error *err)
{
	const struct option_value *o = OPT(s, condition);
	slice_t v;

	if (!o->expr)
		return RC_OK;
	enum rc rc = expr_eval(s->run->eval, o->expr, &v, err);
	if (rc == RC_OK && !expand_is_true_lax(v))
		return RC_FAIL;
	return rc;
}

typedef enum rc check_fn(struct route_step *s, struct error *err);
static const struct {
	const char *what;
	check_fn *fn;
} checks[] = {
    {"local_part_prefix", check_prefix},
    {"local_part_suffix", check_suffix},
    {"verify", check_mode},
    {"domains", check_domains},
    {"local_parts", check_local_parts},
    {"check_local_user", check_local_user},
    {"router_home_directory", set_router_home},
    {"senders", check_senders},
    {NULL, route_check_files},
    {"condition", check_condition},
};

/* What an earlier router found out about the address is not this one's. */
static void clear_facts(struct route_step *s)
{
	struct address_facts *f = &s->addr->facts;

	f->local_part = s->local_part_full;
	f->local_part_data = f->domain_data = slice_absent();
	f->local_part_prefix = f->local_part_prefix_v = f->local_part_suffix =
	    f->local_part_suffix_v = slice_absent();
	f->home = s->addr->user_home = slice_absent();
	f->local_user_uid = f->local_user_gid = -1;
	f->router_name = s->router->name;
	s->addr->uid = s->addr->gid = -1;
}

enum rc route_precondition(struct route_step *s, struct error *err)
{
	clear_facts(s);
	if (!flag(s, RO_caseful_local_part)) {
		char *p = arena_bytes(s->run->arena, s->local_part_full.len + 1u);
		for (uint32_t i = 0; i < s->local_part_full.len; i++)
			p[i] = ascii_lower(s->local_part_full.ptr[i]);
		s->addr->facts.local_part =
		    slice_of(p, s->local_part_full.len, s->local_part_full.flags);
	}
	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
		enum rc rc = checks[i].fn(s, err);
		if (rc == RC_FAIL)
			return RC_FAIL;
		if (rc != RC_OK && !checks[i].what) /* it has named itself */
			return RC_DEFER;
		if (rc != RC_OK)
			return error_wrap(err, RC_DEFER, "%s check in router %.*s", checks[i].what,
			    SL_ARG(s->router->name));
	}
	return RC_OK;
}
