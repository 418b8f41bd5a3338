/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lookup/lsearch: a text file of keys and data; and, as its aliases, the kinds whose keys are
 * patterns (wild.c). The file is read and indexed once for a handle and never changed afterwards,
 * so one handle serves all threads; fresh() says when the file is another one.  Keys are compared
 * without regard to case; of equal keys the first counts.
 */
#include "lsearch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX ((off_t)256 << 20)
#define RACY_NS  50000000LL /* a file this young may change once more without a new time stamp */

/* By the name that is used. */
static enum kind kind_of(struct heddle_slice name)
{
	static const struct {
		const char *name;
		enum kind kind;
	} names[] = {
	    {"wildlsearch", KIND_WILD}, {"nwildlsearch", KIND_NWILD}, {"iplsearch", KIND_IP}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (name.len == strlen(names[i].name) &&
		    memcmp(name.ptr, names[i].name, name.len) == 0)
			return names[i].kind;
	return KIND_PLAIN;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct inst *i = malloc(sizeof *i);
	(void)call, (void)state;
	if (!i)
		return HEDDLE_DEFER;
	i->host = host;
	i->kind = kind_of(host->instance_name ? host->instance_name(cfg) : heddle_text(""));
	*out = i;
	return HEDDLE_OK;
}

static int32_t refuse(
    const struct inst *in, struct heddle_call *call, int32_t result, const char *text)
{
	in->host->reason(call, 0, heddle_text(NULL), heddle_bytes(text, strlen(text), 0));
	return result;
}

static int32_t refuse_file(
    const struct inst *in, struct heddle_call *call, const char *path, const char *why)
{
	char text[400];
	(void)snprintf(text, sizeof text, "failed to open %s for linear search: %s", path, why);
	return refuse(in, call, HEDDLE_DEFER, text);
}

static const char *errno_text(int n, char *buf, size_t size)
{
	return strerror_r(n, buf, size);
}

/* ---- parsing
 * -------------------------------------------------------------------------------------------- */

static int is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lsearch_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape of a quoted key; p is behind the backslash.  Returns the character, moves p. */
static char unescape(const char **p, const char *end)
{
	static const char from[] = "nrtbfv", to[] = "\n\r\t\b\f\v";
	char c = *(*p)++;
	const char *known = memchr(from, c, sizeof from - 1);
	if (known)
		return to[known - from];
	if (c == 'x' && *p < end && hex(**p) >= 0) {
		int v = hex(*(*p)++);
		if (*p < end && hex(**p) >= 0)
			v = v * 16 + hex(*(*p)++);
		return (char)v;
	}
	if (c >= '0' && c <= '7') {
		int v = c - '0';
		for (int i = 0; i < 2 && *p < end && **p >= '0' && **p <= '7'; i++)
			v = v * 8 + (*(*p)++ - '0');
		return (char)v;
	}
	return c;
}

/* The key at the beginning of [p, end); writes it at w.  Returns where the rest begins. */
static const char *take_key(const char *p, const char *end, char *w, uint32_t *out_len)
{
	char *at = w;
	if (*p == '"') {
		p++;
		while (p < end && *p != '"') {
			if (*p == '\\' && p + 1 < end) {
				p++;
				*at++ = unescape(&p, end);
			} else {
				*at++ = *p++;
			}
		}
		if (p < end)
			p++;
	} else {
		while (p < end && *p != ':' && !is_space(*p))
			*at++ = *p++;
	}
	*out_len = (uint32_t)(at - w);
	return p;
}

static const char *line_end(const char *p, const char *end)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));
	return nl ? nl : end;
}

static const char *trim_end(const char *p, const char *end)
{
	while (end > p && is_space(end[-1]))
		end--;
	return end;
}

static int add_entry(struct index *ix, const struct entry *e)
{
	if (ix->count == ix->cap) {
		uint32_t cap = ix->cap ? ix->cap * 2 : 64;
		struct entry *more = reallocarray(ix->entries, cap, sizeof *more);
		if (!more)
			return 0;
		ix->entries = more;
		ix->cap = cap;
	}
	ix->entries[ix->count++] = *e;
	return 1;
}

/* The lines that continue an item: appended at w, joined by one space.  Comments and empty lines
 * between do not count. Returns where the next item begins. */
