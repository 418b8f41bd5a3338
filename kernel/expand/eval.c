/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Evaluating a tree.  A value is borrowed where it can be (a constant, a fact, part of another
 * value) and made in ev->arena where it must; several parts are joined in one allocation of the
 * exact size.
 */
#include "base/clock.h"
#include "expand/tree.h"
#include "thread/cancel.h"

void eval_init(struct eval *ev, struct arena *a, const struct config *cfg)
{
	*ev = (struct eval){.arena = a, .cfg = cfg, .deadline_us = DEADLINE_NEVER, .runrc = -1};
}

/* ---- joining ---- */

static enum rc join(
    struct eval *ev, const slice_t *parts, uint32_t count, slice_t *out, struct error *err)
{
	uint64_t len = 0;
	uint16_t clean = HEDDLE_CLEAN, secret = 0, quoter = 0;
	bool tainted = false;
	for (uint32_t i = 0; i < count; i++) {
		len += parts[i].len;
		if (parts[i].len == 0)
			continue;
		secret |= parts[i].flags & HEDDLE_SECRET;
		if (slice_is_clean(parts[i]))
			continue;
		clean = 0;
		quoter = !tainted || quoter == parts[i].quoter ? parts[i].quoter : 0;
		tainted = true;
	}
	if (len > EVAL_TEXT_MAX)
		return error_set(err, RC_ERROR, "expansion result is too long (more than %d MiB)",
		    EVAL_TEXT_MAX >> 20);
	if (secret)
		arena_wipes(ev->arena);
	char *p = arena_bytes(ev->arena, (size_t)len);
	slice_t text = slice_of(p, (size_t)len, clean | secret);
	text.quoter = quoter;
	for (uint32_t i = 0; i < count; i++) {
		if (parts[i].len)
			memcpy(p, parts[i].ptr, parts[i].len);
		p += parts[i].len;
	}
	*out = text;
	return RC_OK;
}

static enum rc eval_parts(struct eval *ev, const struct expr *e, slice_t *out, struct error *err)
{
	slice_t few[6];
	slice_t *parts = e->count <= 6 ? few : ARENA_ARRAY(ev->arena, slice_t, e->count);
	for (uint32_t i = 0; i < e->count; i++) {
		const struct node *n = &e->nodes[i];
		if (!n->eval) {
			parts[i] = n->text;
			continue;
		}
		enum rc rc = n->eval(ev, n, &parts[i], err);
		if (rc != RC_OK)
			return rc;
	}
	return join(ev, parts, e->count, out, err);
}

enum rc eval_dynamic(struct eval *ev, const struct expr *e, slice_t *out, struct error *err)
{
	if (ev->depth == 0)
		ev->steps = 0;
	if (ev->depth >= EVAL_DEPTH_MAX)
		return error_set(err, RC_ERROR,
		    "expansion is nested too deeply (more than %d levels)", EVAL_DEPTH_MAX);
	ev->depth++;
	slice_t text;
	enum rc rc = e->count == 1 ? e->nodes[0].eval(ev, &e->nodes[0], &text, err)
	                           : eval_parts(ev, e, &text, err);
	ev->depth--;
	if (rc != RC_OK)
		return rc;
	if (text.len > EVAL_TEXT_MAX)
		return error_set(err, RC_ERROR, "expansion result is too long (more than %d MiB)",
		    EVAL_TEXT_MAX >> 20);
	*out = text;
	return RC_OK;
}

enum rc eval_arg(struct eval *ev, const struct node *n, unsigned i, slice_t *out, struct error *err)
{
	return eval_expr(ev, n->args[i], out, err);
}

