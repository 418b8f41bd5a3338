/* SPDX-License-Identifier: GPL-3.0-or-later */
/* -bd: this process becomes master. */
#include "main/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int cli_run_daemon(struct process *p, const struct cli *c)
{
	struct error err = {.text = ""};
	size_t n = c->defines.count;
	char **args = (char **)arena_alloc(p->arena, sizeof(char *) * (n + 8));
	char *path = arena_cstr(p->arena, arena_printf(p->arena, "%s/heddle-master", p->libexec));

	args[0] = path;
	args[1] = arena_cstr(p->arena, p->facts.config_file);
	args[2] = arena_cstr(
	    p->arena, arena_printf(p->arena, "-%s%s%s%s%s", c->foreground || c->verbose ? "f" : "",
	                  c->debug ? "d" : "", c->delivery == DELIVER_QUEUE ? "q" : "",
	                  c->tls_on_connect ? "t" : "", c->wait_socket ? "w" : ""));
	args[3] =
	    arena_cstr(p->arena, arena_printf(p->arena, "%lld", (long long)c->queue_interval_ms));
	args[4] = arena_cstr(p->arena, slice_cstr(c->ports ? c->ports : "-"));
	args[5] = arena_cstr(p->arena, slice_cstr(c->pid_file ? c->pid_file : "-"));
	for (size_t i = 0; i < n; i++)
		args[6 + i] = arena_cstr(p->arena, *VEC_AT(&c->defines, slice_t, i));
	execv(path, args);
	(void)error_errno(&err, RC_ERROR, errno, "%s", path);
	return cli_fail(&err);
}
