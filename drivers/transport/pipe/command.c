/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which command, with which arguments and environment.  The line is split first and each argument
 * expanded then, so that nothing that is inserted can become an argument of its own.  No shell sees
 * any of it.  Exim specification, 29.3 and 29.4.
 */
#include "pipe.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static char unescape(const char **p, const char *end)
{
	static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
	char c = *(*p)++;
	const char *known = memchr(from, c, sizeof from - 1);
	if (known)
		return to[known - from];
	if (c >= '0' && c <= '7') {
		int v = c - '0';
		for (int i = 0; i < 2 && *p < end && **p >= '0' && **p <= '7'; i++)
			v = v * 8 + (*(*p)++ - '0');
		return (char)v;
	}
	return c;
}

int next_word(struct delivery *d, struct heddle_slice line, uint32_t *at, struct heddle_slice *out)
{
	const char *p = line.ptr + *at, *end = line.ptr + line.len;
	while (p < end && is_space(*p))
		p++;
	if (p == end)
		return 0;
	char *text = d->host->alloc(d->call, (uint64_t)(end - p) + 1, 1), *w = text;
	if (!text)
		return -1;
	char quote = *p == '"' || *p == '\'' ? *p++ : '\0';
	while (p < end && (quote ? *p != quote : !is_space(*p))) {
		if (quote == '"' && *p == '\\' && p + 1 < end) {
			p++;
			*w++ = unescape(&p, end);
		} else {
			*w++ = *p++;
		}
	}
	if (quote && p == end)
		return -1;
	if (quote)
		p++;
	*at = (uint32_t)(p - line.ptr);
	*out = heddle_bytes(text, (size_t)(w - text), line.flags & HEDDLE_CLEAN);
	return 1;
}

static int is_text(struct heddle_slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static int32_t add(struct delivery *d, struct heddle_slice arg)
{
	if (d->argc == ARGS_MAX)
		return say(d, HEDDLE_FAIL, "too many arguments to the command");
	d->argv[d->argc++] = arg;
	return HEDDLE_OK;
}

static int32_t add_addresses(struct delivery *d)
{
	int32_t rc = HEDDLE_OK;
	for (uint32_t i = 0; i < d->info.recipients && rc == HEDDLE_OK; i++) {
		struct heddle_recipient r = {.struct_size = sizeof r};
		rc = d->service->recipient(d->call, d->job, i, &r);
		if (rc == HEDDLE_OK)
			rc = add(d, r.address);
	}
	return rc;
}

/* The text of a child: "|/usr/bin/x -y". */
static struct heddle_slice child_line(const struct delivery *d)
{
	struct heddle_slice s = d->info.path;
	while (s.len && (*s.ptr == '|' || is_space(*s.ptr))) {
		s.ptr++;
		s.len--;
	}
	return s;
}

static int32_t add_child_words(struct delivery *d)
{
	struct heddle_slice line = child_line(d), word;
	uint32_t at = 0;
	int got;
	int32_t rc = HEDDLE_OK;
	while (rc == HEDDLE_OK && (got = next_word(d, line, &at, &word)) != 0)
		rc = got < 0 ? say(d, HEDDLE_FAIL, "unbalanced quotes in command \"%.*s\"",
		                   (int)line.len, line.ptr)
		             : add(d, word);
	return rc;
}

/* An argument of the command option, expanded by itself.  What came from outside is no argument,
 * unless it stands for the addresses. */
static int32_t add_expanded(struct delivery *d, struct heddle_slice word)
{
	struct heddle_slice name = d->host->instance_name(d->in->cfg);
	struct heddle_expr *x = NULL;
	struct heddle_slice value = word;
	if (memchr(word.ptr, '$', word.len) || memchr(word.ptr, '\\', word.len)) {
		int32_t rc = d->host->compile(d->call, word, 0, &x);
		if (rc == HEDDLE_OK)
			rc = d->host->expand(d->call, x, &value);
		if (rc != HEDDLE_OK)
			return say(d, HEDDLE_DEFER,
			    "Expansion of command \"%.*s\" in %.*s transport failed", (int)word.len,
			    word.ptr, (int)name.len, name.ptr);
	}
	if (value.len && !(value.flags & HEDDLE_CLEAN))
		return d->argc ? say(d, HEDDLE_DEFER, "Tainted arg %u for %.*s command: '%.*s'",
		                     d->argc, (int)name.len, name.ptr, (int)value.len, value.ptr)
		               : say(d, HEDDLE_DEFER,
		                     "Tainted '%.*s' (command for %.*s transport) not permitted",
		                     (int)value.len, value.ptr, (int)name.len, name.ptr);
	return add(d, value);
}

static int32_t add_option_words(struct delivery *d, struct heddle_slice line)
{
	struct heddle_slice word;
	uint32_t at = 0;
	int got;
	int32_t rc = HEDDLE_OK;
	while (rc == HEDDLE_OK && (got = next_word(d, line, &at, &word)) != 0) {
		if (got < 0)
			rc = say(d, HEDDLE_DEFER, "unbalanced quotes in command \"%.*s\"",
			    (int)line.len, line.ptr);
		else if (is_text(word, "$pipe_addresses"))
			rc = add_addresses(d);
		else if (d->in->force_command && is_text(word, "$address_pipe"))
			rc = add_child_words(d);
		else
			rc = add_expanded(d, word);
	}
	return rc;
}

/* ---- may it be run, and where is it?
 * -------------------------------------------------------------------- */

static int is_allowed(struct delivery *d, struct heddle_slice list)
{
	struct heddle_slice item;
	uint64_t pos = 0;
	while (d->host->item(d->call, list, &pos, &item) == HEDDLE_OK)
		if (item.len == d->argv[0].len && memcmp(item.ptr, d->argv[0].ptr, item.len) == 0)
			return 1;
	return 0;
}

static int32_t check_permission(struct delivery *d)
{
	struct heddle_slice name = d->host->instance_name(d->in->cfg), list, cmd = d->argv[0];
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_ALLOW_COMMANDS, &list);
	int listed = !(list.flags & HEDDLE_ABSENT);
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER,
		    "failed to expand string \"allow_commands\" for %.*s transport", (int)name.len,
		    name.ptr);
	if (listed && is_allowed(d, list))
		return HEDDLE_OK;
	if (d->in->restrict_to_path && memchr(cmd.ptr, '/', cmd.len))
		return say(d, HEDDLE_FAIL,
		    "\"/\" found in \"%.*s\" (command for %.*s transport) - failed for security "
		    "reasons",
		    (int)cmd.len, cmd.ptr, (int)name.len, name.ptr);
	if (listed && !d->in->restrict_to_path)
		return say(d, HEDDLE_FAIL, "\"%.*s\" command not permitted by %.*s transport",
		    (int)cmd.len, cmd.ptr, (int)name.len, name.ptr);
	return HEDDLE_OK;
}

