/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conditions that match: regexes, lists, passwords; and the one that runs an ACL. */
#include "expand/conditions.h"
#include "expand/crypto.h"

#include <crypt.h>

/* ---- match ---- */

enum rc parse_cond_match(struct parser *p, struct cond *c)
{
	enum rc rc = parse_cond_args(p, c);
	if (rc != RC_OK || !c->args[1]->constant)
		return rc;
	const struct regex *re;
	rc = regex_compile(p->arena, c->args[1]->text, parse_regex_flags(p), &re, p->err);
	if (rc == RC_OK)
		c->data = re;
	return rc;
}

enum rc cond_match(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t subject, pattern;
	const struct regex *re = c->data;
	enum rc rc = eval_expr(ev, c->args[0], &subject, err);
	if (rc == RC_OK && !re) {
		rc = eval_expr(ev, c->args[1], &pattern, err);
		if (rc == RC_OK)
			rc = eval_regex_compile(ev, pattern, &re, err);
	}
	return rc == RC_OK ? eval_regex(ev, re, subject, out, err) : rc;
}

/* ---- lists ---- */

/* The second argument is a list that is not expanded: known now, so it is compiled and indexed now.
 */
enum rc parse_cond_match_list(struct parser *p, struct cond *c)
{
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "missing { after \"%s\"", c->row->name);
	enum rc rc = parse_arg(p, c->row->name, &c->args[0]);
	if (rc != RC_OK)
		return rc;
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "missing 2nd string in {} after \"%s\"", c->row->name);
	bool dollar = p->plain_dollar;
	p->plain_dollar = true;
	rc = parse_arg(p, c->row->name, &c->args[1]);
	p->plain_dollar = dollar;
	if (rc != RC_OK || !parse_at_load(p))
		return rc;
	struct match_list *list;
	rc = match_compile(
	    p->arena, (enum match_kind)c->row->arg, c->args[1]->text, false, p->env, &list, p->err);
	if (rc == RC_OK)
		c->data = list;
	return rc;
}

static enum rc match_subject(
    struct eval *ev, const struct cond *c, slice_t subject, slice_t *data, struct error *err)
{
	/* compiled with the tree, immutable but for a cache with a lock of its own */
	union {
		const void *in;
		struct match_list *out;
	} list = {.in = c->data};
	struct match_host host = {.address = subject.len ? subject : slice_absent(),
	    .name = slice_absent(),
	    .name_is_final = true};
	enum match_kind kind = (enum match_kind)c->row->arg;
	if (!list.out)
		return match_text(ev, kind, c->args[1]->text, subject, data, err);
	switch (kind) {
	case MATCH_DOMAINS:
		return match_domain(ev, list.out, subject, data, err);
	case MATCH_LOCALPARTS:
		return match_local_part(ev, list.out, subject, data, err);
	case MATCH_ADDRESSES:
		return match_address(ev, list.out, subject, data, err);
	case MATCH_HOSTS:
		return match_host(ev, list.out, &host, data, err);
	case MATCH_STRINGS:
	default:
		return match_string(ev, list.out, subject, data, err);
	}
}

enum rc cond_match_list(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t subject, data = slice_absent();
	enum rc rc = eval_expr(ev, c->args[0], &subject, err);
	if (rc != RC_OK)
		return rc;
	if (c->row->arg == MATCH_HOSTS && subject.len && !ip_family(subject))
		return error_set(err, RC_ERROR, "\"%.*s\" is not an IP address", SL_ARG(subject));
	rc = match_subject(ev, c, subject, &data, err);
	ev->held++;
	if (rc == RC_OK)
		ev->value = data;
	if (rc == RC_DEFER || rc == RC_ERROR)
		return error_wrap(
		    err, rc, "unable to complete match against \"%.*s\"", SL_ARG(c->args[1]->text));
	*out = rc == RC_OK;
	return RC_OK;
}

