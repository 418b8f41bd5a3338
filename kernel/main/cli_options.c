/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Each option of the command line: its row, and what it sets. */
#include "base/codec.h"
#include "main/cli_private.h"
#include "queue/queue.h"

#include <stddef.h>
#include <string.h>

static enum rc not_yet(struct parse *p, const char *why)
{
	return error_set(p->err, RC_FAIL, "not supported yet: %.*s (%s)", SL_ARG(p->word), why);
}

static enum rc set_mode(struct parse *p, enum cli_mode m)
{
	enum cli_mode have = p->c->mode;
	bool smtp =
	    (have == CLI_SMTP || have == CLI_BATCH_SMTP) && (m == CLI_SMTP || m == CLI_BATCH_SMTP);

	if (have != CLI_NONE && have != m && !smtp)
		return error_set(p->err, RC_FAIL, "incompatible command-line options or arguments");
	p->c->mode = m;
	return RC_OK;
}

/* ---- what is but one setting ----------------------------------------------------------------- */
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
MODE(take_bm, CLI_MESSAGE)
MODE(take_bs, CLI_SMTP)
MODE(take_bS, CLI_BATCH_SMTP)
#undef MODE

#define SETTING(name, member, value)                       \
	static enum rc name(struct parse *p, slice_t tail) \
	{                                                  \
		(void)tail;                                \
		p->c->member = value;                      \
		return RC_OK;                              \
	}
SETTING(take_bnq, unqualified, true)
SETTING(take_d, debug, true)
SETTING(take_v, verbose, true)
SETTING(take_n, terse, true)
SETTING(take_t, extract, true)
SETTING(take_i, dot_is_text, true)
SETTING(take_G, no_fixups, true)
SETTING(take_tls_on_connect, tls_on_connect, true)
SETTING(take_oem, errors, ERRORS_BY_MAIL)
SETTING(take_oee, errors, ERRORS_BY_MAIL_ZERO)
SETTING(take_oep, errors, ERRORS_TO_STDERR)
SETTING(take_odb, delivery, DELIVER_BACKGROUND)
SETTING(take_odf, delivery, DELIVER_FOREGROUND)
SETTING(take_odq, delivery, DELIVER_QUEUE)
#undef SETTING

#define TEXT(name, member)                                 \
	static enum rc name(struct parse *p, slice_t tail) \
	{                                                  \
		p->c->member = arena_cstr(p->a, tail);     \
		return RC_OK;                              \
	}
TEXT(take_oX, ports)
TEXT(take_oP, pid_file)
TEXT(take_oA, aliases)
TEXT(take_f, sender)
TEXT(take_oMaa, auth)
TEXT(take_oMai, auth_id)
TEXT(take_oMas, auth_sender)
TEXT(take_oMs, host_name)
TEXT(take_oMt, ident)
#undef TEXT

static enum rc take_nothing(struct parse *p, slice_t tail)
{
	(void)p, (void)tail;
	return RC_OK;
}

/* ---- what Exim has and this has not ------------------------------------------------------------
 */
#define REFUSED(name, why)                                 \
	static enum rc name(struct parse *p, slice_t tail) \
	{                                                  \
		(void)tail;                                \
		return not_yet(p, why);                    \
	}
REFUSED(take_filter, "there are no filters")
REFUSED(take_bmalware, "there is no malware scanning")
REFUSED(take_brw, "there are no rewriting rules")
REFUSED(take_queue_name, "there are no named queues")
REFUSED(take_N, "deliveries cannot be suppressed")
REFUSED(take_odqs, "remote deliveries cannot be held back by themselves")
REFUSED(take_oB, "set connection_max_messages in the transport")
REFUSED(take_perl, "there is no Perl")
REFUSED(take_oPX, "the daemon removes its file itself")
REFUSED(take_L, "there is no syslog")
REFUSED(take_MC, "connections are passed on inside the daemon")
REFUSED(take_Tqt, "a daemon has one clock")
#undef REFUSED

