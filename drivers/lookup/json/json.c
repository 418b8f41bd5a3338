/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lookup/json: an element of a JSON file, chosen by a list of selectors.
 * The file is parsed once for a handle.  json-c's objects have reference counts without atomics,
 * and printing writes into them: a handle is therefore not SHARED, and the kernel gives it to one
 * thread at a time.
 */
#include <heddle/lookup.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX \
	((off_t)8 << 20) /* json-c parses some 5 MB a second and keeps each value as an object */
#define DEPTH_MAX 32
#define RACY_NS   50000000LL

struct document {
	char *path;
	struct json_object *root;
	struct stat st;
	long long read_ns;
};

struct inst {
	const struct heddle_host *host;
};

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct inst *i = malloc(sizeof *i);
	(void)call, (void)state, (void)cfg;
	if (!i)
		return HEDDLE_DEFER;
	i->host = host;
	*out = i;
	return HEDDLE_OK;
}

static int32_t refuse(const struct inst *in, struct heddle_call *call, int32_t result,
    const char *what, const char *path, const char *why)
{
	char text[400];
	int n = snprintf(text, sizeof text, "%s%s%s%s", what, path, *why ? ": " : "", why);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
	in->host->reason(call, 0, heddle_text(NULL), heddle_bytes(text, len, 0));
	return result;
}

static void document_free(struct document *d)
{
	if (!d)
		return;
	if (d->root)
		json_object_put(d->root);
	free(d->path);
	free(d);
}