enum rc eval_args(
    struct eval *ev, const struct node *n, slice_t *out, unsigned count, struct error *err)
{
	for (unsigned i = 0; i < count; i++) {
		out[i] = SL("");
		enum rc rc = eval_expr(ev, n->args[i], &out[i], err);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc text_done(const struct strbuf *sb, slice_t *out, struct error *err)
{
	if (strbuf_is_overfull(sb))
		return error_set(
		    err, RC_ERROR, "expansion result is too long (more than %zu bytes)", sb->max);
	*out = strbuf_slice(sb);
	return RC_OK;
}

enum rc eval_branch(
    struct eval *ev, const struct node *n, bool yes, slice_t found, slice_t *out, struct error *err)
{
	if (yes && !n->has_yes) {
		*out = found;
		return RC_OK;
	}
	if (yes) {
		slice_t before = ev->value;
		ev->value = found;
		enum rc rc = eval_expr(ev, n->yes, out, err);
		ev->value = before;
		return rc;
	}
	if (n->no)
		return eval_expr(ev, n->no, out, err);
	if (n->fail)
		return error_set(
		    err, RC_FAIL, "\"%.*s\" failed and \"fail\" requested", SL_ARG(n->text));
	*out = SL("");
	return RC_OK;
}

/* ---- registers ---- */

void captures_save(const struct eval *ev, struct captures *c)
{
	c->count = ev->capture_count;
	c->held = ev->held;
	for (uint32_t i = 0; i < c->count; i++)
		c->text[i] = ev->captures[i];
}

void captures_restore(struct eval *ev, const struct captures *c)
{
	ev->capture_count = c->count;
	ev->held = c->held;
	for (uint32_t i = 0; i < c->count; i++)
		ev->captures[i] = c->text[i];
}

enum rc eval_regex(
    struct eval *ev, const struct regex *re, slice_t subject, bool *out, struct error *err)
{
	/* written only when it matches: those of an earlier match stay */
	enum rc rc = regex_match(
	    ev->arena, re, subject, ev->captures, EVAL_CAPTURES, &ev->capture_count, err);
	if (rc == RC_OK)
		ev->held++;
	*out = rc == RC_OK;
	return rc == RC_FAIL ? RC_OK : rc;
}

enum rc eval_regex_compile(
    struct eval *ev, slice_t pattern, const struct regex **out, struct error *err)
{
	return regex_compile(ev->arena, pattern, 0, out, err);
}

enum rc eval_step(struct eval *ev, struct error *err)
{
	if (++ev->steps % 256 != 0)
		return RC_OK;
	if (ev->steps > EVAL_STEPS_MAX)
		return error_set(err, RC_ERROR, "expansion loops too often (more than %d times)",
		    EVAL_STEPS_MAX);
	if (cancel_is_set(ev->cancel))
		return error_set(err, RC_DEFER, "expansion was cancelled");
	if (ev->deadline_us != DEADLINE_NEVER && clock_mono_us() > ev->deadline_us)
		return error_set(err, RC_DEFER, "expansion took too long");
	return RC_OK;
}

void frame_begin(struct eval *ev, struct frame *f)
{
	f->mark = arena_mark(ev->arena);
	f->pinned = ev->pinned;
	f->held = ev->held;
}

void frame_begin_at(struct eval *ev, struct frame *f)
{
	f->mark = arena_mark(ev->arena);
	f->pinned = ev->pinned;
	f->held = ev->held;
}

enum rc frame_next(struct eval *ev, struct frame *f, struct error *err)
{
	if (f->pinned == ev->pinned && f->held == ev->held) {
		arena_release(ev->arena, f->mark);
	} else {
		frame_begin_at(ev, f);
		if (arena_used(ev->arena) > EVAL_ARENA_MAX)
			return error_set(err, RC_ERROR,
			    "expansion uses too much memory (more than %d MiB)",
			    EVAL_ARENA_MAX >> 20);
	}
	return eval_step(ev, err);
}

/* ---- the public side ---- */

enum rc expr_eval(struct eval *ev, const struct expr *e, slice_t *out_text, struct error *err)
{
	return eval_expr(ev, e, out_text, err);
}

enum rc expr_eval_bool(struct eval *ev, const struct expr *e, bool *out, struct error *err)
{
	slice_t text;
	enum rc rc = eval_expr(ev, e, &text, err);
	if (rc != RC_OK)
		return rc;
	text = slice_trim(text);
	int64_t v;
	if (text.len == 0 || slice_eqis(text, "no") || slice_eqis(text, "false")) {
		*out = false;
	} else if (slice_eqis(text, "yes") || slice_eqis(text, "true")) {
		*out = true;
	} else if (slice_to_i64(text, 10, false, &v)) {
		*out = v != 0;
	} else {
		return error_set(err, RC_ERROR,
		    "\"%.*s\" is not a valid value for a boolean (yes, no, true, false or a "
		    "number)",
		    SL_ARG(text));
	}
	return RC_OK;
}

enum rc expr_eval_int(struct eval *ev, const struct expr *e, int64_t *out, struct error *err)
{
	slice_t text;
	enum rc rc = eval_expr(ev, e, &text, err);
	if (rc != RC_OK)
		return rc;
	return eval_integer(text, out, err);
}

enum rc expand_text(struct eval *ev, slice_t text, slice_t *out_text, struct error *err)
{
	if (!slice_is_clean(text) && text.len)
		return error_set(
		    err, RC_ERROR, "attempt to expand tainted string '%.*s'", SL_ARG(text));
	const struct expr_env env = {.cfg = ev->cfg, .forbid = ev->forbid};
	const struct expr *e;
	enum rc rc = eval_step(ev, err);
	if (rc == RC_OK)
		rc = expr_compile(ev->arena, text, &env, &e, err);
	return rc == RC_OK ? eval_expr(ev, e, out_text, err) : rc;
}

bool expand_is_true_lax(slice_t text)
{
	text = slice_trim(text);
	return text.len && !slice_eqs(text, "0") && !slice_eqis(text, "no") &&
	       !slice_eqis(text, "false");
}
