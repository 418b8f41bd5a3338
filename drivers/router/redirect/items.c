/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Taking a redirection list apart: specification, 22.4 to 22.6. */
#include "redirect.h"

#include <strings.h>

#define MAX_DEPTH 10
#define MAX_INCLUDES                                                                             \
	1000 /* in all: some files that include each other often are a bomb long before they are \
	        deep */
#define INCLUDE_BYTES (16u << 20)
#define MAX_ADDRESS   512
#define MAX_CHILDREN  100000

static slice part(slice s, size_t from, size_t to)
{
	slice r = s;

	r.ptr = s.ptr + from;
	r.len = (uint32_t)(to - from);
	return r;
}

static int is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static slice trim(slice s)
{
	while (s.len && is_space(s.ptr[0]))
		s = part(s, 1, s.len);
	while (s.len && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

static int starts(slice s, const char *with)
{
	size_t n = strlen(with);

	return s.len >= n && strncasecmp(s.ptr, with, n) == 0;
}

static int32_t refuse(struct list *l, int32_t result, const char *text, slice about)
{
	slice parts[2] = {heddle_text(text), about}, all = heddle_text(text);

	(void)l->r->host->join(l->call, parts, 2, &all);
	l->r->host->reason(l->call, 0, heddle_text(NULL), all);
	return result;
}

/* The list is not as it may be: the address waits until somebody mends it. */
static int32_t faulty(struct list *l, const char *before, slice about, const char *after)
{
	slice parts[4] = {heddle_text(
	                      l->of_file ? "error in redirect file: " : "error in redirect data: "),
	    heddle_text(before), about, heddle_text(after)},
	      all = parts[0];

	(void)l->r->host->join(l->call, parts, 4, &all);
	l->r->host->reason(l->call, 0, heddle_text(NULL), all);
	return HEDDLE_DEFER;
}

/* Where an item ends: a comma or newline outside of quotes and comments.  "#" after a comma or
 * newline: a comment. */
static size_t item_end(slice s, size_t from)
{
	int quoted = 0;
	int depth = 0;
	size_t i = from;

	for (; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '\\' && quoted && i + 1 < s.len && s.ptr[i + 1] != '\n')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '\n')
			break;
		else if (quoted)
			continue;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (c == ',' && depth == 0)
			break;
	}
	return i;
}

/* Does the whole item stand in one pair of quotes? */
static slice unquote(slice s)
{
	if (s.len < 2 || s.ptr[0] != '"' || s.ptr[s.len - 1] != '"')
		return s;
	for (uint32_t i = 1; i + 1 < s.len; i++) {
		if (s.ptr[i] == '\\')
			i++;
		else if (s.ptr[i] == '"')
			return s;
	}
	return part(s, 1, s.len - 1u);
}

/* ---- addresses
 * ------------------------------------------------------------------------------------------- */

/* Comments and a phrase before <...> go; what is left must look like local@domain or local.  0: it
 * does not. */
static size_t bare_address(slice s, char *out, size_t cap)
{
	size_t n = 0;
	int quoted = 0, depth = 0, gap = 0, words = 0; /* words: more than one stood side by side */

	for (uint32_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (quoted || depth == 0) {
			if (c == '"')
				quoted = !quoted;
			if (!quoted && c == '<') {
				n = 0;
				gap = words = 0;
				continue;
			}
			if (!quoted && c == '>')
				return words ? 0 : n;
		}
		if (!quoted && c == '(') {
			depth++;
			continue;
		}
		if (!quoted && c == ')' && depth) {
			depth--;
			continue;
		}
		if (depth || (!quoted && is_space(c))) {
			gap = 1;
			continue;
		}
		if (n + 1 >= cap)
			return 0;
		if (gap && n && c != '@' && c != '.' && out[n - 1] != '@' && out[n - 1] != '.')
			words = 1;
		gap = 0;
		out[n++] = c;
	}
	return quoted || depth || words ? 0 : n;
}

static int is_atext(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c & 0x80) || (c && strchr("!#$%&'*+-/=?^_`{|}~.", c));
}

/* RFC 5321 4.1.2: a dot-string or quoted string, then perhaps @ and a domain or literal.  *at:
 * index of the @, or n. */