static long long now_ns(void)
{
	struct timespec ts = {0};
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* 0, or an errno; *out is terminated and the caller's. */
static int read_all(struct document *d, int fd, char **out, size_t *out_size)
{
	d->read_ns = now_ns();
	if (fstat(fd, &d->st) < 0)
		return errno;
	if (!S_ISREG(d->st.st_mode))
		return EINVAL;
	if (d->st.st_size > FILE_MAX)
		return EFBIG;
	size_t have = 0, size = (size_t)d->st.st_size;
	char *text = malloc(size + 1);
	if (!text)
		return ENOMEM;
	while (have < size) {
		ssize_t n = read(fd, text + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int failed = errno;
			free(text);
			return failed;
		}
		if (n == 0)
			break;
		have += (size_t)n;
	}
	text[have] = '\0';
	*out = text;
	*out_size = have;
	return 0;
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* JSON and nothing else: json-c accepts 'single quotes', NaN, comments and control characters even
 * when it is strict. */
static int is_plain_json(const char *text, size_t size)
{
	int in_string = 0;
	for (size_t i = 0; i < size; i++) {
		char c = text[i];
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (in_string && (unsigned char)c < 0x20)
			return 0;
		else if (!in_string && !is_blank(c) &&
		         (!c || !strchr("{}[],:+-.0123456789eEtrufalsn", c)))
			return 0;
	}
	return 1;
}

/* NULL: parsed; else what is wrong. */
static const char *parse(struct document *d, const char *text, size_t size)
{
	while (size && is_blank(text[size - 1]))
		size--;
	if (!size)
		return "empty";
	if (!is_plain_json(text, size))
		return "not strict JSON";
	struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	if (!tok)
		return "no memory";
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	d->root = json_tokener_parse_ex(tok, text, (int)size);
	enum json_tokener_error e = json_tokener_get_error(tok);
	if (e == json_tokener_continue) { /* a number may go on: it ends here */
		d->root = json_tokener_parse_ex(tok, "", 1);
		e = json_tokener_get_error(tok);
	} else if (e == json_tokener_success && json_tokener_get_parse_end(tok) != size) {
		e = json_tokener_error_parse_unexpected;
	}
	json_tokener_free(tok);
	return e == json_tokener_success ? NULL : json_tokener_error_desc(e);
}

static int32_t load(const struct inst *in, struct heddle_call *call, struct document *d)
{
	char *text = NULL, buf[128];
	size_t size = 0;
	in->host->block_begin(call);
	int fd = open(d->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int n = fd < 0 ? errno : read_all(d, fd, &text, &size);
	if (fd >= 0)
		(void)close(fd);
	const char *wrong = n ? NULL : parse(d, text, size);
	free(text);
	in->host->block_end(call);
	if (n)
		return refuse(in, call, HEDDLE_DEFER, "failed to open ", d->path,
		    strerror_r(n, buf, sizeof buf));
	if (wrong)
		return refuse(in, call, HEDDLE_DEFER, "JSON file ", d->path, wrong);
	return HEDDLE_OK;
}

static int32_t open_file(
    struct heddle_call *call, void *inst, struct heddle_slice source, void **handle)
{
	const struct inst *in = inst;
	const char *path;
	if (in->host->cstr(call, source, &path) != HEDDLE_OK)
		return refuse(
		    in, call, HEDDLE_ERROR, "NUL character in the name of a JSON file", "", "");
	struct document *d = calloc(1, sizeof *d);
	if (!d || !(d->path = strdup(path))) {
		free(d);
		return refuse(in, call, HEDDLE_DEFER, "json: no memory", "", "");
	}
	int32_t rc = load(in, call, d);
	if (rc != HEDDLE_OK) {
		document_free(d);
		return rc;
	}
	*handle = d;
	return HEDDLE_OK;
}

/* A file that is younger than a time stamp can tell is read again once it is not. */
static int32_t fresh(struct heddle_call *call, void *inst, void *handle)
{
	const struct document *d = handle;
	struct stat st;
	(void)call, (void)inst;
	if (stat(d->path, &st) < 0 || st.st_dev != d->st.st_dev || st.st_ino != d->st.st_ino ||
	    st.st_size != d->st.st_size || st.st_mtim.tv_sec != d->st.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != d->st.st_mtim.tv_nsec)
		return HEDDLE_FAIL;
	long long mtime = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
	int racy = mtime + RACY_NS >= d->read_ns;
	return racy && now_ns() >= d->read_ns + RACY_NS / 5 ? HEDDLE_FAIL : HEDDLE_OK;
}

/* All digits: an index.  Larger than any array: not there. */
static int is_number(struct heddle_slice s, size_t *out)
{
	size_t n = 0;
	if (!s.len)
		return 0;
	for (uint32_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return 0;
		if (n < SIZE_MAX / 20)
			n = n * 10 + (size_t)(s.ptr[i] - '0');
	}
	*out = n;
	return 1;
}

/* NULL: not there, or null. */
static struct json_object *child(struct heddle_call *call, const struct inst *in,
    struct json_object *of, struct heddle_slice selector)
{
	size_t n;
	const char *name;
	struct json_object *found = NULL;
	if (is_number(selector, &n)) {
		if (!json_object_is_type(of, json_type_array) || n >= json_object_array_length(of))
			return NULL;
		return json_object_array_get_idx(of, n);
	}
	if (!json_object_is_type(of, json_type_object) ||
	    in->host->cstr(call, selector, &name) != HEDDLE_OK)
		return NULL;
	return json_object_object_get_ex(of, name, &found) ? found : NULL;
}

static int32_t find(struct heddle_call *call, void *inst, void *handle, struct heddle_slice key,
    struct heddle_slice options, struct heddle_found *out)
{
	const struct inst *in = inst;
	struct document *d = handle;
	struct json_object *at = d->root;
	struct heddle_slice selector, value;
	uint64_t pos = 0;
	(void)options;
	while (at && in->host->item(call, key, &pos, &selector) == HEDDLE_OK)
		at = child(call, in, at, selector);
	if (!at)
		return HEDDLE_FAIL;
	if (json_object_is_type(at, json_type_string)) {
		value = heddle_bytes(json_object_get_string(at),
		    (size_t)json_object_get_string_len(at), HEDDLE_CLEAN);
	} else {
		size_t n = 0;
		int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
		const char *text = json_object_to_json_string_length(at, flags, &n);
		if (!text)
			return refuse(in, call, HEDDLE_DEFER, "json: no memory", "", "");
		value = heddle_bytes(text, n, HEDDLE_CLEAN);
	}
	out->cache_seconds = 0; /* walking the tree costs less */
	return in->host->join(call, &value, 1, &out->value);
}

static void close_file(void *inst, void *handle)
{
	(void)inst;
	document_free(handle);
}

static const struct heddle_lookup_ops ops = {
    .struct_size = sizeof ops,
    .kind = HEDDLE_L_KEY | HEDDLE_L_FILE,
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
    .name = "json",
    .version = "1.0",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle project",
    .summary = "elements of a JSON file",
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
