/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * router/redirect: alias lists and .forward files, with what they include.  Two bytes say which
 * options are set; then the list, and behind a byte 255 each the files that ":include:/i/0" and so
 * on name.
 */
#define starts file_starts
#define refuse file_refuse
#include "../../drivers/router/redirect/redirect.c"
#undef starts
#undef refuse
#include "../../drivers/router/redirect/items.c"
#include "../../drivers/router/redirect/report.c"

#include "base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define READS_MAX 2000

struct heddle_call {
	struct arena *arena;
	unsigned flags, reads, children, letters;
	bool said_why;
	slice_t list, files; /* files: with a byte 255 between them */
};

static int32_t host_opt_int(
    struct heddle_call *c, const struct heddle_instance *cfg, uint32_t i, int64_t *out)
{
	(void)cfg;
	if (i == O_ONE_TIME)
		return HEDDLE_FAIL;
	*out = c->flags >> i % 16 & 1;
	return HEDDLE_OK;
}
static int32_t host_opt_text(
    struct heddle_call *c, const struct heddle_instance *cfg, uint32_t i, slice_t *out)
{
	(void)cfg;
	*out = slice_absent();
	if (c->flags & 1 ? i == O_FILE : i == O_DATA)
		*out = c->flags & 1 ? SL("/home/u/.forward") : c->list;
	if (i == O_INCLUDE_DIRECTORY && (c->flags & 2))
		*out = SL("/i");
	if (i == O_SYNTAX_ERRORS_TO && (c->flags & 16))
		*out = SL("owner@site.example");
	return HEDDLE_OK;
}
static int32_t host_var_get(struct heddle_call *c, slice_t name, slice_t *out)
{
	*out = slice_starts(name, "local_user") ? (c->flags & 4 ? SL("1000") : slice_absent())
	                                        : SL("site.example");
	return HEDDLE_OK;
}
static void *host_alloc(struct heddle_call *c, uint64_t size, uint32_t align)
{
	(void)align;
	return arena_alloc(c->arena, (size_t)size);
}
static int32_t host_join(struct heddle_call *c, const slice_t *parts, uint32_t count, slice_t *out)
{
	struct strbuf sb;
	strbuf_init(&sb, c->arena, 0);
	for (uint32_t i = 0; i < count; i++)
		strbuf_add(&sb, parts[i]);
	*out = strbuf_slice(&sb);
	return HEDDLE_OK;
}
static void host_reason(struct heddle_call *c, int32_t smtp, slice_t shown, slice_t logged)
{
	(void)shown;
	MUST(smtp == 0 || (smtp >= 400 && smtp <= 599));
	MUST(logged.len);
	c->said_why = true;
}
static void host_log(struct heddle_call *c, uint32_t level, slice_t line)
{
	(void)c;
	MUST(level == HEDDLE_LOG_MAIN && line.len);
}
static slice_t host_instance_name(const struct heddle_instance *cfg)
{
	(void)cfg;
	return SL("aliases");
}

static bool is_plain(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 127)
			return false;
	return s.len > 0;
}

static int32_t add_child(struct heddle_call *c, const struct heddle_route_child *child)
{
	slice_t t = child->text;
	c->children++;
	switch (child->kind) {
	case HEDDLE_C_ADDRESS: /* goes into a command of SMTP */
		MUST(is_plain(t) && slice_find(t, '@') != SIZE_MAX && t.len < 2000);
		break;
	case HEDDLE_C_PIPE:
		MUST(t.len && t.ptr[0] == '|' && slice_is_clean(t) &&
		     slice_find(t, '\n') == SIZE_MAX);
		break;
	case HEDDLE_C_FILE:
	case HEDDLE_C_DIRECTORY:
		MUST(t.len && t.ptr[0] == '/' && slice_is_clean(t) &&
		     slice_find(t, '\n') == SIZE_MAX);
		break;
	default:
		MUST(child->kind == HEDDLE_C_ADDRESS);
	}
	(void)arena_dup(c->arena, t);
	return HEDDLE_OK;
}
static int32_t is_ancestor(struct heddle_call *c, slice_t address)
{
	(void)c;
	return address.len % 2;
}

