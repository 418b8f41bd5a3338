/* SPDX-License-Identifier: GPL-3.0-or-later */
/* -bP in Exim's form (spec 5.2). */
#include "base/clock.h"
#include "config/config_private.h"

/* Control characters as escapes, as the expansion language writes them. */
static void add_text(struct strbuf *out, slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		switch (c) {
		case '\n':
			strbuf_text(out, "\\n");
			break;
		case '\r':
			strbuf_text(out, "\\r");
			break;
		case '\t':
			strbuf_text(out, "\\t");
			break;
		default:
			if (c < ' ' || c == 127)
				strbuf_printf(out, "\\%03o", (unsigned)c);
			else
				strbuf_char(out, (char)c);
		}
	}
}

static void add_number(struct strbuf *out, int64_t n)
{
	if (n && n % ((int64_t)1 << 30) == 0)
		strbuf_printf(out, "%lldG", (long long)(n >> 30));
	else if (n && n % (1 << 20) == 0)
		strbuf_printf(out, "%lldM", (long long)(n >> 20));
	else if (n && n % 1024 == 0)
		strbuf_printf(out, "%lldK", (long long)(n >> 10));
	else
		strbuf_printf(out, "%lld", (long long)n);
}

/* An expandable number is shown as it was written. */
static bool is_written_form(const struct option_value *v)
{
	return v->expr || slice_is_absent(v->text);
}

static void add_value(struct strbuf *out, const struct option_value *v)
{
	if (is_written_form(v)) {
		slice_t s = v->text;
		if (strcmp(v->row->name, "set") == 0 && slice_starts(s, "<; "))
			s = slice_sub(s, 3, s.len); /* the usual separator of this option */
		add_text(out, s);
		return;
	}
	switch (v->row->type) {
	case HEDDLE_T_INT:
		strbuf_printf(out, "%lld", (long long)v->number);
		break;
	case HEDDLE_T_SIZE:
		add_number(out, v->number);
		break;
	case HEDDLE_T_OCTAL:
		strbuf_printf(out, "%#03llo", (unsigned long long)v->number);
		break;
	case HEDDLE_T_TIME:
		if (v->number % 1000)
			add_text(out, v->text);
		else
			strbuf_add(out, clock_interval(out->arena, v->number / 1000));
		break;
	default:
		if (strcmp(v->row->name, "set") == 0 && slice_starts(v->text, "<; "))
			add_text(out, slice_sub(v->text, 3, v->text.len));
		else
			add_text(out, v->text);
	}
}

static void print_value(const struct option_value *v, bool admin, struct strbuf *out)
{
	slice_t text = v->text;
	bool hidden = v->hide && !admin;
	if (v->row->type == HEDDLE_T_BOOL && !hidden &&
	    (!v->expr || expr_constant(v->expr, &text))) {
		strbuf_printf(out, "%s%s\n", v->number ? "" : "no_", v->row->name);
		return;
	}
	strbuf_printf(out, "%s = ", v->row->name);
	if (hidden)
		strbuf_text(out, "<value not displayable>");
	else
		add_value(out, v);
	strbuf_char(out, '\n');
}

/* verify and fail_verify stand for others, which are shown; a group has no value. */
static bool is_shown(const struct heddle_option *row)
{
	return row->type != HEDDLE_T_GROUP && strcmp(row->name, "verify") != 0 &&
	       strcmp(row->name, "fail_verify") != 0;
}

static void print_table(const struct option_value *values, bool admin, struct strbuf *out)
{
	for (; values && values->row; values++)
		if (is_shown(values->row))
			print_value(values, admin, out);
}

/* A driver's table has its own order; it is shown by name. */
static void print_own(const struct heddle_instance *inst, bool admin, struct strbuf *out)
{
	const struct option_value *last = NULL, *next;
	for (;; last = next) {
		next = NULL;
		for (const struct option_value *v = inst->own; v && v->row; v++)
			if ((!last || strcmp(v->row->name, last->row->name) > 0) &&
			    (!next || strcmp(v->row->name, next->row->name) < 0))
				next = v;
		if (!next)
			return;
		if (is_shown(next->row))
			print_value(next, admin, out);
	}
}

static void print_instance(const struct heddle_instance *inst, bool admin, struct strbuf *out)
{
	print_table(inst->generic, admin, out);
	print_own(inst, admin, out);
}

/* "routers" or "router_list" */
static void print_section(
    const struct config *cfg, uint32_t which, bool full, bool admin, struct strbuf *out)
{
	const struct instances *s = &cfg->sections[which];
	for (uint32_t i = 0; i < s->count; i++) {
		if (!full) {
			strbuf_printf(out, "%.*s\n", SL_ARG(s->items[i].name));
			continue;
		}
		strbuf_printf(
		    out, "\n%.*s %s:\n", SL_ARG(s->items[i].name), section_class_names[which]);
		print_instance(&s->items[i], admin, out);
	}
}