static int is_address(const char *p, size_t n, size_t *at)
{
	size_t i = 0;

	if (n == 0)
		return 0;
	if (p[0] == '"') {
		for (i = 1; i < n && p[i] != '"'; i++) {
			if (p[i] == '\\')
				i++;
			if (i < n && ((unsigned char)p[i] < ' ' ||
			                 p[i] == 127)) /* it would go into commands of SMTP */
				return 0;
		}
		if (i >= n)
			return 0;
		i++;
	} else {
		while (i < n && is_atext(p[i]))
			i++;
	}
	*at = i;
	if (i == 0)
		return 0;
	if (i == n)
		return 1;
	if (p[i] != '@' || i + 1 == n)
		return 0;
	for (i++; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') ||
		        (p[i] >= '0' && p[i] <= '9') || (p[i] & 0x80) ||
		        (p[i] && strchr(".-_[]:", p[i]))))
			return 0;
	return 1;
}

static int32_t qualifying_domain(struct list *l, int incoming, slice *out)
{
	static const char *const names[] = {
	    "qualify_recipient", "qualify_domain", "primary_hostname"};
	const struct redirect *r = l->r;

	*out = l->address->domain;
	if (incoming || redirect_flag(r, l->call, O_QUALIFY_PRESERVE_DOMAIN))
		return HEDDLE_OK;
	if (r->host->opt_text(l->call, r->cfg, O_QUALIFY_DOMAIN, out) == HEDDLE_OK &&
	    !(out->flags & HEDDLE_ABSENT) && out->len)
		return HEDDLE_OK;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (r->host->var_get(l->call, heddle_text(names[i]), out) == HEDDLE_OK &&
		    !(out->flags & HEDDLE_ABSENT) && out->len)
			return HEDDLE_OK;
	return refuse(l, HEDDLE_ERROR, "no domain to qualify with", heddle_text(""));
}

static int32_t add(struct list *l, uint32_t kind, slice text)
{
	struct heddle_route_child c = {.struct_size = sizeof c,
	    .kind = kind,
	    .text = text,
	    .errors_to = heddle_text(NULL),
	    .headers_add = heddle_text(NULL),
	    .headers_remove = heddle_text(NULL)};

	if (redirect_flag(l->r, l->call, O_ONE_TIME))
		c.flags |= HEDDLE_CHILD_ONE_TIME;
	if (redirect_flag(l->r, l->call, O_HIDE_CHILD_IN_ERRMSG))
		c.flags |= HEDDLE_CHILD_HIDDEN;
	if (++l->children > MAX_CHILDREN)
		return faulty(l, "too many items", heddle_text(""), "");
	return l->r->routing->add_child(l->call, &c);
}

/* An item that is not an address.  in_domain: its local part is well formed. */
/* An item that cannot be parsed: it spoils the whole list, or is left out and the administrator
 * told. */
static int32_t bad_item(struct list *l, slice item, int in_domain)
{
	const struct heddle_host *h = l->r->host;
	slice why =
	    heddle_text(in_domain ? "domain missing or malformed"
	                          : "missing or malformed local part (expected word or \"<\")");
	slice what[4] = {why, heddle_text(" in \""), item, heddle_text("\"")}, said = why,
	      all = why;

	(void)h->join(l->call, what, 4, &said);
	if (!redirect_flag(l->r, l->call, O_SKIP_SYNTAX_ERRORS))
		return faulty(l, "", said, "");
	slice line[3] = {
	    h->instance_name(l->r->cfg), heddle_text(" router: skipped error: "), said};
	(void)h->join(l->call, line, 3, &all);
	h->log(l->call, HEDDLE_LOG_MAIN, all);
	struct fault *f = h->alloc(l->call, sizeof *f, _Alignof(struct fault));
	if (!f)
		return HEDDLE_DEFER;
	*f = (struct fault){.why = why, .item = item};
	*l->faults_end = f;
	l->faults_end = &f->next;
	return HEDDLE_OK;
}

