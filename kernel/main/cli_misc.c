/* SPDX-License-Identifier: GPL-3.0-or-later */
/* -bi and -bI: what needs no daemon. */
#include "config/config.h"
#include "main/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* bi_command, as who calls it, with -oA's value; without one there is nothing to do, since alias
 * files are read as they are. */
int cli_run_newaliases(struct process *p, const struct cli *c)
{
	struct loaded loaded;
	struct error err = {.text = ""};

	if (cli_load(p, c, true, &loaded) != RC_OK)
		return 1;
	slice_t command = config_text(loaded.cfg, MO_bi_command);
	char *argv[3] = {NULL, NULL, NULL};
	if (!slice_is_absent(command) && command.len) {
		argv[0] = arena_cstr(p->arena, command);
		argv[1] = c->aliases ? arena_cstr(p->arena, slice_cstr(c->aliases)) : NULL;
	}
	cli_unload(&loaded);
	if (!argv[0])
		return 0;
	if (setgid(getgid()) != 0 || setuid(getuid()) != 0)
		(void)error_errno(&err, RC_ERROR, errno, "bi_command");
	else if (execv(argv[0], argv) != 0)
		(void)error_errno(&err, RC_ERROR, errno, "exec of %s failed", argv[0]);
	return cli_fail(&err);
}

int cli_run_info(const struct cli *c)
{
	static const char help[] =
	    "The -bI: flag takes a string indicating which information to provide.\n"
	    "If the string is not recognised, you'll get this help (on stderr).\n"
	    "\n"
	    "  heddle -bI:help    this information\n"
	    "  heddle -bI:dscp    list of known dscp value keywords\n"
	    "  heddle -bI:sieve   list of supported sieve extensions\n";
	static const char *const none[] = {"dscp", "sieve"}; /* there is neither: empty lists */

	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		if (strcmp(c->info, none[i]) == 0)
			return 0;
	bool asked = strcmp(c->info, "help") == 0;
	fputs(help, asked ? stdout : stderr);
	return asked ? 0 : 1;
}
