/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/config_private.h"
#include "expand/phases.h"

#define MAIN_OPTION(name, type, initial, type_arg, flags, support, doc) \
	{#name, initial, type_arg, doc, type, flags, 1, 0, 0},
#define SECTION_OPTION MAIN_OPTION
static const struct heddle_option main_rows[] = {
#include "config/main_options.def"
};
static const struct heddle_option router_rows[] = {
#include "config/router_options.def"
};
static const struct heddle_option transport_rows[] = {
#include "config/transport_options.def"
};
static const struct heddle_option auth_rows[] = {
#include "config/auth_options.def"
};
#undef MAIN_OPTION
#define MAIN_OPTION(name, type, initial, type_arg, flags, support, doc) support,
static const uint8_t main_support[] = {
#include "config/main_options.def"
};
static const uint8_t router_support[] = {
#include "config/router_options.def"
};
static const uint8_t transport_support[] = {
#include "config/transport_options.def"
};
static const uint8_t auth_support[] = {
#include "config/auth_options.def"
};
#undef MAIN_OPTION
#undef SECTION_OPTION

const struct option_table options_main = {main_rows, main_support, MO_COUNT, NULL, 0};
const struct option_table options_router = {router_rows, router_support, RO_COUNT, NULL, 0};
const struct option_table options_transport = {
    transport_rows, transport_support, TO_COUNT, NULL, 0};
const struct option_table options_auth = {auth_rows, auth_support, AO_COUNT, NULL, 0};

/* Options that stand for two, and old names. */
static const struct {
	const char *name, *first, *second;
} aliases[] = {
    {"verify", "verify_recipient", "verify_sender"},
    {"fail_verify", "fail_verify_recipient", "fail_verify_sender"},
    {"return_size_limit", "bounce_return_size_limit", NULL},
};

/* Options that may be set several times, and how the settings are joined. */
enum joining { JOIN_NOT, JOIN_LINES, JOIN_LIST, JOIN_SET, JOIN_CONDITION };
static const struct {
	const char *name;
	enum joining how;
} joined[] = {
    {"condition", JOIN_CONDITION},
    {"headers_add", JOIN_LINES},
    {"headers_remove", JOIN_LIST},
    {"set", JOIN_SET},
};

uint32_t options_find(const struct option_table *t, slice_t name)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (slice_eqs(name, t->rows[i].name) && t->rows[i].type != HEDDLE_T_GROUP)
			return i;
	return UINT32_MAX;
}

uint32_t options_match(const struct option_table *t, struct raw_option *raw)
{
	static const char *const prefixes[] = {"no_", "not_"};
	uint32_t i = options_find(t, raw->name);
	bool negated = false;
	for (size_t p = 0; i == UINT32_MAX && p < 2; p++) {
		if (!slice_starts(raw->name, prefixes[p]))
			continue;
		i = options_find(t, slice_sub(raw->name, strlen(prefixes[p]), raw->name.len));
		if (i != UINT32_MAX && t->rows[i].type != HEDDLE_T_BOOL)
			i = UINT32_MAX;
		negated = i != UINT32_MAX;
	}
	raw->negated = negated;
	return i;
}

const char *options_near(const struct option_table *t, slice_t name)
{
	unsigned best = name.len < 5 ? 2 : 3; /* one less is near enough */
	const char *near = NULL;
	for (uint32_t i = 0; i < t->count; i++) {
		unsigned d = lex_distance(name, slice_cstr(t->rows[i].name), best);
		if (d < best && t->rows[i].type != HEDDLE_T_GROUP) {
			best = d;
			near = t->rows[i].name;
		}
	}
	return near;
}

void options_begin(struct loader *l, struct option_table *t)
{
	t->values = ARENA_ARRAY(l->a, struct option_value, t->count + 1);
	for (uint32_t i = 0; i < t->count; i++) {
		struct option_value *v = &t->values[i];
		v->row = &t->rows[i];
		v->text = slice_cstr(t->rows[i].initial);
		v->number = v->row->type == HEDDLE_T_UID || v->row->type == HEDDLE_T_GID ? -1 : 0;
	}
}

static enum joining joining_of(const struct option_table *t, uint32_t i)
{
	if (t->support)
		for (size_t k = 0; k < sizeof joined / sizeof joined[0]; k++)
			if (strcmp(joined[k].name, t->rows[i].name) == 0)
				return joined[k].how;
	return JOIN_NOT;
}