static int is_command(struct delivery *d, struct heddle_slice path)
{
	const char *p;
	struct stat st;
	return d->host->cstr(d->call, path, &p) == HEDDLE_OK && stat(p, &st) == 0 &&
	       S_ISREG(st.st_mode) && access(p, X_OK) == 0;
}

static int32_t find_command(struct delivery *d)
{
	struct heddle_slice name = d->host->instance_name(d->in->cfg), path, folder,
	                    cmd = d->argv[0];
	uint64_t pos = 0;
	if (cmd.ptr[0] == '/')
		return HEDDLE_OK;
	if (d->host->opt_text(d->call, d->in->cfg, OPT_PATH, &path) != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, "failed to expand string \"path\" for %.*s transport",
		    (int)name.len, name.ptr);
	while (!memchr(cmd.ptr, '/', cmd.len) &&
	       d->host->item(d->call, path, &pos, &folder) == HEDDLE_OK) {
		const struct heddle_slice parts[] = {folder, heddle_text("/"), cmd};
		struct heddle_slice full;
		if (folder.len && d->host->join(d->call, parts, 3, &full) == HEDDLE_OK &&
		    is_command(d, full)) {
			d->argv[0] = full;
			return HEDDLE_OK;
		}
	}
	return say(d, HEDDLE_FAIL, "\"%.*s\" command not found for %.*s transport", (int)cmd.len,
	    cmd.ptr, (int)name.len, name.ptr);
}

