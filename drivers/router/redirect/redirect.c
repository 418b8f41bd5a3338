/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * redirect: alias lists and users' forward files.  Exim specification, chapter 22.
 * items.c takes a list apart; this file is the router.  Filters are not built: allow_filter permits
 * them, and a file that is one defers, naming itself.
 */
#include "redirect.h"

#include <stdlib.h>
#include <strings.h>

#define FILE_MAX_BYTES (1u << 20)

#define OPT(n, t, init, d)                                                        \
	{                                                                         \
		.name = n, .initial = init, .doc = d, .type = t, .since_major = 1 \
	}
#define OPTX(n, t, init, fl, d)                                                                 \
	{                                                                                       \
		.name = n, .initial = init, .doc = d, .type = t, .flags = HEDDLE_O_EXPAND | fl, \
		.since_major = 1                                                                \
	}
static const struct heddle_option table[] = {
    [O_ALLOW_DEFER] = OPT("allow_defer", HEDDLE_T_BOOL, "false", "Lists may hold :defer:."),
    [O_ALLOW_FAIL] = OPT("allow_fail", HEDDLE_T_BOOL, "false", "Lists may hold :fail:."),
    [O_ALLOW_FILTER] = OPT("allow_filter", HEDDLE_T_BOOL, "false", "The data may be a filter."),
    [O_ALLOW_FREEZE] =
        OPT("allow_freeze", HEDDLE_T_BOOL, "false", "A filter may freeze the message."),
    [O_CHECK_ANCESTOR] = OPT("check_ancestor", HEDDLE_T_BOOL, "false",
        "An address that is its own ancestor is not redirected again."),
    [O_CHECK_GROUP] = OPT("check_group", HEDDLE_T_BOOL, NULL, "The file's group is checked."),
    [O_CHECK_OWNER] = OPT("check_owner", HEDDLE_T_BOOL, NULL, "The file's owner is checked."),
    [O_DATA] = OPTX("data", HEDDLE_T_STRING, NULL, 0, "The list itself."),
    [O_DIRECTORY_TRANSPORT] = OPTX("directory_transport", HEDDLE_T_STRING, NULL, HEDDLE_O_UNTAINTED,
        "Transport for items that are folders."),
    [O_FILE] =
        OPTX("file", HEDDLE_T_STRING, NULL, HEDDLE_O_UNTAINTED, "A file that holds the list."),
    [O_FILE_TRANSPORT] = OPTX("file_transport", HEDDLE_T_STRING, NULL, HEDDLE_O_UNTAINTED,
        "Transport for items that are files."),
    [O_FILTER_PREPEND_HOME] = OPT("filter_prepend_home", HEDDLE_T_BOOL, "true",
        "Relative file names in filters are below $home."),
    [O_FORBID_BLACKHOLE] =
        OPT("forbid_blackhole", HEDDLE_T_BOOL, "false", "Lists may not hold :blackhole:."),
    [O_FORBID_EXIM_FILTER] = OPT("forbid_exim_filter", HEDDLE_T_BOOL, "false", "No Exim filters."),
    [O_FORBID_FILE] = OPT("forbid_file", HEDDLE_T_BOOL, "false", "Lists may not name files."),
    [O_FORBID_FILTER_DLFUNC] =
        OPT("forbid_filter_dlfunc", HEDDLE_T_BOOL, "false", "No dlfunc in filters."),
    [O_FORBID_FILTER_EXISTSTEST] =
        OPT("forbid_filter_existstest", HEDDLE_T_BOOL, "false", "No exists in filters."),
    [O_FORBID_FILTER_LOGWRITE] =
        OPT("forbid_filter_logwrite", HEDDLE_T_BOOL, "false", "No logwrite in filters."),
    [O_FORBID_FILTER_LOOKUP] =
        OPT("forbid_filter_lookup", HEDDLE_T_BOOL, "false", "No lookup in filters."),
    [O_FORBID_FILTER_PERL] =
        OPT("forbid_filter_perl", HEDDLE_T_BOOL, "false", "No perl in filters."),
    [O_FORBID_FILTER_READFILE] =
        OPT("forbid_filter_readfile", HEDDLE_T_BOOL, "false", "No readfile in filters."),
    [O_FORBID_FILTER_READSOCKET] =
        OPT("forbid_filter_readsocket", HEDDLE_T_BOOL, "false", "No readsocket in filters."),
    [O_FORBID_FILTER_REPLY] =
        OPT("forbid_filter_reply", HEDDLE_T_BOOL, "false", "No replies from filters."),
    [O_FORBID_FILTER_RUN] = OPT("forbid_filter_run", HEDDLE_T_BOOL, "false", "No run in filters."),
    [O_FORBID_INCLUDE] =
        OPT("forbid_include", HEDDLE_T_BOOL, "false", "Lists may not hold :include:."),
    [O_FORBID_PIPE] = OPT("forbid_pipe", HEDDLE_T_BOOL, "false", "Lists may not hold commands."),
    [O_FORBID_SIEVE_FILTER] =
        OPT("forbid_sieve_filter", HEDDLE_T_BOOL, "false", "No Sieve filters."),
    [O_FORBID_SMTP_CODE] = OPT("forbid_smtp_code", HEDDLE_T_BOOL, "false",
        "A code in the text of :fail: or :defer: is ignored."),
    [O_HIDE_CHILD_IN_ERRMSG] = OPT(
        "hide_child_in_errmsg", HEDDLE_T_BOOL, "false", "Bounces do not show generated addresses."),
    [O_IGNORE_EACCES] = OPT("ignore_eacces", HEDDLE_T_BOOL, "false",
        "A file that cannot be opened is taken as absent."),
    [O_IGNORE_ENOTDIR] = OPT("ignore_enotdir", HEDDLE_T_BOOL, "false",
        "A path through something that is no folder is taken as absent."),
    [O_INCLUDE_DIRECTORY] = OPT(
        "include_directory", HEDDLE_T_STRING, NULL, "Included files must be below this folder."),
    [O_MODEMASK] = OPT("modemask", HEDDLE_T_OCTAL, "022", "Mode bits that the file must not have."),
    [O_ONE_TIME] = OPT(
        "one_time", HEDDLE_T_BOOL, "false", "Generated addresses become recipients of their own."),
    [O_OWNERS] = OPT("owners", HEDDLE_T_LIST, NULL, "Further permitted owners."),
    [O_OWNGROUPS] = OPT("owngroups", HEDDLE_T_LIST, NULL, "Further permitted groups."),
    [O_PIPE_TRANSPORT] = OPTX("pipe_transport", HEDDLE_T_STRING, NULL, HEDDLE_O_UNTAINTED,
        "Transport for items that are commands."),
    [O_QUALIFY_DOMAIN] =
        OPTX("qualify_domain", HEDDLE_T_STRING, NULL, 0, "Domain for addresses without one."),
    [O_QUALIFY_PRESERVE_DOMAIN] = OPT("qualify_preserve_domain", HEDDLE_T_BOOL, "false",
        "Addresses without a domain get the incoming one."),
    [O_REPEAT_USE] = OPT("repeat_use", HEDDLE_T_BOOL, "true",
        "Serve an address that descends from one that this router made."),
    [O_REPLY_TRANSPORT] = OPTX("reply_transport", HEDDLE_T_STRING, NULL, HEDDLE_O_UNTAINTED,
        "Transport for automatic replies."),
    [O_REWRITE] = OPT("rewrite", HEDDLE_T_BOOL, "true", "Generated addresses are rewritten."),
    [O_SIEVE_SUBADDRESS] =
        OPTX("sieve_subaddress", HEDDLE_T_STRING, NULL, 0, "Sieve: the :subaddress part."),
    [O_SIEVE_USERADDRESS] =
        OPTX("sieve_useraddress", HEDDLE_T_STRING, NULL, 0, "Sieve: the :user part."),
    [O_SIEVE_VACATION_DIRECTORY] = OPTX("sieve_vacation_directory", HEDDLE_T_STRING, NULL, 0,
        "Sieve: where vacation keeps its state."),
    [O_SKIP_SYNTAX_ERRORS] = OPT(
        "skip_syntax_errors", HEDDLE_T_BOOL, "false", "Items that cannot be parsed are left out."),
    [O_SYNTAX_ERRORS_TEXT] = OPTX(
        "syntax_errors_text", HEDDLE_T_STRING, NULL, 0, "Text of the message about syntax errors."),
    [O_SYNTAX_ERRORS_TO] =
        OPT("syntax_errors_to", HEDDLE_T_STRING, NULL, "Who is told of syntax errors."),
};

