/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config/config: one immutable snapshot of the configuration.
 * Life: config_load builds it in an arena of its own, checks everything, and publishes it with one
 * reference; sessions and deliveries take references; the last config_unref frees the drivers'
 * instances and the arena. Threads: after loading only the reference count changes.  Blocks:
 * loading reads files; reading a snapshot never does. Source: Exim specification, chapter 6.
 */
#ifndef HEDDLE_CONFIG_CONFIG_H
#define HEDDLE_CONFIG_CONFIG_H
#include "base/strbuf.h"
#include "base/vec.h"
#include "expand/expand.h"
#include "match/match.h"

struct driver; /* driver/driver.h */
struct config;

/* One value of an option, of whatever type its row says. */
struct option_value {
	const struct heddle_option *row; /* NULL: end of an array */
	bool is_set;                     /* by the configuration, not by default */
	bool hide;
	const char *file;
	unsigned line;
	slice_t text;            /* as written, after macros; ABSENT: neither set nor defaulted */
	int64_t number;          /* BOOL 0/1, INT, OCTAL, SIZE bytes, TIME ms, ENUM index */
	const struct expr *expr; /* O_EXPAND options; for expandable numbers and booleans too */
	struct match_list *list; /* DOMAINS, HOSTS, ADDRESSES, LOCALPARTS */
};

/* Main options: kernel/config/main_options.def gives one row each; MO_smtp_banner is its index. */
enum main_option {
#define MAIN_OPTION(name, type, initial, type_arg, flags, support, doc) MO_##name,
#include "config/main_options.def"
#undef MAIN_OPTION
	MO_COUNT
};
const struct option_value *config_main(const struct config *cfg, enum main_option which);
bool config_bool(const struct config *cfg, enum main_option which);
int64_t config_int(
    const struct config *cfg, enum main_option which); /* INT, SIZE, TIME in ms, OCTAL, ENUM */
slice_t config_text(const struct config *cfg, enum main_option which);            /* unexpanded */
struct match_list *config_list(const struct config *cfg, enum main_option which); /* NULL: unset */
/* Expanded; unset gives OK and ABSENT. */
MUST_USE enum rc config_expand(
    struct eval *ev, enum main_option which, slice_t *out, struct error *err);

/* Generic options of routers, transports and authenticators: router_options.def etc., RO_, TO_, AO_
 * indices. */
enum router_option {
#define SECTION_OPTION(name, type, initial, type_arg, flags, support, doc) RO_##name,
#include "config/router_options.def"
#undef SECTION_OPTION
	RO_COUNT
};
enum transport_option {
#define SECTION_OPTION(name, type, initial, type_arg, flags, support, doc) TO_##name,
#include "config/transport_options.def"
#undef SECTION_OPTION
	TO_COUNT
};
enum auth_option {
#define SECTION_OPTION(name, type, initial, type_arg, flags, support, doc) AO_##name,
#include "config/auth_options.def"
#undef SECTION_OPTION
	AO_COUNT
};

/* One router, transport or authenticator: this is the ABI's struct heddle_instance. */
struct heddle_instance {
	slice_t name; /* CLEAN */
	const char *file;
	unsigned line;
	uint32_t index; /* place in its section */
	const struct config *cfg;
	const struct driver *driver;
	void *inst; /* what the driver's instance_new gave; NULL where it runs elsewhere (agents) */
	struct option_value *generic; /* RO_/TO_/AO_ indexed */
	struct option_value *own; /* by the driver's option table; driver->option_count of them */
	struct vec sets; /* routers: struct config_set, in order; generic[RO_set] has the text */
};
/* One `set = r_NAME = value` of a router. */
struct config_set {
	slice_t name; /* with the r_ */
	const struct expr *value;
};
/* Sections in the order of the file. */
const struct heddle_instance *config_router(
    const struct config *cfg, uint32_t i); /* NULL past the end */
const struct heddle_instance *config_transport(const struct config *cfg, uint32_t i);
const struct heddle_instance *config_auth(const struct config *cfg, uint32_t i);
/* Is this authenticator set up as a server, as a client? (abi/heddle/auth.h) */
bool config_auth_serves(const struct heddle_instance *auth);
bool config_auth_is_client(const struct heddle_instance *auth);
const struct heddle_instance *config_router_named(const struct config *cfg, slice_t name);
const struct heddle_instance *config_transport_named(const struct config *cfg, slice_t name);

/* The users and groups that are named as constants, in main lists and in sections. */
struct config_account {
	slice_t name;
	bool is_group;
	const char *file;
	unsigned line;
	bool is_never; /* of never_users */
	slice_t where; /* "router NAME: option "user"" */
};
/* out: struct config_account, on a. */
void config_accounts(const struct config *cfg, struct arena *a, struct vec *out);
/* There is nobody of that name: one more problem (struct error), on a. */
void config_account_unknown(const struct config_account *c, struct arena *a, struct vec *problems);

