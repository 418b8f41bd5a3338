/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "main/cli.h"

#include <stdio.h>
#include <string.h>

/* What stands behind the letters of an option. */
enum tail {
	TAIL_NONE,
	TAIL_SAME_WORD,
	TAIL_WITH_NEXT /* "LETTERS VALUE" */,
	TAIL_NEEDED,
	TAIL_FLAGS /* none, "f", "ff" and the next word; or a text */
};

struct parse {
	struct arena *a;
	struct cli *c;
	struct error *err;
};
typedef enum rc take_fn(struct parse *p, slice_t tail);

static enum rc set_mode(struct parse *p, enum cli_mode m)
{
	if (p->c->mode != CLI_NONE && p->c->mode != m)
		return error_set(p->err, RC_FAIL, "incompatible command-line options or arguments");
	p->c->mode = m;
	return RC_OK;
}

#define MODE(name, value)                                  \
	static enum rc name(struct parse *p, slice_t tail) \
	{                                                  \
		(void)tail;                                \
		return set_mode(p, value);                 \
	}
MODE(take_bd, CLI_DAEMON)
MODE(take_bpc, CLI_COUNT)
MODE(take_be, CLI_EXPAND)
MODE(take_bt, CLI_ADDRESS_TEST)
MODE(take_bv, CLI_VERIFY)
MODE(take_bvs, CLI_VERIFY_SENDER)
MODE(take_bV, CLI_VERSION)
MODE(take_brt, CLI_RETRY_TEST)
MODE(take_bP, CLI_PRINT)
MODE(take_bi, CLI_NEWALIASES)
MODE(take_help, CLI_HELP)
MODE(take_bs, CLI_SMTP)
MODE(take_bS, CLI_BATCH_SMTP)
#undef MODE

static enum rc take_bdf(struct parse *p, slice_t tail)
{
	(void)tail;
	p->c->foreground = true;
	return set_mode(p, CLI_DAEMON);
}

static const struct {
	const char *letters, *request;
} lists[] = {
    {"", "list"}, {"r", "list"}, {"i", "ids"}, {"u", "undelivered"}, {"ru", "undelivered"}};

static enum rc take_bp(struct parse *p, slice_t tail)
{
	p->c->list_form = tail;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (slice_eqs(tail, lists[i].letters)) {
			p->c->request = lists[i].request;
			return set_mode(p, CLI_LIST);
		}
	return error_set(p->err, RC_FAIL, "not supported yet: -bp%.*s", SL_ARG(tail));
}

static enum rc take_C(struct parse *p, slice_t tail)
{
	p->c->config_file = arena_cstr(p->a, tail);
	return RC_OK;
}
static enum rc take_D(struct parse *p, slice_t tail)
{
	*VEC_PUSH(p->a, &p->c->defines, slice_t) = tail;
	return RC_OK;
}
static enum rc take_oX(struct parse *p, slice_t tail)
{
	p->c->ports = arena_cstr(p->a, tail);
	return RC_OK;
}
static enum rc take_F(struct parse *p, slice_t tail)
{
	p->c->full_name = tail;
	return RC_OK;
}
static enum rc take_oP(struct parse *p, slice_t tail)
{
	p->c->pid_file = arena_cstr(p->a, tail);
	return RC_OK;
}
static enum rc take_d(struct parse *p, slice_t tail)
{
	(void)tail;
	p->c->debug = true;
	return RC_OK;
}
static enum rc take_nothing(struct parse *p, slice_t tail)
{
	(void)p, (void)tail;
	return RC_OK;
}

static enum rc take_bh(struct parse *p, slice_t tail)
{
	p->c->test_host = arena_cstr(p->a, tail);
	return set_mode(p, CLI_HOST_TEST);
}
static enum rc take_bhc(struct parse *p, slice_t tail)
{
	p->c->callouts = true;
	return take_bh(p, tail);
}
static enum rc take_bnq(struct parse *p, slice_t tail)
{
	(void)tail;
	p->c->unqualified = true;
	return RC_OK;
}

/* Facts of a session that is only played. */
static enum rc take_oM(struct parse *p, slice_t tail)
{
	struct cli *c = p->c;
	const struct {
		const char *letters;
		const char **to;
	} facts[] = {{"aa", &c->test_auth}, {"ai", &c->test_auth_id}, {"i", &c->test_interface},
	    {"s", &c->test_name}, {"t", &c->test_ident}};
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
		slice_t value = slice_starts(tail, facts[i].letters)
		                    ? slice_sub(tail, strlen(facts[i].letters), tail.len)
		                    : SL("");
		if (value.len > 1 && value.ptr[0] == ' ') {
			*facts[i].to = arena_cstr(p->a, slice_sub(value, 1, value.len));
			return RC_OK;
		}
	}
	return error_set(p->err, RC_FAIL, "not supported yet: -oM%.*s", SL_ARG(tail));
}

