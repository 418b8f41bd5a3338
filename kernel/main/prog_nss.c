/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heddle-nss LOGIN: asks NSS about one user, prints "RC\nNAME\nUID\nGID\nHOME\nSHELL\nGECOS\n" and
 * ends. A process of its own because NSS loads other people's code and may hang; master kills it at
 * its deadline.
 */
#include "base/slice.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>

static void put(const char *s)
{
	for (; s && *s; s++)
		putchar(*s == '\n' ? ' ' : *s);
	putchar('\n');
}

int main(int argc, char **argv)
{
	static char buf[65536]; /* of the one call */
	struct passwd pw, *found = NULL;
	int64_t number;
	int e;

	if (argc != 2)
		return 2;
	slice_t login = slice_cstr(argv[1]);
	if (slice_to_i64(login, 10, false, &number) && number >= 0 && number < UINT32_MAX)
		e = getpwuid_r((uid_t)number, &pw, buf, sizeof buf, &found);
	else
		e = getpwnam_r(argv[1], &pw, buf, sizeof buf, &found);
	if (!found) {
		/* the errors that mean "no" are many: see getpwnam(3) */
		bool no = e == 0 || e == ENOENT || e == ESRCH;
		printf("%d\n\n-1\n-1\n\n\n\n", no ? RC_FAIL : RC_DEFER);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	printf("%d\n", RC_OK);
	put(pw.pw_name);
	printf("%lu\n%lu\n", (unsigned long)pw.pw_uid, (unsigned long)pw.pw_gid);
	put(pw.pw_dir);
	put(pw.pw_shell);
	put(pw.pw_gecos);
	return fflush(stdout) == 0 ? 0 : 1;
}