static const char *take_continuation(const char *p, const char *end, char **w)
{
	while (p < end) {
		const char *eol = line_end(p, end), *next = eol < end ? eol + 1 : end;
		const char *stop = trim_end(p, eol);
		if (stop > p && *p != '#') {
			if (!is_space(*p))
				break;
			while (p < stop && is_space(*p))
				p++;
			*(*w)++ = ' ';
			memmove(*w, p, (size_t)(stop - p));
			*w += stop - p;
		}
		p = next;
	}
	return p;
}

/* Rewrites the text in place: what is written never overtakes what is read. */
static int parse(struct index *ix, size_t size)
{
	const char *p = ix->text, *end = ix->text + size;
	char *w = ix->text;
	while (p < end) {
		const char *eol = line_end(p, end), *next = eol < end ? eol + 1 : end;
		const char *stop = trim_end(p, eol);
		if (stop == p || *p == '#' || is_space(*p)) {
			p = next;
			continue;
		}
		struct entry e = {.key = (uint32_t)(w - ix->text)};
		p = take_key(p, stop, w, &e.key_len);
		w += e.key_len;
		e.rest = (uint32_t)(w - ix->text);
		size_t n = p < stop ? (size_t)(stop - p) : 0;
		memmove(w, p, n);
		size_t skip = 0;
		while (skip < n && is_space(w[skip]))
			skip++;
		if (skip < n && w[skip] == ':')
			skip++;
		while (skip < n && is_space(w[skip]))
			skip++;
		e.data = e.rest + (uint32_t)skip;
		w += n;
		p = take_continuation(next, end, &w);
		e.rest_len = (uint32_t)(w - ix->text) - e.rest;
		if (!add_entry(ix, &e))
			return 0;
	}
	return 1;
}

/* ---- the index
 * ------------------------------------------------------------------------------------------ */

static uint32_t hash(const char *p, uint32_t n)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (uint32_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)lsearch_lower(p[i])) * UINT64_C(1099511628211);
	return (uint32_t)(h ^ h >> 32);
}

static int same_key(const struct index *ix, const struct entry *e, const char *p, uint32_t n)
{
	if (e->key_len != n)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (lsearch_lower(ix->text[e->key + i]) != lsearch_lower(p[i]))
			return 0;
	return 1;
}

/* The slot of a key, or the free one where it would be. */
static uint32_t slot_of(const struct index *ix, const char *p, uint32_t n)
{
	uint32_t at = hash(p, n) & ix->mask;
	while (ix->slots[at] && !same_key(ix, &ix->entries[ix->slots[at] - 1], p, n))
		at = (at + 1) & ix->mask;
	return at;
}

static int build(struct index *ix)
{
	uint32_t size = 16;
	while (size < ix->count * 2 && size < UINT32_C(1) << 31)
		size *= 2;
	ix->slots = calloc(size, sizeof *ix->slots);
	if (!ix->slots)
		return 0;
	ix->mask = size - 1;
	for (uint32_t i = 0; i < ix->count; i++) {
		const struct entry *e = &ix->entries[i];
		uint32_t at = slot_of(ix, ix->text + e->key, e->key_len);
		if (!ix->slots[at])
			ix->slots[at] = i + 1;
	}
	return 1;
}

/* ---- operations
 * ----------------------------------------------------------------------------------------- */

static void index_free(struct index *ix)
{
	if (!ix)
		return;
	lsearch_forget(ix);
	free(ix->path);
	free(ix->text);
	free(ix->entries);
	free(ix->slots);
	free(ix);
}