/* A further setting of an option that may be set several times. */
static slice_t join(struct loader *l, enum joining how, slice_t was, slice_t text)
{
	switch (how) {
	case JOIN_SET:
		return arena_printf(l->a, "%.*s;%.*s", SL_ARG(was), SL_ARG(text));
	case JOIN_LINES:
		return arena_printf(l->a, "%.*s\n%.*s", SL_ARG(was), SL_ARG(text));
	case JOIN_LIST:
		return arena_printf(l->a, "%.*s:%.*s", SL_ARG(was), SL_ARG(text));
	case JOIN_CONDITION: /* all must be true, with the rules of this option */
		return arena_printf(
		    l->a, "${if and{{bool_lax{%.*s}}{bool_lax{%.*s}}}}", SL_ARG(was), SL_ARG(text));
	case JOIN_NOT:
	default:
		return text;
	}
}

/* The first one: the usual separator of `set` is not the usual one of lists. */
static slice_t join_first(struct loader *l, enum joining how, slice_t text)
{
	if (how != JOIN_SET || slice_starts(text, "<"))
		return text;
	return arena_printf(l->a, "<; %.*s", SL_ARG(text));
}

/* A boolean without a value: "queue_only", "no_queue_only". */
static bool bare_boolean(
    struct loader *l, const struct raw_option *raw, const char *scope, slice_t *out)
{
	if (raw->rest.len || raw->has_equals) {
		loader_problem(l, raw->at.file, raw->at.line,
		    "%soption \"%.*s\": extra characters follow the boolean option: %s", scope,
		    SL_ARG(raw->name), loader_brief(l, raw->rest));
		return false;
	}
	*out = raw->negated ? SL("false") : SL("true");
	return true;
}

/* The text of a setting; false: a problem was noted. */
static bool value_text(struct loader *l, const struct heddle_option *row,
    const struct raw_option *raw, const char *scope, slice_t *out)
{
	struct error e = {0};
	bool boolean = row->type == HEDDLE_T_BOOL;
	if (boolean && (!raw->has_equals || raw->negated))
		return bare_boolean(l, raw, scope, out);
	if (!raw->has_equals) {
		loader_problem(l, raw->at.file, raw->at.line,
		    "%soption \"%.*s\": \"=\" and a value were expected, found %s", scope,
		    SL_ARG(raw->name),
		    raw->rest.len ? loader_brief(l, raw->rest) : "the end of the line");
		return false;
	}
	if (lex_string(l->a, raw->rest, out, &e) != RC_OK) {
		loader_problem(l, raw->at.file, raw->at.line, "%soption \"%.*s\": %s", scope,
		    SL_ARG(raw->name), e.text);
		return false;
	}
	if (boolean && !out->len)
		*out = SL("true"); /* "queue_only =" switches on in Exim too */
	return true;
}

static void assign_to(struct loader *l, struct option_table *t, uint32_t i,
    const struct raw_option *raw, const char *scope)
{
	struct option_value *v = &t->values[i];
	enum joining how = joining_of(t, i);
	slice_t text;
	if (v->is_set && how == JOIN_NOT) {
		loader_problem(l, raw->at.file, raw->at.line,
		    "%soption \"%s\" is set for the second time; the first setting is in line %u "
		    "of %s",
		    scope, v->row->name, v->line, v->file);
		return;
	}
	if (!value_text(l, v->row, raw, scope, &text))
		return;
	v->text = v->is_set ? join(l, how, v->text, text) : join_first(l, how, text);
	v->is_set = true;
	v->hide |= raw->hide || (v->row->flags & HEDDLE_O_SECRET) != 0;
	v->file = raw->at.file;
	v->line = raw->at.line;
}

/* What an alias stands for: the later of the two settings counts. */
static void assign_aliased(struct loader *l, struct option_table *t, const char *name,
    const struct raw_option *raw, const char *scope)
{
	uint32_t i = name ? options_find(t, slice_cstr(name)) : UINT32_MAX;
	if (i == UINT32_MAX)
		return;
	t->values[i].is_set = false;
	assign_to(l, t, i, raw, scope);
}

void options_assign(struct loader *l, struct option_table *t, uint32_t index,
    const struct raw_option *raw, const char *scope)
{
	size_t before = l->problems->count;
	assign_to(l, t, index, raw, scope);
	for (size_t k = 0; t->support && k < sizeof aliases / sizeof aliases[0]; k++) {
		if (strcmp(t->rows[index].name, aliases[k].name) != 0 ||
		    l->problems->count != before)
			continue;
		assign_aliased(l, t, aliases[k].first, raw, scope);
		assign_aliased(l, t, aliases[k].second, raw, scope);
	}
}