int32_t make_command(struct delivery *d)
{
	struct heddle_slice name = d->host->instance_name(d->in->cfg), line;
	int is_child = !(d->info.path.flags & HEDDLE_ABSENT);
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_COMMAND, &line);
	if (rc != HEDDLE_OK)
		return rc;
	if (is_child && !d->in->force_command)
		rc = add_child_words(d);
	else
		rc = add_option_words(d, line);
	if (rc == HEDDLE_OK && (d->argc == 0 || d->argv[0].len == 0))
		rc = say(d, HEDDLE_DEFER, "no command specified for %.*s transport", (int)name.len,
		    name.ptr);
	if (rc == HEDDLE_OK && !(d->argv[0].flags & HEDDLE_CLEAN))
		rc = say(d, HEDDLE_DEFER,
		    "Tainted '%.*s' (command for %.*s transport) not permitted",
		    (int)d->argv[0].len, d->argv[0].ptr, (int)name.len, name.ptr);
	if (rc == HEDDLE_OK)
		rc = check_permission(d);
	return rc == HEDDLE_OK ? find_command(d) : rc;
}

/* ---- environment
 * ---------------------------------------------------------------------------------------- */

static struct heddle_slice variable(struct delivery *d, const char *name)
{
	struct heddle_slice v;
	return d->host->var_get(d->call, heddle_text(name), &v) == HEDDLE_OK &&
	               !(v.flags & HEDDLE_ABSENT)
	           ? v
	           : heddle_text("");
}

static int32_t set(struct delivery *d, const char *name, struct heddle_slice value)
{
	struct heddle_slice name_slice = d->host->instance_name(d->in->cfg);
	if (d->envc == ENV_MAX)
		return say(d, HEDDLE_DEFER, "too many environment settings for %.*s transport",
		    (int)name_slice.len, name_slice.ptr);
	const struct heddle_slice parts[] = {heddle_text(name), heddle_text("="), value};
	int32_t rc = d->host->join(d->call, parts, 3, &d->env[d->envc]);
	d->envc += rc == HEDDLE_OK;
	return rc;
}

static int32_t set_own(struct delivery *d)
{
	struct heddle_slice list, item, none;
	uint64_t pos = 0;
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_ENVIRONMENT, &list);
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, "failed to expand string \"environment\"");
	none = heddle_text("");
	while (rc == HEDDLE_OK && d->host->item(d->call, list, &pos, &item) == HEDDLE_OK) {
		const struct heddle_slice parts[] = {item, none};
		if (d->envc == ENV_MAX)
			return say(d, HEDDLE_DEFER, "too many environment settings");
		rc = d->host->join(d->call, parts, 2, &d->env[d->envc]);
		d->envc += rc == HEDDLE_OK;
	}
	return rc;
}

int32_t make_environment(struct delivery *d)
{
	static const struct {
		const char *name, *variable;
		int if_set;
	} rows[] = {{"DOMAIN", "domain", 0}, {"HOME", "home", 1}, {"HOST", "host", 1},
	    {"LOCAL_PART", "local_part", 0}, {"LOCAL_PART_PREFIX", "local_part_prefix", 0},
	    {"LOCAL_PART_SUFFIX", "local_part_suffix", 0}, {"LOGNAME", "local_part", 0},
	    {"MESSAGE_ID", "message_exim_id", 0}, {"QUALIFY_DOMAIN", "qualify_domain", 0},
	    {"SENDER", "sender_address", 0}, {"USER", "local_part", 0}};
	int32_t rc = HEDDLE_OK;
	for (size_t i = 0; i < sizeof rows / sizeof *rows && rc == HEDDLE_OK; i++) {
		struct heddle_slice v = variable(d, rows[i].variable);
		if (v.len || !rows[i].if_set)
			rc = set(d, rows[i].name, v);
	}
	const struct heddle_slice parts[] = {
	    variable(d, "local_part"), heddle_text("@"), variable(d, "domain")};
	struct heddle_slice recipient = heddle_text(""), path = heddle_text("");
	if (rc == HEDDLE_OK)
		rc = d->host->join(d->call, parts, 3, &recipient);
	if (rc == HEDDLE_OK)
		rc = set(d, "RECIPIENT", recipient);
	if (rc == HEDDLE_OK)
		rc = d->host->opt_text(d->call, d->in->cfg, OPT_PATH, &path);
	if (rc == HEDDLE_OK)
		rc = set(d, "PATH", path);
	if (rc == HEDDLE_OK)
		rc = set(d, "SHELL", heddle_text("/bin/sh"));
	const char *zone = getenv("TZ"); /* an agent's is the option timezone, or unset */
	if (rc == HEDDLE_OK && zone)
		rc = set(d, "TZ", heddle_text(zone));
	return rc == HEDDLE_OK ? set_own(d) : rc;
}