static int32_t add_address(struct list *l, slice item, int incoming)
{
	char buf[MAX_ADDRESS];
	size_t at = 0, n = bare_address(item, buf, sizeof buf);
	slice parts[3], whole = item;

	if (!is_address(buf, n, &at))
		return bad_item(
		    l, item, at < n && buf[at] == '@' && !memchr(item.ptr, ' ', item.len));
	parts[0] = heddle_bytes(buf, n, item.flags & HEDDLE_CLEAN);
	parts[1] = heddle_text("@");
	if (at < n) {
		int32_t rc = l->r->host->join(l->call, parts, 1, &whole);
		if (rc != HEDDLE_OK)
			return rc;
	} else {
		int32_t rc = qualifying_domain(l, incoming, &parts[2]);
		if (rc == HEDDLE_OK)
			rc = l->r->host->join(l->call, parts, 3, &whole);
		if (rc != HEDDLE_OK)
			return rc;
	}
	/* with check_ancestor a child that is an ancestor becomes the address itself again */
	if (redirect_flag(l->r, l->call, O_CHECK_ANCESTOR) &&
	    l->r->routing->is_ancestor(l->call, whole) == 1)
		return add(l, HEDDLE_C_ADDRESS, l->address->address);
	return add(l, HEDDLE_C_ADDRESS, whole);
}

/* "|" and "/" begin commands and files unless the item is an address with a domain. */
static int has_domain(slice item)
{
	char buf[MAX_ADDRESS];
	size_t at = 0, n = bare_address(item, buf, sizeof buf);

	return is_address(buf, n, &at) && at < n;
}

/* ---- special items
 * --------------------------------------------------------------------------------------- */

static slice line_of(slice s)
{
	const char *nl = memchr(s.ptr, '\n', s.len);

	return trim(nl ? part(s, 0, (size_t)(nl - s.ptr)) : s);
}

/* ":fail: text": an SMTP code in front of it may replace the default one if the first digit agrees.
 */
static int32_t say_text(struct list *l, int32_t result, slice text)
{
	int32_t code = 0, want = result == HEDDLE_FAIL ? 5 : 4;

	slice whole = text = line_of(text);
	if (text.len >= 4 && text.ptr[3] == ' ' && text.ptr[0] - '0' == want &&
	    text.ptr[1] >= '0' && text.ptr[1] <= '9' && text.ptr[2] >= '0' && text.ptr[2] <= '9') {
		if (!redirect_flag(l->r, l->call, O_FORBID_SMTP_CODE))
			code = (text.ptr[0] - '0') * 100 + (text.ptr[1] - '0') * 10 +
			       (text.ptr[2] - '0');
		text = trim(part(text, 4, text.len));
	}
	if (text.len == 0)
		whole = text =
		    heddle_text(result == HEDDLE_FAIL ? "forced rejection" : "forced defer");
	l->r->host->reason(l->call, code, text, whole);
	return result;
}

static int32_t not_below(struct list *l, slice path, slice folder)
{
	slice parts[4] = {heddle_text("included file "), path, heddle_text(" is not in directory "),
	    folder},
	      all = path;

	(void)l->r->host->join(l->call, parts, 4, &all);
	return faulty(l, "", all, "");
}

static int32_t include(struct list *l, slice path, uint32_t depth)
{
	const struct redirect *r = l->r;
	slice text, below;
	int32_t rc;

	path = trim(path);
	if (redirect_flag(r, l->call, O_FORBID_INCLUDE))
		return faulty(l, "\":include:\" is not permitted", heddle_text(""), "");
	if (depth >= MAX_DEPTH)
		return faulty(l, ":include: nested too deeply: ", path, "");
	if (++l->includes > MAX_INCLUDES || l->included > INCLUDE_BYTES)
		return faulty(l, "too much is included: ", path, "");
	if (!(path.flags & HEDDLE_CLEAN))
		return faulty(l, "Tainted name for included file: ", path, "");
	if (path.len == 0 || path.ptr[0] != '/')
		return faulty(l, "included file is not an absolute path: ", path, "");
	if (r->host->opt_text(l->call, r->cfg, O_INCLUDE_DIRECTORY, &below) == HEDDLE_OK &&
	    !(below.flags & HEDDLE_ABSENT) &&
	    (path.len <= below.len || strncmp(path.ptr, below.ptr, below.len) != 0 ||
	        path.ptr[below.len] != '/' || memmem(path.ptr, path.len, "/../", 4)))
		return not_below(l, path, below);
	if (!r->file)
		return refuse(l, HEDDLE_DEFER, "nobody can read ", path);
	rc = r->file->read_all(l->call, path, l->as, INCLUDE_BYTES, &text);
	if (rc == HEDDLE_FAIL)
		return faulty(
		    l, "failed to open included file ", path, ": No such file or directory");
	if (rc != HEDDLE_OK)
		return rc;
	l->included += text.len;
	return list_read(l, text, depth + 1);
}