/* ---- conversion ---- */
static const char *const bool_words[] = {"false", "true", "no", "yes"};

static bool to_enum(slice_t text, const char *choices, int64_t *out)
{
	slice_t rest = slice_cstr(choices), item;
	for (int64_t i = 0; slice_next(&rest, '|', &item); i++) {
		if (!slice_eq(item, text))
			continue;
		*out = i;
		return true;
	}
	return false;
}

/* What a type wants to see, for messages; NULL: any text will do. */
static const char *wanted(const struct heddle_option *row)
{
	switch (row->type) {
	case HEDDLE_T_BOOL:
		return "true, false, yes or no";
	case HEDDLE_T_INT:
		return "a number (K, M or G may follow)";
	case HEDDLE_T_OCTAL:
		return "an octal number";
	case HEDDLE_T_SIZE:
		return "a number of bytes (K, M or G may follow)";
	case HEDDLE_T_TIME:
		return "a time such as 1d2h3m4s";
	case HEDDLE_T_ENUM:
		return row->type_arg;
	default:
		return NULL;
	}
}

static bool to_number(const struct heddle_option *row, slice_t text, int64_t *out)
{
	switch (row->type) {
	case HEDDLE_T_BOOL:
		for (int64_t k = 0; k < 4; k++)
			if (slice_eqis(text, bool_words[k])) {
				*out = k & 1;
				return true;
			}
		return false;
	case HEDDLE_T_INT:
		return slice_to_i64(text, 0, true, out) && *out >= INT32_MIN && *out <= INT32_MAX;
	case HEDDLE_T_OCTAL:
		return slice_to_i64(text, 8, false, out) && *out >= 0;
	case HEDDLE_T_SIZE:
		return slice_to_i64(text, 0, true, out);
	case HEDDLE_T_TIME:
		return slice_to_ms(text, out);
	case HEDDLE_T_ENUM:
		return to_enum(text, row->type_arg ? row->type_arg : "", out);
	case HEDDLE_T_UID:
	case HEDDLE_T_GID:
		return slice_to_i64(text, 10, false, out) && *out >= 0 && *out < UINT32_MAX;
	default:
		return false;
	}
}

static bool match_kind_of(uint32_t type, enum match_kind *out)
{
	switch (type) {
	case HEDDLE_T_DOMAINS:
		*out = MATCH_DOMAINS;
		return true;
	case HEDDLE_T_HOSTS:
		*out = MATCH_HOSTS;
		return true;
	case HEDDLE_T_ADDRESSES:
		*out = MATCH_ADDRESSES;
		return true;
	case HEDDLE_T_LOCALPARTS:
		*out = MATCH_LOCALPARTS;
		return true;
	default:
		return false;
	}
}

static void value_problem(
    struct loader *l, const struct option_value *v, const char *scope, const char *wants)
{
	loader_problem(l, v->file, v->line, "%soption \"%s\": %s was expected, found %s", scope,
	    v->row->name, wants, loader_brief(l, v->text));
}

/* Numbers, booleans, times: from constant text, or an expression that gives one later. */
static bool compile_number(
    struct loader *l, struct option_value *v, const char *scope, const char *wants)
{
	slice_t text = v->text;
	int64_t n = 0;
	if (v->expr && !expr_constant(v->expr, &text))
		return true;
	if (to_number(v->row, slice_trim(text), &n)) {
		v->number = n;
		return true;
	}
	if (v->expr && !v->is_set)
		return true;
	value_problem(l, v, scope, wants);
	return false;
}

/* Main options that are expanded in one place only. */
static uint32_t main_phases(const char *name)
{
	static const struct {
		const char *name;
		uint32_t phases;
	} rows[] = {
	    {"acl_smtp_auth", PHASE_AUTH},
	    {"acl_smtp_connect", PHASE_CONNECT},
	    {"acl_smtp_data", PHASE_DATA},
	    {"acl_smtp_helo", PHASE_HELO},
	    {"acl_smtp_mail", PHASE_MAIL},
	    {"acl_smtp_notquit", PHASE_NOTQUIT},
	    {"acl_smtp_predata", PHASE_PREDATA},
	    {"acl_smtp_quit", PHASE_QUIT},
	    {"acl_smtp_rcpt", PHASE_RCPT},
	    {"acl_smtp_starttls", PHASE_AUTH},
	    {"host_lookup", PHASE_CONNECT},
	    {"host_reject_connection", PHASE_CONNECT},
	    {"log_file_path", PHASE_START},
	    {"pid_file_path", PHASE_START},
	    {"received_header_text", PHASE_DATA | PHASE_NOT_SMTP},
	    {"smtp_active_hostname", PHASE_CONNECT},
	    {"smtp_banner", PHASE_CONNECT},
	    {"spool_directory", PHASE_START},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].phases;
	return 0;
}