/* -q[q][i][f[f]][l][TIME]: letters, then perhaps an interval, which makes it the daemon's. */
static enum rc take_q(struct parse *p, slice_t tail)
{
	bool force = false, frozen = false, local = false, first = false;
	uint32_t i = 0;

	for (; i < tail.len && !ascii_isdigit(tail.ptr[i]); i++) {
		char ch = tail.ptr[i];
		if (ch == 'f') {
			frozen = force;
			force = true;
		} else if (ch == 'l')
			local = true;
		else if (ch == 'i')
			first = true;
		else if (ch != 'q')
			return error_set(p->err, RC_FAIL, "unknown letter in -q%.*s", SL_ARG(tail));
	}
	slice_t time = slice_sub(tail, i, tail.len);
	if (time.len) {
		if (!slice_to_ms(time, &p->c->queue_interval_ms) || p->c->queue_interval_ms <= 0)
			return error_set(
			    p->err, RC_FAIL, "bad time value %.*s: abandoned", SL_ARG(time));
		return p->c->mode == CLI_DAEMON ? RC_OK : set_mode(p, CLI_DAEMON);
	}
	if (p->c->mode == CLI_DAEMON)
		return RC_OK;
	p->c->request = arena_printf(p->a, "run%s%s%s%s", force ? " force" : "",
	    frozen ? " frozen" : "", local ? " local" : "", first ? " first" : "")
	                    .ptr;
	return set_mode(p, CLI_QUEUE_RUN);
}

static const struct {
	const char *letters, *request;
} edits[] = {
    {"", "deliver"},
    {"c", "deliver-due"},
    {"f", "freeze"},
    {"t", "thaw"},
    {"rm", "remove"},
    {"g", "give-up"},
    {"ar", "add-recipients"},
    {"es", "sender"},
    {"md", "mark-delivered"},
    {"mad", "mark-all"},
    {"vb", "view-body"},
    {"vc", "view-message"},
    {"vh", "view-headers"},
    {"vl", "view-log"},
};

static enum rc take_M(struct parse *p, slice_t tail)
{
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
		if (slice_eqs(tail, edits[i].letters)) {
			p->c->request = edits[i].request;
			return set_mode(p, CLI_EDIT);
		}
	return error_set(p->err, RC_FAIL, "not supported yet: -M%.*s", SL_ARG(tail));
}

/* -R, -S: [f[f]] and a text that recipients, or the sender, must have; the text may stand in the
 * same word when there are no letters.  The letters alone are told from a text by the word that
 * follows. */
static enum rc take_selection(struct parse *p, slice_t tail, const char *what)
{
	static const char *const letters[] = {"", "f", "ff"};
	static const char *const words[] = {"", " force", " force frozen"};
	size_t space = slice_find(tail, ' ');
	slice_t flags = slice_sub(tail, 0, space == SIZE_MAX ? 0 : space), text = tail;

	if (space == SIZE_MAX &&
	    (slice_eqs(tail, "r") || slice_eqs(tail, "rf") || slice_eqs(tail, "rff")))
		return error_set(p->err, RC_FAIL, "not supported yet: -%s%.*s",
		    what[0] == 's' ? "S" : "R", SL_ARG(tail));
	for (size_t i = 0; space != SIZE_MAX && i < 3; i++)
		if (slice_eqs(flags, letters[i])) {
			text = slice_sub(tail, space + 1, tail.len);
			p->c->request = arena_printf(p->a, "%s%s",
			    p->c->mode == CLI_QUEUE_RUN ? p->c->request : "run", words[i])
			                    .ptr;
		}
	if (text.len == 0 || slice_find(text, ' ') != SIZE_MAX)
		return error_set(
		    p->err, RC_FAIL, "-%s needs a text without spaces", what[0] == 's' ? "S" : "R");
	p->c->request = arena_printf(p->a, "%s %s=%.*s",
	    p->c->request && p->c->mode != CLI_NONE ? p->c->request : "run", what, SL_ARG(text))
	                    .ptr;
	return set_mode(p, CLI_QUEUE_RUN);
}
static enum rc take_R(struct parse *p, slice_t tail)
{
	return take_selection(p, tail, "recipient");
}
static enum rc take_S(struct parse *p, slice_t tail)
{
	return take_selection(p, tail, "sender");
}