/* ---- the daemon --------------------------------------------------------------------------------
 */
static enum rc take_bdf(struct parse *p, slice_t tail)
{
	(void)tail;
	p->c->foreground = true;
	return set_mode(p, CLI_DAEMON);
}

static enum rc take_bw(struct parse *p, slice_t tail)
{
	if (tail.len)
		return not_yet(p, "a daemon on a socket of inetd's stays until it is stopped");
	p->c->wait_socket = p->c->foreground = true;
	return set_mode(p, CLI_DAEMON);
}

static enum rc take_C(struct parse *p, slice_t tail)
{
	p->c->config_file = arena_cstr(p->a, tail);
	return RC_OK;
}

/* Blanks round the name and the equals sign are no part of them. */
static enum rc take_D(struct parse *p, slice_t tail)
{
	size_t eq = slice_find(tail, '=');
	slice_t name = slice_trim(slice_sub(tail, 0, eq == SIZE_MAX ? tail.len : eq));
	slice_t value = slice_trim(slice_sub(tail, eq == SIZE_MAX ? tail.len : eq + 1, tail.len));

	if (!name.len || name.ptr[0] < 'A' || name.ptr[0] > 'Z')
		return error_set(
		    p->err, RC_FAIL, "macro name set by -D must start with an upper case letter");
	*VEC_PUSH(p->a, &p->c->defines, slice_t) =
	    arena_printf(p->a, "%.*s=%.*s", SL_ARG(name), SL_ARG(value));
	return RC_OK;
}

static enum rc take_F(struct parse *p, slice_t tail)
{
	p->c->full_name = tail;
	return RC_OK;
}

/* ---- the queue ---------------------------------------------------------------------------------
 */
static enum rc take_bp(struct parse *p, slice_t tail)
{
	static const struct {
		const char *letters, *request;
	} lists[] = {{"", "list"}, {"a", "list -a"}, {"r", "list -r"}, {"ra", "list -ra"},
	    {"ru", "list -ru"}, {"u", "list -u"}, {"i", "ids"}, {"ri", "ids"}};

	p->c->list_form = tail;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (slice_eqs(tail, lists[i].letters)) {
			p->c->request = lists[i].request;
			return set_mode(p, CLI_LIST);
		}
	return cli_unknown(p);
}

static void add_request(struct parse *p, const char *word)
{
	struct cli *c = p->c;

	c->request =
	    arena_printf(p->a, "%s%s%s", c->request ? c->request : "run", word[0] ? " " : "", word)
	        .ptr;
}

/* -q[q][i][f[f]][l][G...][TIME]: letters, then perhaps an interval, which makes it the daemon's. */
static enum rc take_q(struct parse *p, slice_t tail)
{
	uint32_t i = 0;
	bool force = false;

	if (p->c->mode != CLI_QUEUE_RUN)
		p->c->request = p->c->mode == CLI_NONE ? "run" : p->c->request;
	for (; i < tail.len && !ascii_isdigit(tail.ptr[i]); i++) {
		char ch = tail.ptr[i];
		if (ch == 'l')
			return not_yet(p, "remote deliveries cannot be held back by themselves");
		if (ch == 'G')
			return take_queue_name(p, tail);
		if (ch == 'f') {
			add_request(p, force ? "frozen" : "force");
			force = true;
		} else if (ch == 'i') {
			add_request(p, "first");
		} else if (ch != 'q') {
			return error_set(
			    p->err, RC_FAIL, "bad time value %.*s: abandoned", SL_ARG(p->word));
		}
	}
	slice_t time = slice_sub(tail, i, tail.len);
	if (time.len) {
		if (!slice_to_ms(time, &p->c->queue_interval_ms) || p->c->queue_interval_ms <= 0)
			return error_set(
			    p->err, RC_FAIL, "bad time value %.*s: abandoned", SL_ARG(p->word));
		return set_mode(p, CLI_DAEMON);
	}
	return p->c->mode == CLI_DAEMON ? RC_OK : set_mode(p, CLI_QUEUE_RUN);
}