static int32_t read_all(
    struct heddle_call *c, slice_t path, uint32_t uid, uint64_t max, slice_t *out)
{
	(void)uid;
	MUST(slice_is_clean(path) && path.len && path.ptr[0] == '/' && ++c->reads <= READS_MAX);
	if (path.len != 4 || !slice_starts(path, "/i/") || !ascii_isdigit(path.ptr[3]))
		return HEDDLE_FAIL;
	slice_t rest = c->files, one;
	for (int i = path.ptr[3] - '0'; slice_next(&rest, '\xff', &one); i--)
		if (i == 0 && one.len <= max) {
			*out = one;
			return HEDDLE_OK;
		}
	return HEDDLE_FAIL;
}
static int32_t read_checked(struct heddle_call *c, slice_t path, uint32_t as, uint32_t owner,
    uint64_t max, const struct heddle_file_rules *rules, slice_t *out)
{
	(void)as, (void)owner, (void)rules;
	MUST(slice_is_clean(path) && c->list.len <= max);
	*out = c->list;
	return HEDDLE_OK;
}

/* What is told to syntax_errors_to: nothing of the list gets into its header. */
static int32_t draft(struct heddle_call *c, slice_t sender, const slice_t *to, uint32_t count,
    slice_t headers_, struct heddle_draft **out)
{
	MUST(sender.len == 0 && count == 1 && slice_eqs(to[0], "owner@site.example"));
	MUST(slice_find(headers_, '@') != SIZE_MAX && headers_.len < 1000);
	*out = arena_alloc(c->arena, 1);
	return HEDDLE_OK;
}
static int32_t draft_write(
    struct heddle_call *c, struct heddle_draft *d, const void *buf, uint64_t len)
{
	MUST(d && len);
	(void)arena_dup(c->arena, slice_of(buf, (size_t)len, 0));
	return HEDDLE_OK;
}
static int32_t commit(struct heddle_call *c, struct heddle_draft *d, slice_t *id)
{
	MUST(d && !c->letters++);
	*id = SL("id");
	return HEDDLE_OK;
}
static const struct heddle_message_service messages = {
    .struct_size = sizeof messages, .draft = draft, .draft_write = draft_write, .commit = commit};
static const struct heddle_routing_service routing = {
    .struct_size = sizeof routing, .add_child = add_child, .is_ancestor = is_ancestor};
static const struct heddle_file_service files = {
    .struct_size = sizeof files, .read_all = read_all, .read_checked = read_checked};
static const void *host_service(const struct heddle_host *h, const char *id)
{
	(void)h;
	return !strcmp(id, HEDDLE_ROUTING_ID)   ? (const void *)&routing
	       : !strcmp(id, HEDDLE_FILE_ID)    ? (const void *)&files
	       : !strcmp(id, HEDDLE_MESSAGE_ID) ? (const void *)&messages
	                                        : NULL;
}
static const struct heddle_host host_table = {.struct_size = sizeof host_table,
    .service = host_service,
    .alloc = host_alloc,
    .opt_text = host_opt_text,
    .opt_int = host_opt_int,
    .var_get = host_var_get,
    .join = host_join,
    .reason = host_reason,
    .log = host_log,
    .instance_name = host_instance_name};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > (1U << 16))
		return 0;
	struct heddle_call c = {.arena = arena_new(0), .flags = data[0] | (unsigned)data[1] << 8};
	slice_t all = slice_of(data + 2, size - 2, HEDDLE_CLEAN);
	size_t end = slice_find(all, '\xff');
	c.list = slice_sub(all, 0, end == SIZE_MAX ? all.len : end);
	c.files = end == SIZE_MAX ? SL("") : slice_sub(all, end + 1, all.len);
	if (c.flags & 8)
		c.list.flags = 0; /* tainted: addresses may be in it, commands not */
	void *inst = NULL;
	struct heddle_address address = {.struct_size = sizeof address,
	    .address = SL("u@d.example"),
	    .local_part = SL("u"),
	    .domain = SL("d.example")};
	struct heddle_route out = {.struct_size = sizeof out};
	MUST(heddle_driver_v1.instance_new(&c, &host_table, NULL, NULL, &inst) == HEDDLE_OK);
	int32_t rc = ops.route(&c, inst, &address, &out);
	MUST(rc == HEDDLE_OK ? out.verdict == HEDDLE_R_REROUTE || out.verdict == HEDDLE_R_DECLINE ||
	                           out.verdict == HEDDLE_R_DISCARD
	                     : c.said_why && (rc == HEDDLE_DEFER || rc == HEDDLE_FAIL));
	MUST(out.verdict != HEDDLE_R_REROUTE || c.children > 0);
	heddle_driver_v1.instance_free(inst);
	arena_free(&c.arena);
	return 0;
}