/* *used: it was one; the whole rest of the list belongs to :fail: and :defer:. */
static int32_t special(struct list *l, slice item, slice rest, uint32_t depth, int *used)
{
	*used = 1;
	if (starts(item, ":include:"))
		return include(l, part(item, 9, item.len), depth);
	if (starts(item, ":blackhole:")) {
		if (redirect_flag(l->r, l->call, O_FORBID_BLACKHOLE))
			return faulty(l, "\":blackhole:\" is not permitted", heddle_text(""), "");
		l->verdict = HEDDLE_R_DISCARD;
		return HEDDLE_OK;
	}
	if (starts(item, ":fail:")) {
		if (!redirect_flag(l->r, l->call, O_ALLOW_FAIL))
			return faulty(l, "\":fail:\" is not permitted", heddle_text(""), "");
		return say_text(l, HEDDLE_FAIL, part(rest, 6, rest.len));
	}
	if (starts(item, ":defer:")) {
		if (!redirect_flag(l->r, l->call, O_ALLOW_DEFER))
			return faulty(l, "\":defer:\" is not permitted", heddle_text(""), "");
		return say_text(l, HEDDLE_DEFER, part(rest, 7, rest.len));
	}
	if (starts(item, ":unknown:")) {
		l->verdict = HEDDLE_R_DECLINE;
		return HEDDLE_OK;
	}
	*used = 0;
	return HEDDLE_OK;
}

static int32_t add_command(struct list *l, slice item)
{
	if (redirect_flag(l->r, l->call, O_FORBID_PIPE) || redirect_flag(l->r, l->call, O_ONE_TIME))
		return faulty(l, "delivery to pipe forbidden", heddle_text(""), "");
	if (!(item.flags & HEDDLE_CLEAN))
		return faulty(l, "Tainted command: ", item, "");
	return add(l, HEDDLE_C_PIPE, item);
}

static int32_t add_file(struct list *l, slice item)
{
	if (redirect_flag(l->r, l->call, O_FORBID_FILE) || redirect_flag(l->r, l->call, O_ONE_TIME))
		return faulty(l, "delivery to file forbidden", heddle_text(""), "");
	if (!(item.flags & HEDDLE_CLEAN))
		return faulty(l, "Tainted file name: ", item, "");
	return add(l, item.ptr[item.len - 1] == '/' ? HEDDLE_C_DIRECTORY : HEDDLE_C_FILE, item);
}

static int32_t one_item(struct list *l, slice item, slice rest, uint32_t depth, int *stop)
{
	int used;
	int32_t rc;

	item = unquote(trim(item));
	if (item.len == 0)
		return HEDDLE_OK;
	rc = special(l, item, rest, depth, &used);
	if (used) {
		*stop = l->verdict != 0 || rc != HEDDLE_OK;
		return rc;
	}
	if (item.ptr[0] == '|' && !has_domain(item))
		return add_command(l, item);
	if (item.ptr[0] == '/' && !has_domain(item))
		return add_file(l, item);
	if (item.ptr[0] == '\\')
		return add_address(l, part(item, 1, item.len), 1);
	return add_address(l, item, 0);
}

int32_t list_read(struct list *l, slice text, uint32_t depth)
{
	size_t at = 0;
	int stop = 0;

	while (at < text.len && !stop) {
		while (at < text.len && (is_space(text.ptr[at]) || text.ptr[at] == ','))
			at++;
		if (at >= text.len)
			break;
		if (text.ptr[at] == '#') {
			while (at < text.len && text.ptr[at] != '\n')
				at++;
			continue;
		}
		size_t end = item_end(text, at);
		int32_t rc =
		    one_item(l, part(text, at, end), part(text, at, text.len), depth, &stop);
		if (rc != HEDDLE_OK)
			return rc;
		at = end;
	}
	return HEDDLE_OK;
}
