/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The modes that ask a running kernel: -bp -bpc -q -M... -z */
#include "config/config.h"
#include "control/control.h"
#include "main/cli.h"
#include "main/cli_submit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long it sleeps between two questions at most, when something takes long. */
#define NAP_MAX_NS (160 * 1000 * 1000)

/* What the request says of messages is on standard output, also when it fails; why it fails on
 * standard error. */
bool cli_ask(struct process *p, slice_t request, slice_t *out_answer, struct error *err)
{
	const char *path = control_path(p->arena, p->facts.spool_directory).ptr;
	slice_t login;
	struct error none;

	if (cli_login(p->arena, &login, &none) == RC_OK)
		request = arena_printf(p->arena, "@%.*s %.*s", SL_ARG(login), SL_ARG(request));
	return control_ask(path, request, p->arena, out_answer, err) == RC_OK;
}

void cli_wait_for(struct process *p, slice_t ids)
{
	struct arena_mark m = arena_mark(p->arena);
	slice_t question = arena_printf(p->arena, "busy %.*s", SL_ARG(ids)), answer;
	struct timespec nap = {.tv_nsec = 5 * 1000 * 1000};
	struct error err;

	while (cli_ask(p, question, &answer, &err) && slice_starts(answer, "busy")) {
		arena_release(p->arena, m);
		question = arena_printf(p->arena, "busy %.*s", SL_ARG(ids));
		(void)nanosleep(&nap, NULL);
		if (nap.tv_nsec < NAP_MAX_NS)
			nap.tv_nsec *= 2;
	}
}

/* Exim looks at the ids first. */
static enum rc check_ids(const struct cli *c, struct error *err)
{
	struct queue_id id;
	bool first_only = false;

	if (c->mode != CLI_EDIT)
		return RC_OK;
	static const char *const with_addresses[] = {"-Mar", "-Mes", "-Mmd"};
	for (size_t i = 0; i < sizeof with_addresses / sizeof *with_addresses; i++)
		first_only = first_only || strcmp(c->option, with_addresses[i]) == 0;
	if (c->option[2] == 'v' && c->words.count > 1) {
		printf("*** Only one message can be listed at once\n");
		return error_set(err, RC_FAIL, "nothing is listed");
	}
	VEC_FOREACH(&c->words, slice_t, w)
	{
		if (!queue_id_parse(*w, &id))
			return error_set(err, RC_FAIL, "malformed message id %.*s after %s option",
			    SL_ARG(*w), c->option);
		if (first_only)
			break;
	}
	return RC_OK;
}

static enum rc make_request(
    struct process *p, const struct cli *c, struct strbuf *req, struct error *err)
{
	struct queue_id id;
	size_t n = 0;

	strbuf_text(req, c->mode == CLI_COUNT ? "count" : c->request);
	VEC_FOREACH(&c->words, slice_t, w)
	{
		if (c->mode == CLI_NOTE)
			break;
		if (c->mode != CLI_QUEUE_RUN) {
			strbuf_printf(req, " %.*s", SL_ARG(*w));
			continue;
		}
		/* of a queue run: the first and the last message */
		if (n == 2 || !queue_id_parse(*w, &id))
			return error_set(
			    err, RC_FAIL, "bad time value %.*s: abandoned", SL_ARG(*w));
		strbuf_printf(req, " %s=%.*s", n++ ? "to" : "from", SL_ARG(*w));
	}
	(void)p;
	return RC_OK;
}

int cli_run_control(struct process *p, const struct cli *c)
{
	struct loaded loaded;
	struct error err = {.text = ""};
	struct strbuf req;
	slice_t answer = SL("");

	strbuf_init(&req, p->arena, 0);
	if (check_ids(c, &err) != RC_OK || make_request(p, c, &req, &err) != RC_OK)
		return cli_fail(&err);
	if (cli_load(p, c, true, &loaded) != RC_OK)
		return 1;
	process_adopt(p, loaded.cfg);
	cli_unload(&loaded);
	bool ok = cli_ask(p, strbuf_slice(&req), &answer, &err);
	if (answer.len)
		fwrite(answer.ptr, 1, answer.len, stdout);
	if (fflush(stdout) != 0)
		return 1;
	if (ok && c->mode == CLI_EDIT &&
	    (strcmp(c->option, "-M") == 0 || strcmp(c->option, "-Mc") == 0)) {
		size_t space = slice_find(strbuf_slice(&req), ' ');
		cli_wait_for(p, slice_sub(strbuf_slice(&req), space + 1, req.len));
	}
	return ok ? 0 : cli_fail(&err);
}
