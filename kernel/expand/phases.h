/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * expand/phases: when a text is evaluated, and which variables are set then.  For warnings at load:
 * a variable that is read where it is never set, a number that may be empty.  Whoever compiles a
 * text says where it is evaluated (expr_env.phases), or takes what it reads (expr_env.uses) and
 * asks later, when all places are known (ACLs).
 */
#ifndef HEDDLE_EXPAND_PHASES_H
#define HEDDLE_EXPAND_PHASES_H
#include "base/vec.h"
#include "expand/expand.h"

enum {
	PHASE_START = 1 << 0, /* no session and no message */
	PHASE_CONNECT = 1 << 1,
	PHASE_HELO = 1 << 2,
	PHASE_AUTH = 1 << 3, /* STARTTLS too: behind EHLO, before MAIL */
	PHASE_MAIL = 1 << 4,
	PHASE_RCPT = 1 << 5,
	PHASE_PREDATA = 1 << 6,
	PHASE_DATA = 1 << 7, /* the message's text is there */
	PHASE_QUIT = 1 << 8,
	PHASE_NOTQUIT = 1 << 9,
	PHASE_NOT_SMTP = 1 << 10,
	PHASE_ROUTE = 1 << 11,
	PHASE_TRANSPORT = 1 << 12,
	PHASE_ANY = (1 << 13) - 1, /* also: not known */
};

enum var_use_kind {
	USE_READ,     /* it is read */
	USE_COMPARED, /* it is all of an operand of < <= = > >= */
	USE_COMPUTED, /* in eval, where nothing is no number */
};
struct var_use {
	slice_t name;
	enum var_use_kind kind;
	uint32_t set_in;  /* PHASE_ bits */
	const char *when; /* these in words */
	const char *file, *option;
	unsigned line;
};

/* Is it never set in any of the phases?  *out is then the warning.  USE_READ only. */
bool var_use_is_unset(const struct var_use *u, uint32_t phases, struct error *out);
/* The warning about a number that may be empty. */
void var_use_warn_empty(const struct var_use *u, struct error *out);
#endif
