/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a text that is compiled reads, noted for the warnings of phases.h; private to this module.
 */
#ifndef HEDDLE_EXPAND_NOTES_H
#define HEDDLE_EXPAND_NOTES_H
#include "expand/tree.h"

/* phases.c: what is read; a header by its name as written; the name behind "def:"; a number. */
void parse_note_read(struct parser *p, slice_t name);
void parse_note_header(struct parser *p, slice_t written);
void parse_note_def(struct parser *p, slice_t name);
void parse_note_number(struct parser *p, const struct expr *e, bool computed);
void parse_uses_done(struct parser *p);
/* "acl_m_x" and its kind, which nothing need have set: the name; else empty. */
slice_t parse_user_variable(const struct node *n);
#endif
