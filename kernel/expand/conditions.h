/* SPDX-License-Identifier: GPL-3.0-or-later */
/* expand/conditions: what conditions.c and cond_match.c share; private to this module. */
#ifndef HEDDLE_EXPAND_CONDITIONS_H
#define HEDDLE_EXPAND_CONDITIONS_H
#include "expand/tree.h"
#include "match/match.h"

#include <stdio.h>

enum { CMP_LT = 1, CMP_LE, CMP_EQ, CMP_GE, CMP_GT, CMP_CASELESS = 8 };
enum { FOR_ANY = 1, FOR_JSON = 2, FOR_STRINGS = 4 };

bool compare_numbers(int64_t a, int64_t b, int how);
bool compare_texts(slice_t a, slice_t b, int how);
/* Of the table's rows: compares two operands; as numbers. */
bool cond_compares(const struct cond_row *row);
bool cond_is_numeric(const struct cond_row *row);
/* Both arguments. */
MUST_USE enum rc cond_two(
    struct eval *ev, const struct cond *c, slice_t *a, slice_t *b, struct error *err);
MUST_USE enum rc parse_cond_args(struct parser *p, struct cond *c);
/* "unknown condition" gets " inside ..." behind it, as Exim says it. */
enum rc error_inside(struct parser *p, enum rc rc, const char *fmt, const char *name);

cond_fn cond_acl, cond_crypteq, cond_inbound_srs, cond_inlist, cond_match, cond_match_list;
cond_parse_fn parse_cond_acl, parse_cond_match, parse_cond_match_list;
#endif
