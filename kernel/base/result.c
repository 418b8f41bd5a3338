/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/result.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Put ": TAIL" behind a text in a buffer of `cap` bytes; what does not fit is cut. */
static void add_tail(char *text, size_t cap, const char *tail)
{
	size_t len = strlen(text);
	const char *parts[] = {": ", tail};
	for (size_t i = 0; i < 2; i++) {
		size_t n = strnlen(parts[i], cap - 1 - len);
		memcpy(text + len, parts[i], n);
		len += n;
	}
	text[len] = '\0';
}

enum rc error_set(struct error *err, enum rc rc, const char *fmt, ...)
{
	if (!err)
		return rc;
	/* Formatted apart first: an argument may be err's own text. */
	char text[sizeof err->text];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	memcpy(err->text, text, sizeof text);
	return rc;
}

enum rc error_errno(struct error *err, enum rc rc, int errnum, const char *fmt, ...)
{
	if (!err)
		return rc;
	char text[sizeof err->text];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	char buf[128];
	add_tail(text, sizeof text, strerror_r(errnum, buf, sizeof buf));
	memcpy(err->text, text, sizeof text);
	return rc;
}

enum rc error_wrap(struct error *err, enum rc rc, const char *fmt, ...)
{
	if (!err)
		return rc;
	char text[sizeof err->text];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err->text[sizeof err->text - 1] = '\0';
	add_tail(text, sizeof text, err->text);
	memcpy(err->text, text, sizeof text);
	return rc;
}

const char *rc_name(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return "OK";
	case RC_FAIL:
		return "FAIL";
	case RC_DEFER:
		return "DEFER";
	case RC_ERROR:
		return "ERROR";
	}
	return "invalid result"; /* a driver's number may be anything */
}

void die(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	int n = snprintf(text, sizeof text - 1, "%s:%d: impossible: ", file, line);
	size_t len = n < 0 ? 0 : (size_t)n;
	if (len >= sizeof text - 1)
		len = sizeof text - 2;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text + len, sizeof text - 1 - len, fmt, ap);
	va_end(ap);
	len = strlen(text);
	text[len++] = '\n';
	ssize_t done = write(STDERR_FILENO, text, len);
	(void)done; /* nobody is left to tell */
	abort();
}