static long long now_ns(void)
{
	struct timespec ts = {0};
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* 0, or an errno. */
static int read_all(struct index *ix, int fd, size_t *out_size)
{
	size_t have = 0, size = (size_t)ix->st.st_size;
	ix->text = malloc(size + 1);
	if (!ix->text)
		return ENOMEM;
	while (have < size) {
		ssize_t n = read(fd, ix->text + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	*out_size = have;
	return 0;
}

/* 0, or an errno. */
static int load(struct index *ix, int fd, size_t *out_size)
{
	ix->read_ns = now_ns();
	if (fstat(fd, &ix->st) < 0)
		return errno;
	if (!S_ISREG(ix->st.st_mode))
		return EINVAL;
	if (ix->st.st_size > FILE_MAX)
		return EFBIG;
	return read_all(ix, fd, out_size);
}

static int32_t open_file(
    struct heddle_call *call, void *inst, struct heddle_slice source, void **handle)
{
	const struct inst *in = inst;
	const char *path;
	char buf[128];
	size_t size = 0;
	if (in->host->cstr(call, source, &path) != HEDDLE_OK)
		return refuse(
		    in, call, HEDDLE_ERROR, "NUL character in the name of an lsearch file");
	struct index *ix = calloc(1, sizeof *ix);
	if (!ix || !(ix->path = strdup(path))) {
		free(ix);
		return refuse(in, call, HEDDLE_DEFER, "lsearch: no memory");
	}
	in->host->block_begin(call);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int n = fd < 0 ? errno : load(ix, fd, &size);
	if (fd >= 0)
		(void)close(fd);
	if (!n && (!parse(ix, size) ||
	              !(in->kind == KIND_PLAIN ? build(ix) : lsearch_prepare(ix, in->kind))))
		n = ENOMEM;
	in->host->block_end(call);
	if (n) {
		int32_t rc = refuse_file(in, call, path, errno_text(n, buf, sizeof buf));
		index_free(ix);
		return rc;
	}
	*handle = ix;
	return HEDDLE_OK;
}

/* A file that is younger than a time stamp can tell is read again once it is not. */
static int32_t fresh(struct heddle_call *call, void *inst, void *handle)
{
	const struct index *ix = handle;
	struct stat st;
	(void)call, (void)inst;
	if (stat(ix->path, &st) < 0 || st.st_dev != ix->st.st_dev || st.st_ino != ix->st.st_ino ||
	    st.st_size != ix->st.st_size || st.st_mtim.tv_sec != ix->st.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != ix->st.st_mtim.tv_nsec)
		return HEDDLE_FAIL;
	long long mtime = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
	int racy = mtime + RACY_NS >= ix->read_ns;
	return racy && now_ns() >= ix->read_ns + RACY_NS / 5 ? HEDDLE_FAIL : HEDDLE_OK;
}

static int wants_full(struct heddle_slice options)
{
	static const char word[] = "ret=full";
	uint32_t n = sizeof word - 1;
	for (uint32_t i = 0; i + n <= options.len; i++)
		if ((i == 0 || options.ptr[i - 1] == ',') && !memcmp(options.ptr + i, word, n) &&
		    (i + n == options.len || options.ptr[i + n] == ','))
			return 1;
	return 0;
}

static int32_t find(struct heddle_call *call, void *inst, void *handle, struct heddle_slice key,
    struct heddle_slice options, struct heddle_found *out)
{
	const struct inst *in = inst;
	const struct index *ix = handle;
	uint32_t n = 0;
	if (in->kind == KIND_PLAIN)
		n = ix->slots[slot_of(ix, key.ptr, key.len)];
	else {
		int32_t rc = lsearch_scan(call, in, ix, key, &n);
		if (rc != HEDDLE_OK)
			return rc;
	}
	if (!n)
		return HEDDLE_FAIL;
	const struct entry *e = &ix->entries[n - 1];
	uint32_t end = e->rest + e->rest_len;
	/* the site's own text: clean */
	struct heddle_slice data = heddle_bytes(ix->text + e->data, end - e->data, HEDDLE_CLEAN);
	struct heddle_slice full = heddle_bytes(ix->text + e->key, end - e->key, HEDDLE_CLEAN);
	out->cache_seconds = 0; /* the index is quicker than a cache */
	return in->host->join(call, wants_full(options) ? &full : &data, 1, &out->value);
}

static void close_file(void *inst, void *handle)
{
	(void)inst;
	index_free(handle);
}

static const struct heddle_lookup_ops ops = {
    .struct_size = sizeof ops,
    .kind = HEDDLE_L_KEY | HEDDLE_L_FILE | HEDDLE_L_SHARED,
    .open = open_file,
    .fresh = fresh,
    .find = find,
    .close = close_file,
};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_LOOKUP,
    .name = "lsearch",
    .aliases = "wildlsearch nwildlsearch iplsearch",
    .version = "1.0",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle project",
    .summary = "keys and data in a text file",
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
