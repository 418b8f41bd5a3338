/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heddlectl: what Exim's command line has no option for.  It reads no configuration: the socket is
 * found by the spool directory, given with -s or taken as the default.
 */
#include "base/arena.h"
#include "base/strbuf.h"
#include "control/control.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_SPOOL "/var/spool/heddle"

static const char usage[] =
    "usage: heddlectl [-s SPOOL] WORDS\n"
    "  stats                     what the kernel holds and does\n"
    "  reload                    read the configuration again; a bad one is refused\n"
    "  queue list [ID...]        as heddle -bp\n"
    "  queue count | ids\n"
    "  queue run [force] [frozen] [local] [recipient=TEXT] [sender=TEXT]\n"
    "  hints list | show [TEXT]  what is known about hosts and addresses that failed, all or those "
    "with TEXT in the key\n"
    "  hints delete KEY...       forget it\n"
    "  queue deliver | freeze | thaw | remove | give-up ID...\n";

/* "queue list" is the request "list"; the others are their own. */
static bool make_request(int argc, char **argv, struct strbuf *out)
{
	int i = 0;

	if (argc == 0)
		return false;
	if (strcmp(argv[0], "queue") == 0) {
		if (argc < 2)
			return false;
		i = 1;
	} else if (strcmp(argv[0], "hints") == 0
	               ? argc < 2
	               : strcmp(argv[0], "stats") != 0 && strcmp(argv[0], "reload") != 0) {
		return false;
	}
	for (; i < argc; i++) {
		if (strpbrk(argv[i], " \n"))
			return false;
		strbuf_printf(out, "%s%s", out->len ? " " : "", argv[i]);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct arena *a = arena_new(0);
	struct strbuf request;
	struct error err = {.text = ""};
	const char *spool = DEFAULT_SPOOL;
	slice_t answer;
	int first = 1, status = 0;

	if (argc > 2 && strcmp(argv[1], "-s") == 0) {
		spool = argv[2];
		first = 3;
	}
	strbuf_init(&request, a, 0);
	if (first >= argc || !make_request(argc - first, argv + first, &request)) {
		fputs(usage, argc > 1 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
		status = argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
	} else if (control_ask(control_path(a, slice_cstr(spool)).ptr, strbuf_slice(&request), a,
	               &answer, &err) != RC_OK) {
		fprintf(stderr, "heddlectl: %s\n", err.text);
		status = 1;
	} else {
		fwrite(answer.ptr, 1, answer.len, stdout);
		status = fflush(stdout) == 0 ? 0 : 1;
	}
	arena_free(&a);
	return status;
}
