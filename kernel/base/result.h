/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * base/result: how every function of the kernel says how it went.
 * The numbers are those of the driver ABI (HEDDLE_OK ...), so no translation is needed at that
 * border.
 */
#ifndef HEDDLE_BASE_RESULT_H
#define HEDDLE_BASE_RESULT_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
/* For a large buffer on the stack that is written before it is read: the compiler clears all others
 * (-ftrivial-auto-var-init=zero). */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define NOT_CLEARED __attribute__((uninitialized))
#endif
#endif
#ifndef NOT_CLEARED
#define NOT_CLEARED
#endif

enum rc {
	RC_OK = 0,
	RC_FAIL = 1,  /* a permanent no: not found, refused, syntax */
	RC_DEFER = 2, /* cannot say now: try later */
	RC_ERROR = 3, /* our fault or the configuration's */
};

/* Why something failed.  Owned by the caller, usually on its stack; every `err` parameter may be
 * NULL. */
struct error {
	char text[480]; /* NUL-terminated, no newline at the end */
	const char
	    *file;     /* configuration file it is about, or NULL; lives as long as the snapshot */
	unsigned line; /* 0: none */
};

/* Set the text; returns rc so that `return error_set(err, RC_FAIL, "...")` reads well. */
enum rc error_set(struct error *err, enum rc rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same with ": STRERROR(errnum)" behind it. */
enum rc error_errno(struct error *err, enum rc rc, int errnum, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* Put context in front: "CONTEXT: " + what the text was. */
enum rc error_wrap(struct error *err, enum rc rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
const char *rc_name(enum rc rc);

/* For impossible states only; stays on in release builds.  Foreign input never reaches one. */
_Noreturn void die(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define MUST(cond) ((cond) ? (void)0 : die(__FILE__, __LINE__, "%s", #cond))

#endif