int redirect_flag(const struct redirect *r, struct heddle_call *call, uint32_t option)
{
	int64_t v = 0;
	return r->host->opt_int(call, r->cfg, option, &v) == HEDDLE_OK && v != 0;
}

static int32_t refuse(struct redirect *r, struct heddle_call *call, const char *why)
{
	r->host->reason(call, 0, heddle_text(NULL), heddle_text(why));
	free(r);
	return HEDDLE_ERROR;
}

static int is_set(const struct redirect *r, struct heddle_call *call, uint32_t option)
{
	slice v;
	/* one that cannot be expanded here and now is there all the same */
	return r->host->opt_text(call, r->cfg, option, &v) != HEDDLE_OK ||
	       !(v.flags & HEDDLE_ABSENT);
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct redirect *r = malloc(sizeof *r);

	(void)state;
	if (!r)
		return HEDDLE_DEFER;
	r->host = host;
	r->cfg = cfg;
	r->routing = host->service(host, HEDDLE_ROUTING_ID);
	r->file = host->service(host, HEDDLE_FILE_ID);
	if (is_set(r, call, O_DATA) == is_set(r, call, O_FILE))
		return refuse(r, call, "exactly one of data and file must be set");
	*out = r;
	return HEDDLE_OK;
}

static int32_t say(const struct redirect *r, struct heddle_call *call, int32_t result,
    const char *text, slice about)
{
	slice parts[2] = {heddle_text(text), about}, all = heddle_text(text);

	(void)r->host->join(call, parts, 2, &all);
	r->host->reason(call, 0, heddle_text(NULL), all);
	return result;
}

