/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operators that compute or convert numbers and times, and those that say what a file or this
 * process is. */
#include "base/clock.h"
#include "base/codec.h"
#include "base/io.h"
#include "expand/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

static enum rc op_eval(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	int64_t v;
	enum rc rc = eval_arithmetic(in, ((const struct op_row *)n->row)->arg != 0, &v, err);
	if (rc == RC_OK)
		*out = number_text(ev->arena, v);
	return rc;
}

static bool all_digits(slice_t s)
{
	for (uint32_t i = 0; i < s.len; i++)
		if (!ascii_isdigit(s.ptr[i]))
			return false;
	return s.len > 0;
}

static enum rc op_time_interval(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	int64_t v;
	if (!all_digits(in) || !slice_to_i64(in, 10, false, &v))
		return error_set(err, RC_ERROR,
		    "string \"%.*s\" is not a positive number in \"time_interval\" operator",
		    SL_ARG(in));
	*out = clock_interval(ev->arena, v);
	return RC_OK;
}

static enum rc op_time_eval(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	int64_t ms;
	bool unit = in.len && ascii_isalpha(in.ptr[in.len - 1]) && slice_find(in, '.') == SIZE_MAX;
	if (!unit || !slice_to_ms(in, &ms))
		return error_set(err, RC_ERROR,
		    "string \"%.*s\" is not an Exim time interval in \"time_eval\" operator",
		    SL_ARG(in));
	*out = number_text(ev->arena, ms / 1000);
	return RC_OK;
}

/* ---- bases ---- */

static enum rc not_base(const struct node *n, slice_t in, const char *what, struct error *err)
{
	return error_set(err, RC_ERROR,
	    "argument for %s operator is \"%.*s\", which is not a %s number",
	    ((const struct op_row *)n->row)->name, SL_ARG(in), what);
}

static enum rc op_base62(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	/* Exim's are 32 bits and wrap at six digits; numbers that do not fit are refused here */
	int64_t v = 0;
	if (in.len && (!all_digits(in) || !slice_to_i64(in, 10, false, &v)))
		return not_base(n, in, "decimal", err);
	char *p = arena_bytes(ev->arena, 6);
	base62_put(p, 6, (uint64_t)v);
	*out = slice_of(p, 6, HEDDLE_CLEAN);
	return RC_OK;
}

static enum rc op_base62d(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	uint64_t v = 0;
	if (in.len && (!base62_get(in, &v) || v > INT64_MAX))
		return not_base(n, in, "base 62", err);
	*out = number_text(ev->arena, (int64_t)v);
	return RC_OK;
}

static const char base32_digits[] = "abcdefghijklmnopqrstuvwxyz234567";

static enum rc op_base32(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	int64_t v = 0;
	if (in.len && (!all_digits(in) || !slice_to_i64(in, 10, false, &v)))
		return not_base(n, in, "decimal", err);
	char buf[16], *end = buf + sizeof buf, *p = end;
	for (; v; v >>= 5)
		*--p = base32_digits[v & 31];
	*out = arena_dup(ev->arena, slice_of(p, (size_t)(end - p), HEDDLE_CLEAN));
	return RC_OK;
}

static enum rc op_base32d(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	uint64_t v = 0;
	for (uint32_t i = 0; i < in.len; i++) {
		const char *d = in.ptr[i] ? strchr(base32_digits, in.ptr[i]) : NULL;
		if (!d || v >> 58)
			return not_base(n, in, "base 32", err);
		v = v << 5 | (uint64_t)(d - base32_digits);
	}
	*out = number_text(ev->arena, (int64_t)v);
	return RC_OK;
}

/* ---- chance ---- */

static enum rc op_randint(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	int64_t max;
	enum rc rc = eval_integer(in, &max, err);
	if (rc != RC_OK)
		return rc;
	if (slice_trim(in).len == 0)
		return error_set(err, RC_ERROR, "integer expected but \"%.*s\" found", SL_ARG(in));
	if (max < 0)
		return error_set(
		    err, RC_ERROR, "non-negative integer expected but \"%.*s\" found", SL_ARG(in));
	uint64_t r;
	io_random(&r, sizeof r);
	*out = number_text(ev->arena, max ? (int64_t)(r % (uint64_t)max) : 0);
	return RC_OK;
}

/* ---- stat ---- */

static void mode_text(mode_t mode, char out[11])
{
	static const char letters[] = "rwxrwxrwx";
	out[0] = S_ISDIR(mode)    ? 'd'
	         : S_ISCHR(mode)  ? 'c'
	         : S_ISBLK(mode)  ? 'b'
	         : S_ISFIFO(mode) ? 'p'
	         : S_ISLNK(mode)  ? 'l'
	         : S_ISSOCK(mode) ? 's'
	                          : '-';
	for (int i = 0; i < 9; i++)
		out[1 + i] = mode & (0400U >> i) ? letters[i] : '-';
	if (mode & S_ISUID)
		out[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = mode & S_IXOTH ? 't' : 'T';
	out[10] = '\0';
}

static enum rc op_stat(
    struct eval *ev, const struct node *n, slice_t in, slice_t *out, struct error *err)
{
	(void)n;
	struct stat st;
	if (ev->forbid & HEDDLE_FORBID_FILES)
		return error_set(err, RC_ERROR, "Use of the stat() expansion is not permitted");
	if (in.len && memchr(in.ptr, 0, in.len))
		return error_set(err, RC_ERROR, "file name for stat holds a NUL byte");
	if (stat(arena_cstr(ev->arena, in), &st) != 0)
		return error_errno(err, RC_ERROR, errno, "stat(%.*s) failed", SL_ARG(in));
	char mode[11];
	mode_text(st.st_mode, mode);
	*out = arena_printf(ev->arena,
	    "mode=%04lo smode=%s inode=%ju device=%ju links=%ju uid=%ju gid=%ju size=%jd atime=%jd "
	    "mtime=%jd ctime=%jd",
	    (unsigned long)(st.st_mode & 077777), mode, (uintmax_t)st.st_ino, (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_nlink, (uintmax_t)st.st_uid, (uintmax_t)st.st_gid,
	    (intmax_t)st.st_size, (intmax_t)st.st_atime, (intmax_t)st.st_mtime,
	    (intmax_t)st.st_ctime);
	return RC_OK;
}

const struct op_row op_rows_number[] = {
    {"base32", op_base32, OP_PURE, 0, 0},
    {"base32d", op_base32d, OP_PURE, 0, 0},
    {"base62", op_base62, OP_PURE, 0, 0},
    {"base62d", op_base62d, OP_PURE, 0, 0},
    {"eval", op_eval, OP_PURE | OP_COMPUTES, 0, 0},
    {"eval10", op_eval, OP_PURE | OP_COMPUTES, 1, 0},
    {"randint", op_randint, 0, 0, 0},
    {"stat", op_stat, 0, 0, HEDDLE_FORBID_FILES},
    {"time_eval", op_time_eval, OP_PURE, 0, 0},
    {"time_interval", op_time_interval, OP_PURE, 0, 0},
    {0},
};
