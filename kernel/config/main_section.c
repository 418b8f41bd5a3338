/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The section before the first "begin": options of the main table, and named lists. */
#include "config/config_private.h"

static const char *const list_words[NAMED_LIST_KINDS] = {
    "domainlist", "hostlist", "addresslist", "localpartlist"};

/* domainlist, domainlist_cache ... */
static bool list_kind_of(slice_t word, enum match_kind *out_kind, bool *out_cache)
{
	for (uint32_t k = 0; k < NAMED_LIST_KINDS; k++) {
		if (!slice_starts(word, list_words[k]))
			continue;
		slice_t tail = slice_sub(word, strlen(list_words[k]), word.len);
		if (tail.len && !slice_eqs(tail, "_cache"))
			continue;
		*out_kind = (enum match_kind)k;
		*out_cache = tail.len != 0;
		return true;
	}
	return false;
}

static void named_list(
    struct loader *l, const struct raw_option *raw, enum match_kind kind, bool cache)
{
	const struct source_line *at = &raw->at;
	slice_t rest = raw->rest, name = lex_name(&rest), text;
	struct error e = {0};
	if (!raw->has_equals)
		lex_space(&rest);
	if (raw->has_equals || !name.len || !rest.len || rest.ptr[0] != '=') {
		loader_problem(l, at->file, at->line,
		    "%.*s: a name, \"=\" and a list were expected, found %s", SL_ARG(raw->name),
		    loader_brief(l, raw->rest));
		return;
	}
	rest = slice_sub(rest, 1, rest.len);
	lex_space(&rest);
	if (lex_string(l->a, rest, &text, &e) != RC_OK) {
		loader_problem(l, at->file, at->line, "%.*s %.*s: %s", SL_ARG(raw->name),
		    SL_ARG(name), e.text);
		return;
	}
	struct named_list *was = map_get(l->cfg->named_maps[kind], name);
	if (was) {
		loader_problem(l, at->file, at->line,
		    "%s \"%.*s\" is defined for the second time; the first is in line %u of %s",
		    list_words[kind], SL_ARG(name), was->line, was->file);
		return;
	}
	struct named_list *n = ARENA_NEW(l->a, struct named_list);
	*n = (struct named_list){.kind = kind,
	    .name = name,
	    .text = text,
	    .file = at->file,
	    .line = at->line,
	    .hide = raw->hide,
	    .cache = cache};
	*VEC_PUSH(l->a, &l->cfg->named, struct named_list *) = n;
	(void)map_put(l->cfg->named_maps[kind], name, n);
}

static void unknown_option(struct loader *l, const struct raw_option *raw)
{
	const char *near = options_near(&l->cfg->main, raw->name);
	bool upper = raw->name.ptr[0] >= 'A' && raw->name.ptr[0] <= 'Z';
	if (upper)
		loader_problem(l, raw->at.file, raw->at.line,
		    "malformed macro definition: \"%.*s\" must be followed by = or ==",
		    SL_ARG(raw->name));
	else
		loader_problem(l, raw->at.file, raw->at.line, "main option \"%.*s\" unknown%s",
		    SL_ARG(raw->name), loader_suggestion(l, near));
}

static bool is_built(const struct option_table *t, uint32_t i)
{
	return t->support[i] == OPT_FULL || t->support[i] == OPT_IGNORED;
}

void main_line(struct loader *l, const struct source_line *line)
{
	struct raw_option raw;
	struct error e = {0};
	enum match_kind kind;
	bool cache;
	if (lex_option(line, &raw, &e) != RC_OK) {
		loader_problem(l, line->file, line->line, "%s", e.text);
		return;
	}
	if (list_kind_of(raw.name, &kind, &cache)) {
		named_list(l, &raw, kind, cache);
		return;
	}
	struct raw_option as_driver = raw;
	uint32_t i = options_match(&l->cfg->main, &raw);
	/* what only Exim's drivers have had is a driver's own as soon as there is one */
	if (i == UINT32_MAX || !is_built(&l->cfg->main, i))
		if (driver_option_assign(l, &as_driver, i != UINT32_MAX))
			return;
	if (i == UINT32_MAX)
		unknown_option(l, &raw);
	else
		options_assign(l, &l->cfg->main, i, &raw, "");
}

static void compile_list(struct loader *l, struct named_list *n, unsigned depth);