/* A variable that is a number, such as the uid of the address's local user; UINT32_MAX: there is
 * none. */
static uint32_t number_of(const struct redirect *r, struct heddle_call *call, const char *variable)
{
	slice v;
	uint32_t uid = 0;

	if (r->host->var_get(call, heddle_text(variable), &v) != HEDDLE_OK ||
	    (v.flags & HEDDLE_ABSENT) || v.len == 0)
		return UINT32_MAX;
	for (uint32_t i = 0; i < v.len; i++) {
		if (v.ptr[i] < '0' || v.ptr[i] > '9')
			return UINT32_MAX;
		uid = uid * 10 + (uint32_t)(v.ptr[i] - '0');
	}
	return uid;
}

/* An option that was set: *value is it.  (Those without a default of their own are absent else.) */
static int given(const struct redirect *r, struct heddle_call *call, uint32_t option, slice *value)
{
	return r->host->opt_text(call, r->cfg, option, value) == HEDDLE_OK &&
	       !(value->flags & HEDDLE_ABSENT);
}

static int32_t read_file(
    const struct redirect *r, struct heddle_call *call, slice path, uint32_t user, slice *out)
{
	struct heddle_file_rules rules = {.struct_size = sizeof rules,
	    .modemask = 022,
	    .gid = number_of(r, call, "local_user_gid"),
	    .owners = {NULL, 0, HEDDLE_ABSENT, 0},
	    .groups = {NULL, 0, HEDDLE_ABSENT, 0}};
	int64_t mask = 022, set = 0;
	int local = user != UINT32_MAX;

	if (r->host->opt_int(call, r->cfg, O_MODEMASK, &mask) == HEDDLE_OK)
		rules.modemask = (uint32_t)mask;
	int owners = given(r, call, O_OWNERS, &rules.owners),
	    groups = given(r, call, O_OWNGROUPS, &rules.groups);
	if (r->host->opt_int(call, r->cfg, O_CHECK_OWNER, &set) == HEDDLE_OK ? set != 0
	                                                                     : local || owners)
		rules.flags |= HEDDLE_FILE_OWNER;
	if (r->host->opt_int(call, r->cfg, O_CHECK_GROUP, &set) == HEDDLE_OK
	        ? set != 0
	        : (local && !(mask & 020)) || groups)
		rules.flags |= HEDDLE_FILE_GROUP;
	if (redirect_flag(r, call, O_IGNORE_EACCES))
		rules.flags |= HEDDLE_FILE_EACCES;
	if (redirect_flag(r, call, O_IGNORE_ENOTDIR))
		rules.flags |= HEDDLE_FILE_ENOTDIR;
	return r->file->read_checked(call, path, user, user, FILE_MAX_BYTES, &rules, out);
}

