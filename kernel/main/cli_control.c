/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The modes that ask a running kernel: -bp -bpc -q -M... */
#include "config/config.h"
#include "control/control.h"
#include "main/cli.h"

#include <stdio.h>
#include <unistd.h>

int cli_run_control(struct process *p, const struct cli *c)
{
	struct loaded loaded;
	struct error err = {.text = ""};
	struct strbuf req;
	slice_t answer = SL("");

	if (cli_load(p, c, true, &loaded) != RC_OK)
		return 1;
	process_adopt(p, loaded.cfg);
	strbuf_init(&req, p->arena, 0);
	strbuf_text(&req, c->mode == CLI_COUNT ? "count" : c->request);
	VEC_FOREACH(&c->words, slice_t, w) strbuf_printf(&req, " %.*s", SL_ARG(*w));
	const char *path = control_path(p->arena, p->facts.spool_directory).ptr;
	enum rc rc = control_ask(path, strbuf_slice(&req), p->arena, &answer, &err);
	cli_unload(&loaded);
	if (answer.len)
		fwrite(answer.ptr, 1, answer.len, stdout);
	if (fflush(stdout) != 0)
		return 1;
	return rc == RC_OK ? 0 : cli_fail(&err);
}
