/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ACLs that are run by ACLs (acl =) and by expansions (${acl{}{}}, acl{}). */
#include "acl/acl_private.h"

struct saved_args {
	slice_t arg[9];
	uint32_t count;
};

static void swap_args(
    struct eval *ev, const slice_t *args, uint32_t count, struct saved_args *saved)
{
	memcpy(saved->arg, ev->acl_arg, sizeof saved->arg);
	saved->count = ev->acl_narg;
	for (uint32_t i = 0; i < 9; i++)
		ev->acl_arg[i] = i < count ? args[i] : slice_absent();
	ev->acl_narg = count < 9 ? count : 9;
}

static void restore_args(struct eval *ev, const struct saved_args *saved)
{
	memcpy(ev->acl_arg, saved->arg, sizeof saved->arg);
	ev->acl_narg = saved->count;
}

/* One nested ACL, found by the text. */
struct nested {
	const struct acl *acl; /* or NULL: text says which */
	slice_t text;
	const slice_t *args;
	uint32_t count;
};

static enum rc run_nested(
    struct acl_state *inner, const struct nested *n, struct acl_outcome *out, struct error *err)
{
	struct eval *ev = inner->ev;
	struct text_entry *entry = NULL;
	const struct acl *acl = n->acl;
	struct saved_args saved;
	if (!acl) {
		enum rc rc = acl_find(ev, inner->acls, n->text, &acl, &entry, err);
		if (rc != RC_OK)
			return rc;
	}
	swap_args(ev, n->args, n->count, &saved);
	enum rc rc = acl_run_one(inner, acl, out, err);
	restore_args(ev, &saved);
	if (entry && rc == RC_OK) {
		out->user_text = arena_dup(ev->arena, out->user_text);
		out->log_text = arena_dup(ev->arena, out->log_text);
	}
	text_entry_unref(&entry);
	return rc;
}

static enum rc verdict_rc(const struct acl_outcome *o, struct error *err)
{
	switch (o->verdict) {
	case ACL_ACCEPT:
	case ACL_DISCARD:
		return RC_OK;
	case ACL_DEFER:
		return error_set(err, RC_DEFER, "%.*s", SL_ARG(o->log_text));
	case ACL_DENY:
	case ACL_DROP:
		break;
	}
	return error_set(err, RC_FAIL, "%.*s", SL_ARG(o->user_text));
}

/* The text of an argument that was not a known name: "NAME args" may have come out of the
 * expansion. */
static void split_call(const struct acls *acls, slice_t text, struct nested *n, slice_t args[9])
{
	slice_t rest = slice_trim(text);
	uint32_t end = 0;
	while (end < rest.len && !ascii_isspace(rest.ptr[end]))
		end++;
	n->text = rest;
	if (end == rest.len || !map_get(acls->named, slice_sub(rest, 0, end)))
		return;
	n->text = slice_sub(rest, 0, end);
	rest = slice_trim(slice_sub(rest, end, rest.len));
	while (rest.len && n->count < 9) {
		end = 0;
		while (end < rest.len && !ascii_isspace(rest.ptr[end]))
			end++;
		args[n->count++] = slice_sub(rest, 0, end);
		rest = slice_trim(slice_sub(rest, end, rest.len));
	}
	n->args = args;
}

ACL_FN(acl)
{
	slice_t args[9], text;
	struct nested n = {.acl = c->callee, .text = slice_absent()};
	struct acl_outcome out;
	if (c->callee) {
		for (uint32_t i = 0; i < c->arg_count; i++) {
			enum rc rc = expr_eval(st->ev, c->args[i], &args[i], err);
			st->ignored = rc == RC_FAIL;
			if (rc != RC_OK)
				return rc;
		}
		n.args = args;
		n.count = c->arg_count;
	} else {
		enum rc rc = acl_arg(st, c, &text, err);
		if (rc != RC_OK || st->ignored)
			return rc;
		split_call(st->acls, text, &n, args);
	}
	struct acl_state inner = {.ev = st->ev,
	    .run = st->run,
	    .acls = st->acls,
	    .log_main = st->log_main,
	    .log_reject = st->log_reject,
	    .log_panic = st->log_panic};
	enum rc rc = run_nested(&inner, &n, &out, err);
	if (rc != RC_OK)
		return rc;
	st->user_msg = inner.user_msg;
	st->log_msg = inner.log_msg;
	st->nested_drop = out.verdict == ACL_DROP;
	st->nested_discard = out.verdict == ACL_DISCARD;
	st->sender_failed |= inner.sender_failed;
	st->recipient_failed |= inner.recipient_failed;
	if (inner.sender_failed) {
		st->verified_sender = inner.verified_sender;
		st->verify_detail = inner.verify_detail;
		st->no_details = inner.no_details;
	}
	return verdict_rc(&out, err);
}

enum rc acl_eval_hook(struct eval *ev, slice_t name, const slice_t *args, uint32_t count,
    slice_t *out_text, struct error *err)
{
	const struct acls *acls = ev->cfg ? config_acls(ev->cfg) : NULL;
	struct acl_effects none = {.arena = ev->arena};
	struct acl_run alone = {
	    .where = ACL_UNKNOWN, .recipient = slice_absent(), .effects = &none};
	struct acl_outcome out;
	if (!acls)
		return error_set(err, RC_ERROR, "no ACLs are configured");
	struct acl_state st = {.ev = ev, .run = ev->acl_run ? ev->acl_run : &alone, .acls = acls};
	struct nested n = {.text = name, .args = args, .count = count};
	enum rc rc = run_nested(&st, &n, &out, err);
	if (rc != RC_OK)
		return rc;
	*out_text = slice_is_absent(st.user_msg) ? SL("") : st.user_msg;
	return verdict_rc(&out, err);
}
