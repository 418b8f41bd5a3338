/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heddle-nss LOGIN: asks NSS about one user, prints "RC\nNAME\nUID\nGID\nHOME\nSHELL\nGECOS\n" and
 * ends.  heddle-nss -g GROUP: about one group, in the same form, UID and what is not a group's
 * empty. heddle-nss -i LOGIN: "RC\nGID GID ...\n", all the groups that the user is in. heddle-nss
 * -k NAME...: is there a user "uNAME", a group "gNAME"?  "RC ID\n" for each, and nothing more. A
 * process of its own because NSS loads other people's code and may hang; master kills it at its
 * deadline.
 */
#include "base/slice.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP_BYTES ((size_t)4 << 20) /* a group with very many members */

static void put(const char *s)
{
	for (; s && *s; s++)
		putchar(*s == '\n' ? ' ' : *s);
	putchar('\n');
}

static bool is_id(const char *name, int64_t *out)
{
	return slice_to_i64(slice_cstr(name), 10, false, out) && *out >= 0 && *out < UINT32_MAX;
}

/* The errors that mean "no" are many: see getpwnam(3). */
static enum rc verdict(bool found, int e)
{
	return found ? RC_OK : e == 0 || e == ENOENT || e == ESRCH ? RC_FAIL : RC_DEFER;
}

static enum rc find_user(const char *login, struct passwd *pw)
{
	static char buf[65536]; /* of one call at a time */
	struct passwd *found = NULL;
	int64_t number;
	int e = is_id(login, &number) ? getpwuid_r((uid_t)number, pw, buf, sizeof buf, &found)
	                              : getpwnam_r(login, pw, buf, sizeof buf, &found);

	return verdict(found != NULL, e);
}

static enum rc find_group(const char *name, struct group *gr, char *buf, size_t room)
{
	struct group *found = NULL;
	int64_t number;
	int e = is_id(name, &number) ? getgrgid_r((gid_t)number, gr, buf, room, &found)
	                             : getgrnam_r(name, gr, buf, room, &found);

	return verdict(found != NULL, e);
}

static int done(void)
{
	return fflush(stdout) == 0 ? 0 : 1;
}

static int tell_nothing(enum rc rc)
{
	printf("%d\n\n-1\n-1\n\n\n\n", (int)rc);
	return done();
}

static int tell_user(const char *login)
{
	struct passwd pw;
	enum rc rc = find_user(login, &pw);

	if (rc != RC_OK)
		return tell_nothing(rc);
	printf("%d\n", RC_OK);
	put(pw.pw_name);
	printf("%lu\n%lu\n", (unsigned long)pw.pw_uid, (unsigned long)pw.pw_gid);
	put(pw.pw_dir);
	put(pw.pw_shell);
	put(pw.pw_gecos);
	return done();
}

static int tell_group(const char *name, char *buf)
{
	struct group gr;
	enum rc rc = find_group(name, &gr, buf, GROUP_BYTES);

	if (rc != RC_OK)
		return tell_nothing(rc);
	printf("%d\n", RC_OK);
	put(gr.gr_name);
	printf("-1\n%lu\n\n\n\n", (unsigned long)gr.gr_gid);
	return done();
}

static int tell_groups(const char *login)
{
	gid_t ids[1024]; /* 4 KiB; more groups than that wait for an administrator */
	int n = (int)(sizeof ids / sizeof *ids);
	struct passwd pw;
	enum rc rc = find_user(login, &pw);

	if (rc == RC_OK && getgrouplist(pw.pw_name, pw.pw_gid, ids, &n) < 0)
		rc = RC_DEFER;
	printf("%d\n", (int)rc);
	for (int i = 0; rc == RC_OK && i < n; i++)
		printf("%s%lu", i ? " " : "", (unsigned long)ids[i]);
	putchar('\n');
	return done();
}

static int tell_known(char **names, char *buf)
{
	struct passwd pw = {.pw_uid = 0};
	struct group gr = {.gr_gid = 0};

	for (; *names; names++) {
		bool group = (*names)[0] == 'g';
		enum rc rc = group ? find_group(*names + 1, &gr, buf, GROUP_BYTES)
		                   : find_user(*names + 1, &pw);
		unsigned long id = group ? gr.gr_gid : pw.pw_uid;
		printf("%d %lu\n", (int)rc, rc == RC_OK ? id : 0UL);
	}
	return done();
}

int main(int argc, char **argv)
{
	char *buf;

	if (argc == 2)
		return tell_user(argv[1]);
	if (argc < 3 || !(buf = malloc(GROUP_BYTES)))
		return 2;
	slice_t mode = slice_cstr(argv[1]);
	int status = 2;
	if (slice_eqs(mode, "-k"))
		status = tell_known(argv + 2, buf);
	else if (slice_eqs(mode, "-g") && argc == 3)
		status = tell_group(argv[2], buf);
	else if (slice_eqs(mode, "-i") && argc == 3)
		status = tell_groups(argv[2]);
	free(buf);
	return status;
}