/* Longest first where one begins like another. */
static const struct {
	const char *word;
	enum tail tail;
	take_fn *take;
} table[] = {
    {"-bdf", TAIL_NONE, take_bdf},
    {"-bd", TAIL_NONE, take_bd},
    {"-bpc", TAIL_NONE, take_bpc},
    {"-bp", TAIL_SAME_WORD, take_bp},
    {"-be", TAIL_NONE, take_be},
    {"-brt", TAIL_NONE, take_brt},
    {"-bt", TAIL_NONE, take_bt},
    {"-bvs", TAIL_NONE, take_bvs},
    {"-bv", TAIL_NONE, take_bv},
    {"-bV", TAIL_NONE, take_bV},
    {"-bP", TAIL_NONE, take_bP},
    {"-bi", TAIL_NONE, take_bi},
    {"-bhc", TAIL_NEEDED, take_bhc},
    {"-bh", TAIL_NEEDED, take_bh},
    {"-bs", TAIL_NONE, take_bs},
    {"-bS", TAIL_NONE, take_bS},
    {"-bnq", TAIL_NONE, take_bnq},
    {"-C", TAIL_NEEDED, take_C},
    {"-F", TAIL_NEEDED, take_F},
    {"-D", TAIL_NEEDED, take_D},
    {"-d", TAIL_SAME_WORD, take_d},
    {"-M", TAIL_SAME_WORD, take_M},
    {"-R", TAIL_FLAGS, take_R},
    {"-S", TAIL_FLAGS, take_S},
    {"-oM", TAIL_WITH_NEXT, take_oM},
    {"-oX", TAIL_NEEDED, take_oX},
    {"-oP", TAIL_NEEDED, take_oP},
    {"-qR", TAIL_FLAGS, take_R},
    {"-qS", TAIL_FLAGS, take_S},
    {"-q", TAIL_SAME_WORD, take_q},
    {"-v", TAIL_NONE, take_nothing},
    {"-om", TAIL_NONE, take_nothing},
    {"--help", TAIL_NONE, take_help},
    {"--version", TAIL_NONE, take_bV},
};

static enum rc take_option(struct parse *p, int argc, char **argv, int *i)
{
	slice_t word = slice_cstr(argv[*i]);

	for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
		if (!slice_starts(word, table[k].word))
			continue;
		slice_t tail = slice_sub(word, strlen(table[k].word), word.len);
		if (table[k].tail == TAIL_NONE && tail.len)
			continue;
		if (table[k].tail == TAIL_NEEDED && tail.len == 0) {
			if (*i + 1 >= argc)
				return error_set(
				    p->err, RC_FAIL, "%s needs something behind it", argv[*i]);
			tail = slice_cstr(argv[++*i]);
		}
		bool flags = table[k].tail == TAIL_FLAGS &&
		             (tail.len == 0 || slice_eqs(tail, "f") || slice_eqs(tail, "ff"));
		if ((flags || table[k].tail == TAIL_WITH_NEXT) && *i + 1 < argc) {
			tail = arena_printf(p->a, "%.*s %s", SL_ARG(tail), argv[*i + 1]);
			++*i;
		}
		return table[k].take(p, tail);
	}
	return error_set(p->err, RC_FAIL, "not supported yet, or no option: %s", argv[*i]);
}

static void name_decides(slice_t name, struct cli *c)
{
	if (slice_eqs(name, "mailq")) {
		c->mode = CLI_LIST;
		c->request = "list";
	} else if (slice_eqs(name, "runq")) {
		c->mode = CLI_QUEUE_RUN;
		c->request = "run";
	} else if (slice_eqs(name, "newaliases")) {
		c->mode = CLI_NEWALIASES;
	}
}

enum rc cli_parse(struct arena *a, int argc, char **argv, struct cli *out, struct error *err)
{
	struct parse p = {.a = a, .c = out, .err = err};
	slice_t name = slice_cstr(argc > 0 ? argv[0] : "heddle");
	size_t slash = slice_rfind(name, '/');

	*out = (struct cli){.mode = CLI_NONE};
	name_decides(slash == SIZE_MAX ? name : slice_sub(name, slash + 1, name.len), out);
	int i = 1;
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		enum rc rc = take_option(&p, argc, argv, &i);
		if (rc != RC_OK)
			return rc;
	}
	for (; i < argc; i++)
		*VEC_PUSH(a, &out->words, slice_t) = slice_cstr(argv[i]);
	if (out->mode == CLI_NONE)
		return error_set(err, RC_FAIL,
		    out->words.count
		        ? "not supported yet: a message on standard input; send it by SMTP"
		        : "nothing to do; try --help");
	return RC_OK;
}

int cli_fail(const struct error *err)
{
	fprintf(stderr, "heddle: %s\n", err->text);
	return 1;
}