/* "routers", "router_list", "router NAME" and so on; RC_DEFER: none of these forms. */
static enum rc print_sections(
    const struct config *cfg, slice_t what, bool admin, struct strbuf *out, struct error *err)
{
	for (uint32_t which = 0; which < SECTION_CLASSES; which++) {
		const char *word = section_class_names[which];
		slice_t tail = slice_sub(what, strlen(word), what.len);
		if (!slice_starts(what, word))
			continue;
		if (slice_eqs(tail, "s") || slice_eqs(tail, "_list")) {
			print_section(cfg, which, slice_eqs(tail, "s"), admin, out);
			return RC_OK;
		}
		if (!tail.len || !ascii_isspace(tail.ptr[0]))
			continue;
		tail = slice_trim(tail);
		const struct heddle_instance *inst = map_get(cfg->sections[which].by_name, tail);
		if (!inst)
			return error_set(err, RC_FAIL, "%s %.*s not found", word, SL_ARG(tail));
		print_instance(inst, admin, out);
		return RC_OK;
	}
	return RC_DEFER;
}

static enum rc print_named_list(
    const struct config *cfg, slice_t name, bool admin, struct strbuf *out, struct error *err)
{
	static const char *const words[NAMED_LIST_KINDS] = {
	    "domainlist", "hostlist", "addresslist", "localpartlist"};
	bool found = false;
	VEC_FOREACH(&cfg->named, struct named_list *, it)
	{
		const struct named_list *n = *it;
		if (!slice_eq(n->name, name))
			continue;
		found = true;
		strbuf_printf(out, "%s %.*s = ", words[n->kind], SL_ARG(n->name));
		if (n->hide && !admin)
			strbuf_text(out, "<value not displayable>");
		else
			add_text(out, n->text);
		strbuf_char(out, '\n');
	}
	if (!found)
		return error_set(err, RC_FAIL,
		    "no address, domain, host, or local part list called \"%.*s\" exists",
		    SL_ARG(name));
	return RC_OK;
}

/* "macros", "macro_list", "macro NAME" */
static enum rc print_macros(
    const struct config *cfg, slice_t what, bool admin, struct strbuf *out, struct error *err)
{
	bool all = slice_eqs(what, "macros"), list = slice_eqs(what, "macro_list"), found = false;
	slice_t name = slice_starts(what, "macro ") ? slice_trim(slice_sub(what, 6, what.len))
	                                            : slice_absent();
	struct vec builtins = {0};
	if (!admin)
		return error_set(err, RC_FAIL, "macros are shown to administrators only");
	builtin_list(cfg->drivers, out->arena, &builtins);
	VEC_FOREACH(&builtins, slice_t, b)
	{
		if (!all && !list && !slice_eq(*b, name))
			continue;
		found = true;
		strbuf_printf(out, "%.*s%s\n", SL_ARG(*b), list ? "" : "=y");
	}
	VEC_FOREACH(&cfg->macros, struct macro, m)
	{
		if (!all && !list && !slice_eq(m->name, name))
			continue;
		found = true;
		strbuf_add(out, m->name);
		if (!list) {
			strbuf_char(out, '=');
			add_text(out, m->value);
		}
		strbuf_char(out, '\n');
	}
	return found || all || list ? RC_OK
	                            : error_set(err, RC_FAIL, "macro %.*s not found", SL_ARG(name));
}

static enum rc print_lines(
    const struct config *cfg, bool admin, struct strbuf *out, struct error *err)
{
	if (!admin)
		return error_set(err, RC_FAIL, "the configuration is shown to administrators only");
	VEC_FOREACH(&cfg->lines, struct source_line, line)
	{
		strbuf_add(out, line->text);
		strbuf_char(out, '\n');
	}
	return RC_OK;
}

enum rc config_print(
    const struct config *cfg, slice_t what, bool admin, struct strbuf *out, struct error *err)
{
	what = slice_trim(what);
	if (!what.len || slice_eqs(what, "all")) {
		print_table(cfg->main.values, admin, out);
		for (const struct option_value *v = NULL; (v = driver_option_next(cfg, v));)
			print_value(v, admin, out);
		return RC_OK;
	}
	if (slice_eqs(what, "config"))
		return print_lines(cfg, admin, out, err);
	if (slice_eqs(what, "config_file") || slice_eqs(what, "configure_file")) {
		strbuf_printf(out, "%s\n", cfg->path ? cfg->path : "");
		return RC_OK;
	}
	if (what.ptr[0] == '+')
		return print_named_list(cfg, slice_sub(what, 1, what.len), admin, out, err);
	if (slice_eqs(what, "macros") || slice_eqs(what, "macro_list") ||
	    slice_starts(what, "macro "))
		return print_macros(cfg, what, admin, out, err);
	enum rc rc = print_sections(cfg, what, admin, out, err);
	if (rc != RC_DEFER)
		return rc;
	uint32_t i = options_find(&cfg->main, what);
	const struct option_value *own = driver_option_find(cfg, what);
	if (own) {
		print_value(own, admin, out);
		return RC_OK;
	}
	if (i == UINT32_MAX)
		return error_set(err, RC_FAIL, "%.*s is not a known option", SL_ARG(what));
	print_value(&cfg->main.values[i], admin, out);
	return RC_OK;
}
