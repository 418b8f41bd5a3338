/* SPDX-License-Identifier: GPL-3.0-or-later */
/* smtp, shared by its parts: smtp.c tries hosts, options.c is the table and what of it is refused.
 */
#ifndef HEDDLE_TRANSPORT_SMTP_H
#define HEDDLE_TRANSPORT_SMTP_H
#include <heddle/transport.h>

enum {
#define ROW(name, initial, type, flags, doc)   OPT_##name,
#define REFUSED(name, initial, type, off, doc) OPT_##name,
#include "options.def"
#undef ROW
#undef REFUSED
	OPT_COUNT
};
extern const struct heddle_option smtp_options[OPT_COUNT];

struct smtp { /* one section; constant after instance_new */
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	int lmtp, hosts_override, hosts_randomize;
	int64_t max_rcpt, hosts_max_try, hosts_max_try_hardlimit;
};

/* ERROR with its reason: an option is set that this version cannot do. */
int32_t smtp_check_refused(struct heddle_call *call, const struct smtp *in);
int32_t smtp_refuse(
    struct heddle_call *call, const struct smtp *in, const char *what, const char *name);
#endif