enum rc cond_inlist(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t subject, list, item;
	enum rc rc = cond_two(ev, c, &subject, &list, err);
	if (rc != RC_OK)
		return rc;
	struct list_iter it;
	list_begin(list, &it);
	while (list_next(ev->arena, &it, &item))
		if (c->row->arg ? slice_eqi(item, subject) : slice_eq(item, subject)) {
			ev->value = item;
			ev->held++;
			*out = true;
			return RC_OK;
		}
	return RC_OK;
}

/* ---- crypteq ---- */

/* A digest as base64 or hex, told apart by its length. */
static bool digest_equal(struct eval *ev, enum digest_kind kind, slice_t plain, slice_t stored)
{
	unsigned char sum[DIGEST_MAX];
	size_t n = digest(kind, plain, sum);
	if (stored.len == digest_base64_len(n))
		return digest_same(base64_of(ev->arena, sum, n), stored, false);
	if (stored.len == 2 * n)
		return digest_same(hex_of(ev->arena, sum, n, false), stored, true);
	return false;
}

/* Exim's crypt16 is two crypts: characters 1 to 8, then 9 to 16; without the salt of the second. */
static bool crypt_equal(struct eval *ev, slice_t plain, slice_t stored, bool sixteen)
{
	struct arena_mark mark = arena_mark(ev->arena);
	struct crypt_data *cd = arena_alloc(ev->arena, sizeof *cd);
	const char *salt = arena_cstr(ev->arena, stored);
	const char *hash = crypt_rn(arena_cstr(ev->arena, plain), salt, cd, sizeof *cd);
	bool same = false;
	if (hash && *hash != '*' && !sixteen) {
		same = digest_same(slice_cstr(hash), stored, false);
	} else if (hash && sixteen && stored.len == 24 && strlen(hash) == 13) {
		char both[25];
		memcpy(both, hash, 13);
		slice_t second = slice_sub(plain, 8, 8);
		hash = crypt_rn(arena_cstr(ev->arena, second), salt, cd, sizeof *cd);
		if (hash && strlen(hash) == 13) {
			memcpy(both + 13, hash + 2, 11);
			same = digest_same(slice_of(both, 24, 0), stored, false);
		}
	}
	explicit_bzero(cd, sizeof *cd);
	arena_release(ev->arena, mark);
	return same;
}

enum rc cond_crypteq(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t plain, stored;
	enum rc rc = cond_two(ev, c, &plain, &stored, err);
	if (rc != RC_OK)
		return rc;
	if (stored.len == 0)
		return RC_OK;
	if (slice_startsi(stored, "{md5}")) {
		*out = digest_equal(ev, DIGEST_MD5, plain, slice_sub(stored, 5, stored.len));
	} else if (slice_startsi(stored, "{sha1}")) {
		*out = digest_equal(ev, DIGEST_SHA1, plain, slice_sub(stored, 6, stored.len));
	} else if (slice_startsi(stored, "{crypt}")) {
		*out = crypt_equal(ev, plain, slice_sub(stored, 7, stored.len), false);
	} else if (slice_startsi(stored, "{crypt16}")) {
		*out = crypt_equal(ev, plain, slice_sub(stored, 9, stored.len), true);
	} else if (stored.ptr[0] == '{') {
		return error_set(
		    err, RC_ERROR, "unknown encryption mechanism in \"%.*s\"", SL_ARG(stored));
	} else {
		*out = crypt_equal(ev, plain, stored, false);
	}
	return RC_OK;
}

/* ---- acl ---- */

enum rc parse_cond_acl(struct parser *p, struct cond *c)
{
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "missing { after \"acl\"");
	p->at++;
	parse_space(p);
	if (!parse_is(p, '{'))
		return parse_error(p, "too few arguments or bracketing error for acl");
	struct node *n = ARENA_NEW(p->arena, struct node);
	n->text = SL("acl");
	c->node = n;
	return parse_args(p, n, 1, 10);
}

enum rc cond_acl(struct eval *ev, const struct cond *c, bool *out, struct error *err)
{
	slice_t text = SL("");
	enum rc rc = eval_acl(ev, c->node, out, &text, err);
	if (rc == RC_OK)
		ev->value = text;
	return rc;
}