static enum rc take_M(struct parse *p, slice_t tail)
{
	static const struct {
		const char *letters, *request;
	} edits[] = {{"", "deliver"}, {"c", "deliver-due"}, {"f", "freeze"}, {"t", "thaw"},
	    {"rm", "remove"}, {"g", "give-up"}, {"ar", "add-recipients"}, {"es", "sender"},
	    {"md", "mark-delivered"}, {"mad", "mark-all"}, {"vb", "view-body"},
	    {"vc", "view-message"}, {"vh", "view-headers"}, {"vl", "view-log"}};

	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
		if (slice_eqs(tail, edits[i].letters)) {
			p->c->request = edits[i].request;
			p->c->option = arena_cstr(p->a, p->word);
			return set_mode(p, CLI_EDIT);
		}
	return cli_unknown(p);
}

static enum rc take_Mset(struct parse *p, slice_t tail)
{
	struct queue_id id;

	if (!queue_id_parse(tail, &id))
		return error_set(
		    p->err, RC_FAIL, "malformed message id %.*s after -Mset option", SL_ARG(tail));
	p->c->set_id = arena_cstr(p->a, tail);
	return RC_OK;
}

/* -R, -S: letters, and a text that recipients, or the sender, must have. */
static enum rc take_selection(struct parse *p, slice_t text, const char *what)
{
	slice_t flags = p->letters;
	bool regex = slice_starts(flags, "r");

	if (p->c->mode == CLI_NONE)
		p->c->request = "run";
	if (slice_find(flags, 'f') != SIZE_MAX)
		add_request(p, flags.len - (regex ? 1u : 0u) == 2 ? "force frozen" : "force");
	if (text.len)
		add_request(p, arena_printf(p->a, "%s%s=%.*s", what, regex ? "-matches" : "",
		                   SL_ARG(base64_encode(p->a, text)))
		                   .ptr);
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

static enum rc take_z(struct parse *p, slice_t tail)
{
	p->c->request = arena_printf(p->a, "note %.*s", SL_ARG(base64_encode(p->a, tail))).ptr;
	return set_mode(p, CLI_NOTE);
}

/* ---- tests -------------------------------------------------------------------------------------
 */
static enum rc take_oMa(struct parse *p, slice_t tail)
{
	p->c->host = arena_cstr(p->a, tail);
	return RC_OK;
}
static enum rc take_oMi(struct parse *p, slice_t tail)
{
	p->c->interface = arena_cstr(p->a, tail);
	return RC_OK;
}
static enum rc take_bh(struct parse *p, slice_t tail)
{
	p->c->host = arena_cstr(p->a, tail);
	return set_mode(p, CLI_HOST_TEST);
}
static enum rc take_bhc(struct parse *p, slice_t tail)
{
	p->c->callouts = true;
	return take_bh(p, tail);
}
static enum rc take_bem(struct parse *p, slice_t tail)
{
	p->c->file = arena_cstr(p->a, tail);
	return set_mode(p, CLI_EXPAND);
}
static enum rc take_bI(struct parse *p, slice_t tail)
{
	p->c->info = arena_cstr(p->a, tail);
	return set_mode(p, CLI_INFO);
}

/* ---- a message ---------------------------------------------------------------------------------
 */
static enum rc take_reference(struct parse *p, slice_t tail)
{
	struct queue_id id;

	if (!queue_id_parse(tail, &id))
		return error_set(p->err, RC_FAIL, "-oMm must be a valid message ID");
	p->c->reference = arena_cstr(p->a, tail);
	return RC_OK;
}

static enum rc take_E(struct parse *p, slice_t tail)
{
	struct queue_id id;