/* A named list (domainlist, hostlist, addresslist, localpartlist), compiled; NULL: unknown. */
bool config_named_text(const struct config *cfg, enum match_kind kind, slice_t name, slice_t *out);
struct match_list *config_named_list(const struct config *cfg, enum match_kind kind, slice_t name);

/* ACL text as read; acl/ compiles it (see config_hooks).  "accept hosts = a" is two lines: a verb,
 * and a condition. `set acl_m_x = y` has the keyword "set" and the value "acl_m_x = y". */
struct acl_line {
	const char *file;
	unsigned line;
	bool negated;
	slice_t keyword; /* verb, condition or modifier, as written */
	slice_t value;   /* after '='; ABSENT: none */
	bool is_verb;    /* starts a statement */
};
struct acl_source {
	slice_t name;
	struct vec lines; /* struct acl_line */
};
uint32_t config_acl_count(const struct config *cfg);
const struct acl_source *config_acl_source(const struct config *cfg, uint32_t i);
/* The values of the main options that a driver's table declares, in its order; `a` is for those of
 * a driver whose options are not set. */
MUST_USE enum rc config_driver_options(const struct config *cfg, const struct driver *d,
    struct arena *a, struct option_value **out, struct error *err);
const void *config_acls(const struct config *cfg); /* what hooks->compile_acls gave */

/* Retry rules, in order. */
enum retry_form { RETRY_FIXED = 'F', RETRY_GEOMETRIC = 'G', RETRY_RANDOM = 'H' };
struct retry_step {
	enum retry_form form;
	int64_t until_s, interval_s;
	int64_t factor_milli; /* G and H: 1500 = 1.5 */
};
struct retry_rule {
	const char *file;
	unsigned line;
	slice_t pattern_text;
	struct match_list *pattern; /* an address list of one item: domains and addresses */
	slice_t error; /* "*", "timeout", "rcpt_4xx", ... checked against the known names */
	struct match_list *senders; /* or NULL */
	struct vec steps;           /* struct retry_step */
};
const struct vec *config_retry_rules(const struct config *cfg); /* struct retry_rule */
bool config_is_retry_error(slice_t name);                       /* one that a rule may name */

struct rewrite_rule {
	const char *file;
	unsigned line;
	struct match_list *pattern;
	const struct expr *replacement;
	slice_t flags;
};
const struct vec *config_rewrite_rules(const struct config *cfg);

/* ---- loading ---- */
struct config_hooks { /* modules above that compile their part; err as everywhere; NULL: left out */
	enum rc (*compile_acls)(const struct config *cfg, struct arena *a, struct vec *problems,
	    struct vec *warnings, const void **out_acls);
};
struct config_source {
	const char
	    *path; /* what errors name; .include is relative to nothing: absolute paths only */
	slice_t content; /* ABSENT: read path */
	/* how files are read, .include too: NULL reads the file system.  RC_FAIL: does not exist.
	 * The content lives as long as the load.  Master records what it reads, the kernel reads
	 * what master recorded. */
	enum rc (*read_file)(void *ctx, const char *path, slice_t *out, struct error *err);
	void *read_ctx;
	const slice_t
	    *defines; /* -D: "NAME=value"; drivers NULL: only what needs no driver is checked */
	uint32_t define_count;
	struct drivers *drivers; /* loader: option tables, instances */
	const struct process_facts *process;
	const struct config_hooks *hooks;
	struct services *services; /* whose host table instances get; NULL: as no_instances */
	uint64_t serial;           /* the snapshot's number; 0: made of the clock */
	bool no_instances;         /* only check: master, -bP */
	bool no_includes;          /* .include is an error: content from strangers (fuzzing) */
};
/* Errors go to problems (struct error, all that can be found in one go, on `scratch`); warnings
 * likewise.  RC_ERROR if there is at least one problem; nothing is published then. */
MUST_USE enum rc config_load(const struct config_source *src, struct arena *scratch,
    struct vec *problems, struct vec *warnings, struct config **out_cfg);
struct config *config_ref(const struct config *cfg);
void config_unref(struct config **cfg);
uint64_t config_serial(const struct config *cfg);
/* The source's facts with primary_hostname and spool_directory as the configuration sets them;
 * texts are borrowed from the source.  config_text of primary_hostname, qualify_domain and
 * qualify_recipient is what is in force, set or not. */
const struct process_facts *config_process(const struct config *cfg);
struct drivers *config_drivers(const struct config *cfg);
/* Exim's -bP: "name = value" lines; what: "" all main options, a name, "router NAME", "routers",
 * "macros", ... */
MUST_USE enum rc config_print(
    const struct config *cfg, slice_t what, bool admin, struct strbuf *out, struct error *err);
#endif
