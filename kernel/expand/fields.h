/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * expand/fields: parts of structured texts, for ${extract} and its like; private to this module.
 * Results are pieces of the text, or in the arena given.
 */
#ifndef HEDDLE_EXPAND_FIELDS_H
#define HEDDLE_EXPAND_FIELDS_H
#include "base/arena.h"

/* Field of a string with name=value pairs; false: not there. */
bool extract_named(struct arena *a, slice_t key, slice_t s, slice_t *out);
/* json: the raw text of a member or element; see json.c. */
bool json_member(slice_t json, slice_t key, slice_t *out);
bool json_element(slice_t json, int64_t index, slice_t *out);
bool json_next(slice_t *rest, slice_t *out); /* elements of an array, *rest begins with the array */
slice_t json_dequote(struct arena *a, slice_t s);
#endif
