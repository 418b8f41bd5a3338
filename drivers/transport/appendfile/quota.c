/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How full a mailbox may be: quota and its kin, and the warning when it fills.  Exim specification,
 * chapter 26. An mbox is held against its limit while it is locked; two deliveries at once may take
 * a folder over its own.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "appendfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pcre2.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MATCH_LIMIT   100000U /* steps of the expression on one name */
#define DEPTH_MAX     32
#define RECIPIENT_MAX 50

static const char default_warning[] =
    "This message is automatically created by mail delivery software.\n\n"
    "The size of your mailbox has exceeded a warning threshold that is\n"
    "set by the system administrator.\n";

/* ---- the options
 * ---------------------------------------------------------------------------------------- */

/* "10", "1.5M", "2G/no_check", "75%": a number, perhaps with one of KMG, perhaps with what stands
 * in tail, at the end. */
static int read_size(struct heddle_slice s, int64_t *out, struct heddle_slice *tail)
{
	uint32_t i = 0;
	int negative = s.len && s.ptr[0] == '-';
	double value = 0, place = 1;

	for (i = negative ? 1 : 0; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
		value = value * 10 + (s.ptr[i] - '0');
	if (i == (negative ? 1U : 0U))
		return 0;
	if (i < s.len && s.ptr[i] == '.')
		for (i++; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
			value += (s.ptr[i] - '0') * (place /= 10);
	static const char units[] = "KMG";
	for (int u = 0; i < s.len && units[u]; u++)
		if (s.ptr[i] == units[u] || s.ptr[i] == units[u] + 'a' - 'A') {
			for (; u >= 0; u--)
				value *= 1024;
			i++;
			break;
		}
	*out = value > 9e18 ? INT64_MAX : negative ? -(int64_t)value : (int64_t)value;
	*tail = heddle_bytes(s.ptr + i, s.len - i, 0);
	return 1;
}

static int is_word(struct heddle_slice s, const char *word)
{
	return s.len == strlen(word) && (s.len == 0 || memcmp(s.ptr, word, s.len) == 0);
}

/* An option that is expanded and then a size; unset: the value stays. */
static int32_t size_option(struct delivery *d, uint32_t option, const char *name, int64_t *out,
    const char *may_follow, int *follows)
{
	struct heddle_slice s, tail, in = d->host->instance_name(d->in->cfg);
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, option, &s);

	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, 0, "Expansion of \"%s\" in %.*s transport failed", name,
		    (int)in.len, in.ptr);
	if (s.flags & HEDDLE_ABSENT)
		return HEDDLE_OK;
	if (!read_size(s, out, &tail) || (tail.len && !is_word(tail, may_follow)))
		return say(d, HEDDLE_DEFER, 0, "Malformed value \"%.*s\" for %s in %.*s transport",
		    (int)s.len, s.len ? s.ptr : "", name, (int)in.len, in.ptr);
	*follows = tail.len != 0;
	return HEDDLE_OK;
}

int32_t quota_read(struct delivery *d)
{
	struct quota *q = &d->quota;
	int percent = 0, none;

	q->size = q->count = -1;
	int32_t rc = size_option(d, OPT_QUOTA, "quota", &q->limit, "/no_check", &q->size_unchecked);
	if (rc == HEDDLE_OK)
		rc = size_option(d, OPT_QUOTA_WARN_THRESHOLD, "quota_warn_threshold",
		    &q->warn_above, "%", &percent);
	if (q->limit < 0)
		q->limit = 0;
	if (rc == HEDDLE_OK && percent)
		q->warn_above = (int64_t)((double)q->limit * (double)q->warn_above / 100);
	q->is_wanted = q->limit > 0 || q->warn_above > 0;
	if (rc != HEDDLE_OK || !q->is_wanted)
		return rc;
	rc = size_option(d, OPT_QUOTA_FILECOUNT, "quota_filecount", &q->count_limit, "/no_check",
	    &q->count_unchecked);
	if (rc == HEDDLE_OK)
		rc = size_option(d, OPT_MAILBOX_SIZE, "mailbox_size", &q->size, "", &none);
	if (rc == HEDDLE_OK)
		rc = size_option(
		    d, OPT_MAILBOX_FILECOUNT, "mailbox_filecount", &q->count, "", &none);
	return rc;
}

/* ---- what a folder holds
 * -------------------------------------------------------------------------------- */

struct sum {
	const struct appendfile *in;
	int64_t size, count;
};

/* The size that the name tells; -1: none. */
static int64_t size_in_name(const struct appendfile *in, const char *name)
{
	int64_t size = -1;
	pcre2_match_data *data = in->size_regex ? pcre2_match_data_create(2, NULL) : NULL;
	pcre2_match_context *limits = data ? pcre2_match_context_create(NULL) : NULL;

	if (limits) {
		(void)pcre2_set_match_limit(limits, MATCH_LIMIT);
		if (pcre2_match(in->size_regex, (PCRE2_SPTR)name, PCRE2_ZERO_TERMINATED, 0, 0, data,
		        limits) == 2) {
			const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
			char *end = NULL;
			errno = 0;
			int64_t v = strtoll(name + at[2], &end, 10);
			if (end > name + at[2] && errno == 0 && v >= 0)
				size = v;
		}
	}
	pcre2_match_context_free(limits);
	pcre2_match_data_free(data);
	return size;
}

