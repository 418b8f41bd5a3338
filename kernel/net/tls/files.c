/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The files behind a context: read with what identifies them, so that a change is seen by stat
 * alone. */
#include "net/tls/tls_private.h"

#include "base/codec.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { FILE_MAX = 4 << 20 };

static void note(struct tls_files *f, const char *path, const struct stat *st)
{
	struct tls_file *file = VEC_PUSH(f->arena, &f->list, struct tls_file);
	file->path = arena_cstr(f->arena, slice_cstr(path));
	file->present = st != NULL;
	if (!st)
		return;
	file->dev = st->st_dev;
	file->ino = st->st_ino;
	file->size = st->st_size;
	file->mtime = st->st_mtim;
	file->ctime = st->st_ctim;
}

void tls_files_note(struct tls_files *f, const char *path)
{
	struct stat st;
	note(f, path, stat(path, &st) == 0 ? &st : NULL);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct tls_file *a, const struct tls_file *b)
{
	if (a->present != b->present)
		return false;
	return !a->present || (a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	                          same_time(a->mtime, b->mtime) && same_time(a->ctime, b->ctime));
}

bool tls_files_changed(const struct tls_files *f)
{
	VEC_FOREACH(&f->list, struct tls_file, file)
	{
		struct stat st;
		struct tls_file now = {.present = stat(file->path, &st) == 0};
		if (now.present) {
			now.dev = st.st_dev;
			now.ino = st.st_ino;
			now.size = st.st_size;
			now.mtime = st.st_mtim;
			now.ctime = st.st_ctim;
		}
		if (!same_file(file, &now))
			return true;
	}
	return false;
}

bool tls_files_same(const struct tls_files *a, const struct tls_files *b)
{
	if (a->list.count != b->list.count)
		return false;
	for (size_t i = 0; i < a->list.count; i++) {
		const struct tls_file *x = VEC_AT(&a->list, struct tls_file, i),
		                      *y = VEC_AT(&b->list, struct tls_file, i);
		if (strcmp(x->path, y->path) != 0 || !same_file(x, y))
			return false;
	}
	return true;
}

enum rc tls_files_read(struct tls_files *f, struct arena *scratch, slice_t path, const char *what,
    slice_t *out, struct error *err)
{
	const char *name = arena_cstr(scratch, path);
	struct stat st;
	if (name[0] != '/')
		return error_set(
		    err, RC_ERROR, "%s \"%.*s\" is no absolute path", what, SL_ARG(path));
	/* O_NONBLOCK: a fifo must not hold us */
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int e = errno;
		if (fd >= 0)
			(void)close(fd);
		tls_files_note(f, name);
		return error_errno(err, RC_ERROR, e, "%s %s", what, name);
	}
	note(f, name, &st);
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		(void)close(fd);
		return error_set(
		    err, RC_ERROR, "%s %s is no file of at most %d bytes", what, name, FILE_MAX);
	}
	size_t cap = (size_t)st.st_size + 1;
	char *text = arena_bytes(scratch, cap);
	ssize_t n = io_read_full(fd, text, cap);
	int e = errno;
	(void)close(fd);
	if (n < 0)
		return error_errno(err, RC_ERROR, e, "%s %s", what, name);
	*out = slice_of(text, (size_t)n, HEDDLE_CLEAN);
	return RC_OK;
}

bool tls_pem_next(struct arena *a, slice_t *rest, const char *kind, slice_t *out_der)
{
	slice_t begin = arena_printf(a, "-----BEGIN %s-----", kind),
	        end = arena_printf(a, "-----END %s-----", kind);
	for (;;) {
		size_t at = slice_search(*rest, begin);
		if (at == SIZE_MAX)
			return false;
		*rest = slice_sub(*rest, at + begin.len, rest->len);
		size_t to = slice_search(*rest, end);
		if (to == SIZE_MAX)
			return false;
		slice_t body = slice_sub(*rest, 0, to), packed;
		*rest = slice_sub(*rest, to + end.len, rest->len);
		char *p = arena_bytes(a, body.len + 1);
		uint32_t n = 0;
		for (uint32_t i = 0; i < body.len; i++)
			if (!ascii_isspace(body.ptr[i]))
				p[n++] = body.ptr[i];
		packed = slice_of(p, n, HEDDLE_CLEAN);
		if (n && base64_decode(a, packed, out_der))
			return true;
	}
}

bool tls_list_next(struct arena *a, slice_t *rest, char *sep, slice_t *out)
{
	if (*sep == 0) {
		slice_t t = slice_trim(*rest);
		*sep = ':';
		if (t.len >= 2 && t.ptr[0] == '<' && !ascii_isalnum(t.ptr[1]) &&
		    !ascii_isspace(t.ptr[1])) {
			*sep = t.ptr[1];
			*rest = slice_sub(t, 2, t.len);
		}
	}
	slice_t piece;
	while (!slice_is_absent(*rest) && slice_next(rest, *sep, &piece)) {
		piece = slice_trim(piece);
		if (piece.len == 0)
			continue;
		*out = arena_dup(a, piece);
		return true;
	}
	return false;
}
