/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of the redirect router. */
#ifndef REDIRECT_H
#define REDIRECT_H
#include <heddle/router.h>

typedef struct heddle_slice slice;

enum option {
	O_ALLOW_DEFER,
	O_ALLOW_FAIL,
	O_ALLOW_FILTER,
	O_ALLOW_FREEZE,
	O_CHECK_ANCESTOR,
	O_CHECK_GROUP,
	O_CHECK_OWNER,
	O_DATA,
	O_DIRECTORY_TRANSPORT,
	O_FILE,
	O_FILE_TRANSPORT,
	O_FILTER_PREPEND_HOME,
	O_FORBID_BLACKHOLE,
	O_FORBID_EXIM_FILTER,
	O_FORBID_FILE,
	O_FORBID_FILTER_DLFUNC,
	O_FORBID_FILTER_EXISTSTEST,
	O_FORBID_FILTER_LOGWRITE,
	O_FORBID_FILTER_LOOKUP,
	O_FORBID_FILTER_PERL,
	O_FORBID_FILTER_READFILE,
	O_FORBID_FILTER_READSOCKET,
	O_FORBID_FILTER_REPLY,
	O_FORBID_FILTER_RUN,
	O_FORBID_INCLUDE,
	O_FORBID_PIPE,
	O_FORBID_SIEVE_FILTER,
	O_FORBID_SMTP_CODE,
	O_HIDE_CHILD_IN_ERRMSG,
	O_IGNORE_EACCES,
	O_IGNORE_ENOTDIR,
	O_INCLUDE_DIRECTORY,
	O_MODEMASK,
	O_ONE_TIME,
	O_OWNERS,
	O_OWNGROUPS,
	O_PIPE_TRANSPORT,
	O_QUALIFY_DOMAIN,
	O_QUALIFY_PRESERVE_DOMAIN,
	O_REPEAT_USE,
	O_REPLY_TRANSPORT,
	O_REWRITE,
	O_SIEVE_SUBADDRESS,
	O_SIEVE_USERADDRESS,
	O_SIEVE_VACATION_DIRECTORY,
	O_SKIP_SYNTAX_ERRORS,
	O_SYNTAX_ERRORS_TEXT,
	O_SYNTAX_ERRORS_TO
};

struct redirect { /* immutable after instance_new */
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	const struct heddle_routing_service *routing;
	const struct heddle_file_service *file;
};

/* An item that was left out. */
struct fault {
	struct fault *next;
	slice why, item;
};

/* One list being read. */
struct list {
	const struct redirect *r;
	struct heddle_call *call;
	const struct heddle_address *address;
	uint32_t children, includes;
	uint64_t included; /* bytes of them */
	uint32_t as;       /* uid that reads included files; UINT32_MAX: the router's own */
	int of_file;       /* the list is of a file: how faults in it are spoken of */
	uint32_t verdict;  /* HEDDLE_R_DISCARD when :blackhole: was met, else 0 */
	struct fault *faults, **faults_end;
};

int redirect_flag(const struct redirect *r, struct heddle_call *call, uint32_t option);
/* Add the list's items as children.  FAIL and DEFER: :fail: and :defer:, with their texts; depth
 * counts includes. */
int32_t list_read(struct list *l, slice text, uint32_t depth);
/* report.c: syntax_errors_to is told what was left out. */
int32_t report_faults(struct list *l);
#endif