static void add_folder(struct sum *s, int fd, int depth);

static void add_entry(struct sum *s, int folder, const char *name, int depth)
{
	struct stat st;
	int64_t told = size_in_name(s->in, name);

	s->count++; /* folders too, as Exim counts them */
	if (told >= 0) {
		s->size += told;
		return;
	}
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return; /* it has gone meanwhile */
	if (S_ISREG(st.st_mode))
		s->size += (int64_t)st.st_size / (st.st_nlink > 0 ? (int64_t)st.st_nlink : 1);
	else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
		add_folder(s, openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
		    depth + 1);
}

/* Takes the descriptor. */
static void add_folder(struct sum *s, int fd, int depth)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir && fd >= 0)
		(void)close(fd);
	if (!dir)
		return;
	while ((e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			add_entry(s, fd, e->d_name, depth);
	(void)closedir(dir);
}

/* quota_directory; else the folder itself, or the one above if a file says that it is a Maildir++
 * folder. */
static int32_t counted_folder(struct delivery *d, const char **out)
{
	struct heddle_slice s;
	struct stat st;
	const char *mark = d->in->maildir ? format(d, "%s/maildirfolder", d->path) : NULL,
	           *slash = strrchr(d->path, '/');
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_QUOTA_DIRECTORY, &s);

	*out = d->path;
	if (rc != HEDDLE_OK)
		return say(d, HEDDLE_DEFER, 0, "Expansion of \"quota_directory\" failed");
	if (!(s.flags & HEDDLE_ABSENT)) {
		if (s.len == 0 || s.ptr[0] != '/' || d->host->cstr(d->call, s, out) != HEDDLE_OK)
			return say(d, HEDDLE_DEFER, 0, "quota_directory is not an absolute path");
	} else if (mark && stat(mark, &st) == 0 && S_ISREG(st.st_mode) && slash > d->path) {
		*out = format(d, "%.*s", (int)(slash - d->path), d->path);
	}
	return *out ? HEDDLE_OK : say(d, HEDDLE_DEFER, 0, "out of memory");
}