	if (!tail.len)
		return RC_OK;
	if (!queue_id_parse(tail, &id))
		return cli_unknown(p);
	p->c->reference = arena_cstr(p->a, tail);
	return RC_OK;
}

static enum rc take_time(struct parse *p, slice_t tail, int64_t *to)
{
	if (!slice_to_ms(tail, to) || *to <= 0)
		return error_set(p->err, RC_FAIL, "bad time value %.*s: abandoned", SL_ARG(tail));
	return RC_OK;
}
static enum rc take_or(struct parse *p, slice_t tail)
{
	return take_time(p, tail, &p->c->receive_ms);
}
static enum rc take_os(struct parse *p, slice_t tail)
{
	return take_time(p, tail, &p->c->smtp_ms);
}

static enum rc set_protocol(struct parse *p, slice_t text)
{
	if (p->c->protocol)
		return error_set(p->err, RC_FAIL, "received_protocol is set already");
	p->c->protocol = arena_cstr(p->a, text);
	return RC_OK;
}
static enum rc take_oMr(struct parse *p, slice_t tail)
{
	return set_protocol(p, tail);
}

/* -pPROTOCOL[:NAME] */
static enum rc take_p(struct parse *p, slice_t tail)
{
	size_t colon = slice_find(tail, ':');

	if (set_protocol(p, slice_sub(tail, 0, colon == SIZE_MAX ? tail.len : colon)) != RC_OK)
		return RC_FAIL;
	if (colon != SIZE_MAX)
		p->c->host_name = arena_cstr(p->a, slice_sub(tail, colon + 1, tail.len));
	return RC_OK;
}

static enum rc take_ti(struct parse *p, slice_t tail)
{
	p->c->dot_is_text = true;
	return take_t(p, tail);
}

/* The first that fits is taken: longer words stand before those that they begin with. */
const struct option_row cli_options[] = {
    {"--help", TAIL_NONE, take_help},
    {"--version", TAIL_NONE, take_bV},
    {"-Ac", TAIL_NONE, take_nothing},
    {"-Am", TAIL_NONE, take_nothing},
    {"-B", TAIL_SAME_WORD, take_nothing},
    {"-bI:", TAIL_SAME_WORD, take_bI},
    {"-bdf", TAIL_NONE, take_bdf},
    {"-bd", TAIL_NONE, take_bd},
    {"-bw", TAIL_SAME_WORD, take_bw},
    {"-bpc", TAIL_NONE, take_bpc},
    {"-bp", TAIL_SAME_WORD, take_bp},
    {"-bem", TAIL_NEXT_WORD, take_bem},
    {"-be", TAIL_NONE, take_be},
    {"-brt", TAIL_NONE, take_brt},
    {"-brw", TAIL_NONE, take_brw},
    {"-bt", TAIL_NONE, take_bt},
    {"-bvs", TAIL_NONE, take_bvs},
    {"-bv", TAIL_NONE, take_bv},
    {"-bV", TAIL_NONE, take_bV},
    {"-bP", TAIL_NONE, take_bP},
    {"-bi", TAIL_NONE, take_bi},
    {"-bhc", TAIL_NEXT_WORD, take_bhc},
    {"-bh", TAIL_NEXT_WORD, take_bh},
    {"-bs", TAIL_NONE, take_bs},
    {"-bS", TAIL_NONE, take_bS},
    {"-bmalware", TAIL_NEXT_WORD, take_bmalware},
    {"-bm", TAIL_NONE, take_bm},
    {"-bnq", TAIL_NONE, take_bnq},
    {"-bf", TAIL_SAME_WORD, take_filter},
    {"-bF", TAIL_SAME_WORD, take_filter},
    {"-C", TAIL_NEEDED, take_C},
    {"-dropcr", TAIL_NONE, take_nothing},
    {"-d", TAIL_SAME_WORD, take_d},
    {"-D", TAIL_NEEDED, take_D},
    {"-E", TAIL_SAME_WORD, take_E},
    {"-em", TAIL_NONE, take_oem},
    {"-ew", TAIL_NONE, take_oem},
    {"-ee", TAIL_NONE, take_oee},
    {"-ep", TAIL_NONE, take_oep},
    {"-eq", TAIL_NONE, take_oep},
    {"-F", TAIL_NEEDED, take_F},
    {"-f", TAIL_NEEDED, take_f},
    {"-G", TAIL_NONE, take_G},
    {"-h", TAIL_NEEDED, take_nothing},
    {"-i", TAIL_NONE, take_i},
    {"-L", TAIL_NEEDED, take_L},
    {"-Mset", TAIL_NEXT_WORD, take_Mset},
    {"-MG", TAIL_SAME_WORD, take_queue_name},
    {"-MC", TAIL_SAME_WORD, take_MC},
    {"-M", TAIL_SAME_WORD, take_M},
    {"-m", TAIL_NONE, take_nothing},
    {"-N", TAIL_NONE, take_N},
    {"-n", TAIL_NONE, take_n},
    {"-oA", TAIL_NEEDED, take_oA},
    {"-oB", TAIL_SAME_WORD, take_oB},
    {"-odb", TAIL_NONE, take_odb},
    {"-odf", TAIL_NONE, take_odf},
    {"-odi", TAIL_NONE, take_odf},
    {"-odqs", TAIL_NONE, take_odqs},
    {"-odq", TAIL_NONE, take_odq},
    {"-oem", TAIL_NONE, take_oem},
    {"-oew", TAIL_NONE, take_oem},
    {"-oee", TAIL_NONE, take_oee},
    {"-oep", TAIL_NONE, take_oep},
    {"-oeq", TAIL_NONE, take_oep},
    {"-oi", TAIL_NONE, take_i},
    {"-oitrue", TAIL_NONE, take_i},
    {"-oMaa", TAIL_NEXT_WORD, take_oMaa},
    {"-oMai", TAIL_NEXT_WORD, take_oMai},
    {"-oMas", TAIL_NEXT_WORD, take_oMas},
    {"-oMa", TAIL_NEXT_WORD, take_oMa},
    {"-oMi", TAIL_NEXT_WORD, take_oMi},
    {"-oMm", TAIL_NEXT_WORD, take_reference},
    {"-oMr", TAIL_NEXT_WORD, take_oMr},
    {"-oMs", TAIL_NEXT_WORD, take_oMs},
    {"-oMt", TAIL_NEXT_WORD, take_oMt},
    {"-om", TAIL_NONE, take_nothing},
    {"-oo", TAIL_NONE, take_nothing},
    {"-oPX", TAIL_NONE, take_oPX},
    {"-oP", TAIL_NEXT_WORD, take_oP},
    {"-or", TAIL_NEEDED, take_or},
    {"-os", TAIL_NEEDED, take_os},
    {"-ov", TAIL_NONE, take_v},
    {"-oX", TAIL_NEEDED, take_oX},
    {"-oY", TAIL_NONE, take_nothing}, /* there is no such socket */
    {"-O", TAIL_NEEDED, take_nothing},
    {"-pd", TAIL_NONE, take_perl},
    {"-ps", TAIL_NONE, take_perl},
    {"-p", TAIL_NEEDED, take_p},
    {"-qR", TAIL_FLAGS, take_R},
    {"-qS", TAIL_FLAGS, take_S},
    {"-q", TAIL_SAME_WORD, take_q},
    {"-R", TAIL_FLAGS, take_R},
    {"-r", TAIL_NEEDED, take_f},
    {"-S", TAIL_FLAGS, take_S},
    {"-Tqt", TAIL_NEEDED, take_Tqt},
    {"-ti", TAIL_NONE, take_ti},
    {"-tls-on-connect", TAIL_NONE, take_tls_on_connect},
    {"-t", TAIL_NONE, take_t},
    {"-U", TAIL_NONE, take_nothing},
    {"-v", TAIL_NONE, take_v},
    {"-X", TAIL_NEEDED, take_nothing},
    {"-x", TAIL_NONE, take_nothing},
    {"-z", TAIL_NEXT_WORD, take_z},
    {NULL, TAIL_NONE, NULL},
};
