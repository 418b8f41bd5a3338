/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heddle-agent any-owner|root-owner FOLDER...: acts as the user it was started as.  Master gave it
 * that identity and a socket to the kernel, descriptor 3, before the exec; it has no configuration
 * and opens drivers from the folders named.
 */
#include "agent/process.h"

#include <stdio.h>
#include <string.h>

#define SOCKET_FD 3

int main(int argc, char **argv)
{
	const char *folders[16];
	size_t n = 0;

	if (argc < 3 || argc > 16 ||
	    (strcmp(argv[1], "any-owner") != 0 && strcmp(argv[1], "root-owner") != 0)) {
		(void)fprintf(stderr, "heddle-agent is started by heddle-master\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		folders[n++] = argv[i];
	folders[n] = NULL;
	return process_run(SOCKET_FD, strcmp(argv[1], "any-owner") == 0, folders);
}