/* file and directory of transports: their drivers refuse what is tainted with words of their own.
 */
static bool refuses_tainted(const struct heddle_option *row, uint32_t phases)
{
	return (row->flags & HEDDLE_O_UNTAINTED) ||
	       (phases == PHASE_TRANSPORT &&
	           (strcmp(row->name, "file") == 0 || strcmp(row->name, "directory") == 0));
}

static bool compile_value(
    struct loader *l, struct option_value *v, const char *scope, uint32_t phases)
{
	struct error e = {0};
	enum match_kind kind;
	struct expr_env env = {.cfg = l->cfg,
	    .file = v->file,
	    .line = v->line,
	    .warnings = &l->compile_warnings,
	    .phases = phases,
	    .option = arena_cstr(l->a, arena_printf(l->a, "%s%s", scope, v->row->name))};
	const char *wants = wanted(v->row);
	enum rc rc = RC_OK;
	if (match_kind_of(v->row->type, &kind))
		rc = match_compile(l->a, kind, v->text, (v->row->flags & HEDDLE_O_EXPAND) != 0,
		    &env, &v->list, &e);
	else if (v->row->flags & HEDDLE_O_EXPAND)
		rc = expr_compile(l->a, v->text, &env, &v->expr, &e);
	if (rc != RC_OK) {
		loader_problem(
		    l, v->file, v->line, "%soption \"%s\": %s", scope, v->row->name, e.text);
		return false;
	}
	if (v->expr && refuses_tainted(v->row, phases))
		expr_warn_tainted(l->a, v->expr, &env, "the value of this option");
	if (v->row->type == HEDDLE_T_UID || v->row->type == HEDDLE_T_GID) {
		if (!to_number(v->row, v->text, &v->number))
			v->number = -1; /* a name: master resolves it */
		return true;
	}
	return !wants || compile_number(l, v, scope, wants);
}

/* Does the value switch off what the option is for?  A value equal to the default asks for nothing
 * new either. */
static bool is_off(const struct option_value *v)
{
	slice_t text = slice_trim(v->text);
	int64_t n;
	if (!text.len || (v->row->initial && slice_eqs(text, v->row->initial)))
		return true;
	return wanted(v->row) && to_number(v->row, text, &n) && n == 0;
}

/* false: refused, or no reason to look at the value. */
static bool check_support(
    struct loader *l, const struct option_value *v, enum option_support support, const char *scope)
{
	switch (support) {
	case OPT_FULL:
	case OPT_IGNORED:
		return true;
	case OPT_LATER_PERMITS:
		if (v->is_set && !is_off(v))
			loader_warning(l, v->file, v->line,
			    "%soption \"%s\": not supported yet: %s", scope, v->row->name,
			    v->row->name);
		break;
	case OPT_LATER_OFF:
	case OPT_LATER_DEMANDS:
		if (v->is_set && !is_off(v))
			loader_problem(l, v->file, v->line,
			    "%soption \"%s\": not supported yet: %s", scope, v->row->name,
			    v->row->name);
		break;
	default:
		break;
	}
	return false;
}

void options_compile(struct loader *l, struct option_table *t, const char *scope)
{
	for (uint32_t i = 0; i < t->count; i++) {
		struct option_value *v = &t->values[i];
		enum option_support support =
		    t->support ? (enum option_support)t->support[i] : OPT_FULL;
		if (!v->is_set && (v->row->flags & HEDDLE_O_REQUIRED) && slice_is_absent(v->text))
			loader_problem(
			    l, NULL, 0, "%soption \"%s\" must be set", scope, v->row->name);
		if (slice_is_absent(v->text))
			continue;
		if ((v->row->flags & HEDDLE_O_DEPRECATED) && v->is_set)
			loader_warning(l, v->file, v->line, "%soption \"%s\" is an old name: %s",
			    scope, v->row->name, v->row->doc);
		/* what is not there yet is read by nobody, and may name variables that are not
		 * there either */
		if (check_support(l, v, support, scope)) {
			uint32_t phases =
			    t->phases || *scope ? t->phases : main_phases(v->row->name);
			(void)compile_value(l, v, scope, phases);
		} else if (wanted(v->row) && slice_find(v->text, '$') == SIZE_MAX) {
			(void)compile_number(l, v, scope, wanted(v->row));
		}
	}
}
