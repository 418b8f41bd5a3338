/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whom the configuration names: asked once for each snapshot, so that a name that nobody has is
 * known before anything is delivered, and never_users are numbers when an agent is started. */
#include "base/clock.h"
#include "config/config.h"
#include "main/master/master.h"

#define AT_ONCE         32 /* names for one helper */
#define ANSWER_MAX      4096
#define ACCOUNT_TIMEOUT (15 * US_PER_SEC)

/* What the helper says of these names, "RC ID" for each. */
static enum rc ask(struct master *m, struct arena *a, const struct config_account *c, size_t n,
    slice_t *out, struct error *err)
{
	const char *args[AT_ONCE + 2] = {"-k"};
	struct strbuf text;
	int status = 0;

	for (size_t i = 0; i < n; i++)
		args[i + 1] =
		    arena_printf(a, "%c%.*s", c[i].is_group ? 'g' : 'u', SL_ARG(c[i].name)).ptr;
	strbuf_init(&text, a, ANSWER_MAX);
	enum rc rc = master_ask_helper(m, "heddle-nss", args, ACCOUNT_TIMEOUT, &text, &status, err);
	*out = strbuf_slice(&text);
	return rc;
}

static void judge(struct arena *a, const struct config_account *c, slice_t line,
    struct vec *problems, struct vec *never)
{
	slice_t word;
	int64_t rc, id;

	if (!slice_next(&line, ' ', &word) || !slice_to_i64(word, 10, false, &rc) ||
	    !slice_to_i64(line, 10, false, &id))
		return;
	if (rc == RC_FAIL)
		config_account_unknown(c, a, problems);
	if (rc == RC_FAIL && c->is_never && slice_to_i64(c->name, 10, false, &id))
		rc = RC_OK; /* a number that is no account's may not be used either */
	if (rc == RC_OK && c->is_never)
		*VEC_PUSH(a, never, int64_t) = id;
}

void master_check_accounts(struct master *m, const struct config *cfg, struct arena *a,
    struct vec *problems, struct vec *never)
{
	struct vec accounts = {0};
	struct error err = {.text = ""};

	config_accounts(cfg, a, &accounts);
	for (size_t i = 0; i < accounts.count; i += AT_ONCE) {
		const struct config_account *c = VEC_AT(&accounts, struct config_account, i);
		size_t n = accounts.count - i < AT_ONCE ? accounts.count - i : AT_ONCE;
		slice_t said = slice_absent(), line;
		if (ask(m, a, c, n, &said, &err) != RC_OK) {
			/* what cannot be looked up now is looked up when it is needed */
			master_say(m, "users and groups are not checked: %s", err.text);
			return;
		}
		for (size_t k = 0; k < n && slice_next(&said, '\n', &line); k++)
			judge(a, c + k, line, problems, never);
	}
}