/* Lists may refer to lists that stand further down: those first. */
static void compile_referred(struct loader *l, const struct named_list *n, unsigned depth)
{
	uint64_t pos = 0;
	slice_t item;
	while (expand_list_next(l->a, n->text, &pos, &item)) {
		item = slice_trim(item);
		if (item.len && item.ptr[0] == '!') {
			item = slice_sub(item, 1, item.len);
			lex_space(&item);
		}
		if (!item.len || item.ptr[0] != '+')
			continue;
		struct named_list *other =
		    map_get(l->cfg->named_maps[n->kind], slice_sub(item, 1, item.len));
		if (!other &&
		    n->kind ==
		        MATCH_ADDRESSES) /* a domain list may stand for its domains' addresses */
			other = map_get(
			    l->cfg->named_maps[MATCH_DOMAINS], slice_sub(item, 1, item.len));
		if (other && other->busy)
			loader_problem(l, n->file, n->line,
			    "%s \"%.*s\" refers to itself by way of \"+%.*s\"", list_words[n->kind],
			    SL_ARG(n->name), SL_ARG(other->name));
		else if (other && !other->list)
			compile_list(l, other, depth + 1);
	}
}

static void compile_list(struct loader *l, struct named_list *n, unsigned depth)
{
	struct error e = {0};
	struct expr_env env = {.cfg = l->cfg,
	    .file = n->file,
	    .line = n->line,
	    .warnings = &l->compile_warnings,
	    .option = arena_cstr(
	        l->a, arena_printf(l->a, "%s %.*s", list_words[n->kind], SL_ARG(n->name)))};
	uint32_t before = (uint32_t)l->problems->count;
	if (n->list)
		return;
	if (depth > 100) {
		loader_problem(l, n->file, n->line,
		    "%s \"%.*s\": more than 100 lists refer to each other", list_words[n->kind],
		    SL_ARG(n->name));
		return;
	}
	n->busy = true;
	compile_referred(l, n, depth);
	n->busy = false;
	if (match_compile(l->a, n->kind, n->text, true, &env, &n->list, &e) == RC_OK)
		return;
	n->list = NULL;
	if (l->problems->count == before) /* not a consequence of what was said already */
		loader_problem(l, n->file, n->line, "%s \"%.*s\": %s", list_words[n->kind],
		    SL_ARG(n->name), e.text);
	/* an empty one in its place, so that not everything that refers to it is reported too */
	if (match_compile(l->a, n->kind, SL(""), false, &env, &n->list, &e) != RC_OK)
		n->list = NULL;
}

void named_lists_compile(struct loader *l)
{
	VEC_FOREACH(&l->cfg->named, struct named_list *, n)
	compile_list(l, *n, 0);
}

/* What is unset takes the value of another: the host's name, qualify_domain, qualify_recipient. */
static void derive_names(struct loader *l)
{
	struct config *cfg = l->cfg;
	static const enum main_option chain[] = {
	    MO_primary_hostname, MO_qualify_domain, MO_qualify_recipient};
	slice_t text = cfg->facts.primary_hostname;
	bool hide = false;
	for (size_t i = 0; i < sizeof chain / sizeof chain[0]; i++) {
		struct option_value *v = &cfg->main.values[chain[i]];
		if (!v->is_set && text.len)
			v->text = text;
		if (!v->is_set)
			v->hide |= hide;
		text = v->text;
		hide = v->hide;
	}
	/* the facts that everything reads are those of the configuration */
	slice_t name = cfg->main.values[MO_primary_hostname].text;
	if (cfg->main.values[MO_primary_hostname].is_set && name.len)
		cfg->facts.primary_hostname = name;
	struct option_value *spool = &cfg->main.values[MO_spool_directory];
	if (!spool->is_set && cfg->facts.spool_directory.len)
		spool->text = cfg->facts.spool_directory;
	else if (slice_find(spool->text, '$') == SIZE_MAX)
		cfg->facts.spool_directory = spool->text;
}

/* An unknown name is an error here, and not only where the log is opened. */
static void check_log_selector(struct loader *l)
{
	const struct option_value *v = &l->cfg->main.values[MO_log_selector];
	struct log_selector bits = log_selector_default();
	struct error e = {0};
	unsigned at = 0;
	const char *name;

	if (!v->is_set || slice_is_absent(v->text))
		return;
	if (log_selector_parse(v->text, &bits, &e) != RC_OK)
		loader_problem(l, v->file, v->line, "%s", e.text);
	while ((name = log_selector_later(v->text, &at)) != NULL)
		loader_warning(l, v->file, v->line,
		    "not supported yet: log_selector: +%s: it says nothing", name);
}

void main_compile(struct loader *l)
{
	derive_names(l);
	check_log_selector(l);
	options_compile(l, &l->cfg->main, "");
	driver_options_compile(l);
}
