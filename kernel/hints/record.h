/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hints/record: the bytes of a hint.  Pure functions; decoding takes bytes that nobody vouches for.
 */
#ifndef HEDDLE_HINTS_RECORD_H
#define HEDDLE_HINTS_RECORD_H
#include "hints/hints.h"

#define HINT_VERSION      1u
#define HINT_HEADER_BYTES 16u
#define HINT_BYTES_MAX    (HINT_HEADER_BYTES + HINTS_VALUE_MAX)

/* The length, or 0: the value is too long.  out has room for HINT_BYTES_MAX. */
size_t hint_encode(slice_t key, slice_t value, int64_t time_us, char *out);
/* Only a whole record that was written for this key.  The value points into p. */
MUST_USE bool hint_decode(slice_t key, const void *p, size_t n, struct hint *out);
#endif