/* FAIL: decline. */
static int32_t get_data(
    const struct redirect *r, struct heddle_call *call, struct list *l, slice *out)
{
	slice path;
	int32_t rc = r->host->opt_text(call, r->cfg, O_DATA, out);

	if (rc != HEDDLE_OK || !(out->flags & HEDDLE_ABSENT))
		return rc == HEDDLE_OK && out->len == 0 ? HEDDLE_FAIL : rc;
	rc = r->host->opt_text(call, r->cfg, O_FILE, &path);
	if (rc != HEDDLE_OK)
		return rc;
	if (path.len == 0 || path.ptr[0] != '/')
		return say(r, call, HEDDLE_DEFER, "file is not an absolute path: ", path);
	if (!r->file)
		return say(r, call, HEDDLE_DEFER, "nobody can read ", path);
	l->as = number_of(r, call, "local_user_uid");
	l->of_file = 1;
	return read_file(r, call, path, l->as, out);
}

static int starts(slice s, const char *with)
{
	size_t n = strlen(with);
	return s.len >= n && strncasecmp(s.ptr, with, n) == 0;
}

static int32_t decline(struct heddle_route *out)
{
	out->verdict = HEDDLE_R_DECLINE;
	return HEDDLE_OK;
}

static int32_t route(struct heddle_call *call, void *inst, const struct heddle_address *address,
    struct heddle_route *out)
{
	const struct redirect *r = inst;
	struct list l = {.r = r, .call = call, .address = address, .as = UINT32_MAX};
	slice data;

	l.faults_end = &l.faults;
	/* check_ancestor looks at the children; whether this very address comes round again is the
	 * kernel's rule */
	int32_t rc = get_data(r, call, &l, &data);
	if (rc == HEDDLE_FAIL)
		return decline(out);
	if (rc != HEDDLE_OK)
		return rc;
	if (starts(data, "#exim filter") || starts(data, "# exim filter") ||
	    starts(data, "#sieve filter") || starts(data, "# sieve filter")) {
		return say(r, call, HEDDLE_DEFER,
		    redirect_flag(r, call, O_ALLOW_FILTER)
		        ? "not supported yet: filter files (allow_filter)"
		        : "error in filter file: filtering not enabled",
		    heddle_text(""));
	}
	rc = list_read(&l, data, 0);
	if (rc != HEDDLE_OK)
		return rc;
	if (l.verdict) {
		out->verdict = l.verdict;
		return HEDDLE_OK;
	}
	if (l.faults) {
		rc = report_faults(&l);
		if (rc != HEDDLE_OK)
			return rc;
	}
	if (l.children == 0) {
		if (l.faults) /* if nobody else takes it, this is why */
			r->host->reason(call, 0, heddle_text("syntax error in redirection data"),
			    heddle_text("syntax error in redirection data"));
		return decline(out);
	}
	out->verdict = HEDDLE_R_REROUTE;
	return HEDDLE_OK;
}

static const struct heddle_router_ops ops = {.struct_size = sizeof ops, .route = route};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_ROUTER,
    .flags = HEDDLE_F_BLOCKS,
    .name = "redirect",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "alias lists and users' forward files",
    .options = table,
    .option_count = sizeof table / sizeof *table,
    .option_size = sizeof *table,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