int32_t quota_count_folder(struct delivery *d)
{
	struct quota *q = &d->quota;
	struct sum s = {.in = d->in};
	const char *folder;

	if (!q->is_wanted || (q->size >= 0 && (q->count >= 0 || q->count_limit <= 0)))
		return HEDDLE_OK;
	int32_t rc = counted_folder(d, &folder);
	if (rc != HEDDLE_OK)
		return rc;
	add_folder(&s, open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
	if (q->size < 0)
		q->size = s.size;
	if (q->count < 0)
		q->count = s.count;
	return HEDDLE_OK;
}

/* ---- is there room?
 * ------------------------------------------------------------------------------------- */

void quota_unread_since(struct delivery *d, int64_t when)
{
	int64_t idle = (int64_t)time(NULL) - when;
	d->unread_s = idle > 0 ? idle : 0;
}

static int64_t message_size(struct delivery *d)
{
	struct heddle_slice s, tail;
	int64_t size = 0;

	if (d->host->var_get(d->call, heddle_text("message_size"), &s) != HEDDLE_OK ||
	    !read_size(s, &size, &tail))
		size = 0;
	return size;
}

int32_t quota_check(struct delivery *d, const char *name)
{
	struct quota *q = &d->quota;
	int inclusive = d->in->quota_is_inclusive;

	if (q->limit <= 0)
		return HEDDLE_OK;
	const char *which =
	    q->size + (inclusive ? message_size(d) : 0) > q->limit && !q->size_unchecked ? ""
	                                                                                 : NULL;
	if (d->to_folder && q->count_limit > 0 && q->count + inclusive > q->count_limit &&
	    !q->count_unchecked)
		which = "filecount ";
	if (!which)
		return HEDDLE_OK;
	d->flags |= HEDDLE_X_QUOTA;
	return say(d, HEDDLE_DEFER, 0,
	    "mailbox is full (MTA-imposed %squota exceeded while writing to %s)", which, name);
}

/* ---- the warning
 * ---------------------------------------------------------------------------------------- */

/* The addresses of a To: line: what is in angle brackets, else all but spaces and comments. */
static uint32_t recipients(struct heddle_slice line, struct heddle_slice *to, uint32_t room)
{
	uint32_t n = 0, begin = 0;
	int quoted = 0, comment = 0;

	for (uint32_t i = 0; i <= line.len && n < room; i++) {
		char c = i < line.len ? line.ptr[i] : ',';
		if (i < line.len && c == '"' && !comment)
			quoted = !quoted;
		comment += !quoted && c == '(' ? 1 : !quoted && c == ')' && comment ? -1 : 0;
		if (c != ',' || (i < line.len && (quoted || comment)))
			continue;
		uint32_t from = begin, end = i;
		const char *open = end > from ? memchr(line.ptr + from, '<', end - from) : NULL;
		const char *close =
		    open ? memchr(open, '>', (size_t)(line.ptr + end - open)) : NULL;
		if (close) {
			from = (uint32_t)(open + 1 - line.ptr);
			end = (uint32_t)(close - line.ptr);
		}
		while (from < end && strchr(" \t\n", line.ptr[from]))
			from++;
		while (end > from && strchr(" \t\n", line.ptr[end - 1]))
			end--;
		if (end > from)
			to[n++] = heddle_bytes(line.ptr + from, end - from, 0);
		begin = i + 1;
	}
	return n;
}

/* The line of this name, without it, with its continuations; len 0: none. */
static struct heddle_slice field_of(struct heddle_slice header, const char *name)
{
	size_t n = strlen(name);

	for (uint32_t i = 0; i + n < header.len; i++) {
		if ((i && header.ptr[i - 1] != '\n') || strncasecmp(header.ptr + i, name, n) != 0)
			continue;
		uint32_t end = i + (uint32_t)n;
		while (end < header.len &&
		       !(header.ptr[end] == '\n' &&
		           (end + 1 == header.len || !strchr(" \t", header.ptr[end + 1]))))
			end++;
		return heddle_bytes(header.ptr + i + n, end - i - (uint32_t)n, 0);
	}
	return heddle_bytes(header.ptr, 0, 0);
}

static struct heddle_slice variable(struct delivery *d, const char *name)
{
	struct heddle_slice v;
	return d->host->var_get(d->call, heddle_text(name), &v) == HEDDLE_OK ? v : heddle_text("");
}

/* Header and body of the warning, whole. */
static int32_t warning_text(
    struct delivery *d, struct heddle_slice *header, struct heddle_slice *body)
{
	struct heddle_slice text;
	int32_t rc = d->host->opt_text(d->call, d->in->cfg, OPT_QUOTA_WARN_MESSAGE, &text);

	if (rc != HEDDLE_OK)
		return rc;
	if (text.flags & HEDDLE_ABSENT) {
		const struct heddle_slice parts[] = {heddle_text("To: "), variable(d, "local_part"),
		    heddle_text("@"), variable(d, "domain"),
		    heddle_text("\nSubject: Your mailbox\n")};
		*body = heddle_text(default_warning);
		return d->host->join(d->call, parts, 5, header);
	}
	for (uint32_t i = 0; i + 1 < text.len; i++)
		if (text.ptr[i] == '\n' && text.ptr[i + 1] == '\n') {
			*header = heddle_bytes(text.ptr, i + 1, 0);
			*body = heddle_bytes(text.ptr + i + 2, text.len - i - 2, 0);
			return HEDDLE_OK;
		}
	*header = text;
	*body = heddle_text("");
	return HEDDLE_OK;
}

static int32_t send_warning(struct delivery *d)
{
	struct heddle_slice header, body, id, to[RECIPIENT_MAX];
	struct heddle_draft *draft = NULL;
	int32_t rc = warning_text(d, &header, &body);
	if (rc != HEDDLE_OK)
		return rc;
	uint32_t n = recipients(field_of(header, "To:"), to, RECIPIENT_MAX);
	if (n == 0)
		return HEDDLE_FAIL;
	struct heddle_slice qualify = variable(d, "qualify_domain"),
	                    own = field_of(header, "From:");
	int ends = header.len && header.ptr[header.len - 1] == '\n', has_from = own.len != 0;
	const struct heddle_slice parts[] = {heddle_text("Auto-Submitted: auto-replied\n"),
	    heddle_text(has_from ? "" : "From: Mail Delivery System <Mailer-Daemon@"),
	    has_from ? heddle_text("") : qualify, heddle_text(has_from ? "" : ">\n"), header,
	    heddle_text(ends ? "" : "\n")};
	rc = d->host->join(d->call, parts, 6, &header);
	if (rc == HEDDLE_OK)
		rc = d->message->draft(d->call, heddle_text(""), to, n, header, &draft);
	if (rc == HEDDLE_OK && body.len)
		rc = d->message->draft_write(d->call, draft, body.ptr, body.len);
	if (rc == HEDDLE_OK)
		rc = d->message->commit(d->call, draft, &id);
	return rc;
}

void quota_warn(struct delivery *d)
{
	const struct quota *q = &d->quota;

	if (q->warn_above <= 0 || q->size > q->warn_above ||
	    q->size + (int64_t)d->written <= q->warn_above)
		return;
	/* the message is delivered: that nobody is warned of it does not deliver it again */
	if (send_warning(d) != HEDDLE_OK)
		d->host->log(
		    d->call, HEDDLE_LOG_WARN, heddle_text("quota_warn_message could not be sent"));
}

/* ---- the expression
 * ------------------------------------------------------------------------------------- */

int quota_compile(const struct heddle_slice *text, void **out)
{
	int number;
	PCRE2_SIZE at;

	*out = text->len ? pcre2_compile((PCRE2_SPTR)text->ptr, text->len, 0, &number, &at, NULL)
	                 : NULL;
	return *out != NULL || text->len == 0;
}

void quota_free(void *code)
{
	pcre2_code_free(code);
}
