/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pipe: the message goes to a command's standard input; its exit status says what became of it.
 * Exim specification, chapter 29.  A command gets an argument vector: use_shell is refused, since
 * text never becomes code here.
 */
#include "pipe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define TEXT_MAX    2048
#define EXEC_FAILED 127

/* ---- texts
 * ---------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static struct heddle_slice format_list(
    struct delivery *d, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];
	struct heddle_slice out;
	int n = vsnprintf(text, sizeof text, fmt, ap);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
	const struct heddle_slice s = heddle_bytes(text, len, 0);
	return d->host->join(d->call, &s, 1, &out) == HEDDLE_OK ? out
	                                                        : heddle_text("out of memory");
}

struct heddle_slice format(struct delivery *d, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct heddle_slice s = format_list(d, fmt, ap);
	va_end(ap);
	return s;
}

int32_t say(struct delivery *d, int32_t result, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	d->why = format_list(d, fmt, ap);
	va_end(ap);
	return result;
}

/* ---- what became of the command
 * ------------------------------------------------------------------------- */

static struct heddle_slice command_text(struct delivery *d)
{
	struct heddle_slice out = d->argv[0];
	for (uint32_t i = 1; i < d->argc; i++) {
		const struct heddle_slice parts[] = {out, heddle_text(" "), d->argv[i]};
		struct heddle_slice longer;
		if (out.len > TEXT_MAX / 4 ||
		    d->host->join(d->call, parts, 3, &longer) != HEDDLE_OK)
			break;
		out = longer;
	}
	return out;
}

#define FAILED_HERE "local delivery failed" /* what the sender is told */

static const char *signal_name(int number)
{
	const char *name = sigdescr_np(number);
	return name ? name : "Unknown signal";
}

static const char *status_meaning(int status, char *buf, size_t size)
{
	static const char *const of[] = {"usage or syntax error", "error in input data",
	    "input data missing", "user nonexistent", "host nonexistent",
	    "service or program unavailable", "internal software error",
	    "internal operating system error", "system file missing", "can't create output file",
	    "input/output error", "temporary error", "protocol error", "permission denied",
	    "configuration error"};
	if (status == EXEC_FAILED)
		return " (could mean unable to exec or command does not exist)";
	if (status >= 64 && status < 64 + (int)(sizeof of / sizeof *of))
		(void)snprintf(buf, size, " (could mean %s)", of[status - 64]);
	else if (status > 128)
		(void)snprintf(buf, size, " (could mean shell command ended by signal %d (%s))",
		    status - 128, signal_name(status - 128));
	else
		buf[0] = '\0';
	return buf;
}

static int is_temporary(const struct pipe *in, int status)
{
	for (int i = 0; i < in->temporary_count; i++)
		if (in->temporary[i] == status)
			return 1;
	return in->all_temporary;
}

static int32_t judge(struct delivery *d, int32_t status, int has_output)
{
	const struct pipe *in = d->in;
	struct heddle_slice name = d->host->instance_name(in->cfg), cmd = command_text(d);
	char meaning[80];
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	d->shown = heddle_text(FAILED_HERE);
	if (WIFSIGNALED(status) && (in->freeze_signal || !in->ignore_status)) {
		if (in->freeze_signal)
			d->flags |= HEDDLE_X_FREEZE;
		return say(d, in->freeze_signal ? HEDDLE_DEFER : HEDDLE_FAIL,
		    "Child process of %.*s transport (running command \"%.*s\") was terminated by "
		    "signal %d (%s)",
		    (int)name.len, name.ptr, (int)cmd.len, cmd.ptr, WTERMSIG(status),
		    signal_name(WTERMSIG(status)));
	}
	if (code == EXEC_FAILED && in->freeze_exec_fail) {
		d->flags |= HEDDLE_X_FREEZE;
		return say(
		    d, HEDDLE_DEFER, "pipe process failed to exec \"%.*s\"", (int)cmd.len, cmd.ptr);
	}
	if (code == 0 || in->ignore_status)
		d->shown = heddle_text("");
	if (code == 0 || in->ignore_status)
		return in->return_output && has_output
		           ? say(d, HEDDLE_FAIL, "return message generated")
		           : HEDDLE_OK;
	int later = !(in->return_output && has_output) && is_temporary(in, code);
	const char *space = cmd.len ? memchr(cmd.ptr, ' ', cmd.len) : NULL;
	if (space)
		cmd.len = (uint32_t)(space - cmd.ptr); /* its arguments are not named */
	return say(d, later ? HEDDLE_DEFER : HEDDLE_FAIL,
	    "Child process of %.*s transport returned %d%s from command: %.*s", (int)name.len,
	    name.ptr, code, status_meaning(code, meaning, sizeof meaning), (int)d->argv[0].len,
	    d->argv[0].ptr);
}

/* The command's words, to the log and to the sender, as the options say. */
static void use_output(struct delivery *d, int32_t result, struct heddle_slice output)
{
	const struct pipe *in = d->in;
	struct heddle_slice name = d->host->instance_name(in->cfg);
	const char *nl = output.len ? memchr(output.ptr, '\n', output.len) : NULL;
	int first = output.len == 0 ? 0 : nl ? (int)(nl - output.ptr) : (int)output.len;
	struct heddle_recipient r = {.struct_size = sizeof r};
	int logged = in->log_output || (in->log_fail && result == HEDDLE_FAIL) ||
	             (in->log_defer && result == HEDDLE_DEFER);
	if (output.len == 0)
		return;
	if (logged && d->service->recipient(d->call, d->job, 0, &r) == HEDDLE_OK)
		d->host->log(d->call, HEDDLE_LOG_MAIN,
		    format(d, "<%.*s>: %.*s transport output: %.*s", (int)r.address.len,
		        r.address.ptr, (int)name.len, name.ptr, first, output.ptr));
	if (result == HEDDLE_FAIL && (in->return_output || in->return_fail_output) &&
	    d->info.sender.len) {
		const struct heddle_slice parts[] = {d->shown, heddle_text("\n"), output};
		if (d->host->join(d->call, parts, 3, &d->shown) != HEDDLE_OK)
			d->shown = heddle_text(NULL);
	}
}

/* ---- running it
 * ----------------------------------------------------------------------------------------- */

static struct heddle_slice working_folder(struct delivery *d)
{
	struct heddle_slice home;
	const char *p;
	struct stat st;
	if (d->host->var_get(d->call, heddle_text("home"), &home) == HEDDLE_OK && home.len &&
	    home.ptr[0] == '/' && d->host->cstr(d->call, home, &p) == HEDDLE_OK &&
	    stat(p, &st) == 0 && S_ISDIR(st.st_mode))
		return home;
	return heddle_text("/");
}

/* All that it writes; the service ends it when that becomes too much (FAIL). */
static int32_t read_output(struct delivery *d, struct heddle_child *child, struct heddle_slice *out)
{
	uint64_t cap = (uint64_t)d->in->max_output + 1, have = 0;
	char *buf = d->host->alloc(d->call, cap, 1);
	if (!buf)
		return say(d, HEDDLE_DEFER, "out of memory");
	for (;;) {
		uint64_t got = 0;
		if (have == cap)
			return HEDDLE_FAIL;
		int32_t rc = d->spawn->read(d->call, child, buf + have, cap - have, &got);
		if (rc != HEDDLE_OK)
			return rc;
		if (got == 0)
			break;
		have += got;
	}
	*out = heddle_bytes(buf, have, 0);
	return HEDDLE_OK;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int32_t start(struct delivery *d, struct heddle_child **child)
{
	const struct heddle_command cmd = {
	    .struct_size = sizeof cmd,
	    .argc = d->argc,
	    .argv = d->argv,
	    .envc = d->envc,
	    .env = d->env,
	    .flags = HEDDLE_RUN_UMASK,
	    .uid = UINT32_MAX,
	    .gid = UINT32_MAX,
	    .directory = working_folder(d),
	    .output_limit = (uint64_t)d->in->max_output,
	    .timeout_ms = d->in->timeout_ms < UINT32_MAX ? (uint32_t)d->in->timeout_ms : 0,
	    .umask = (uint32_t)d->in->umask,
	};
	return d->spawn->start(d->call, &cmd, child);
}

/* DEFER from the service: our own time limit, or something that has nothing to do with the command?
 */
static int32_t broken_off(struct delivery *d, int32_t rc, int64_t began)
{
	d->shown = heddle_text(FAILED_HERE);
	if (rc == HEDDLE_FAIL)
		return say(d, HEDDLE_FAIL, "Too much output from pipe - killed");
	if (rc == HEDDLE_DEFER && d->in->timeout_ms > 0 && now_ms() - began >= d->in->timeout_ms)
		return say(d, d->in->timeout_defer ? HEDDLE_DEFER : HEDDLE_FAIL,
		    "pipe delivery process timed out");
	return rc;
}

static int32_t run(struct delivery *d)
{
	struct heddle_child *child = NULL;
	struct heddle_slice output = heddle_text("");
	int32_t status = 0, fed;
	int64_t began = now_ms();
	int32_t rc = start(d, &child);
	if (rc != HEDDLE_OK)
		return rc;
	fed = feed_message(d, child);
	if (fed == HEDDLE_DEFER || fed == HEDDLE_ERROR)
		return broken_off(d, fed, began);
	/* FAIL: it does not want the rest of the message, or has written too much; the rest tells
	 * which */
	rc = d->spawn->feed_end(d->call, child);
	if (rc == HEDDLE_OK)
		rc = read_output(d, child, &output);
	if (rc == HEDDLE_OK)
		rc = d->spawn->wait(d->call, child, &status);
	if (rc == HEDDLE_OK && fed == HEDDLE_FAIL && WIFSIGNALED(status) && WTERMSIG(status) == 9)
		rc = HEDDLE_FAIL;
	if (rc != HEDDLE_OK)
		return broken_off(d, rc, began);
	rc = judge(d, status, output.len > 0);
	use_output(d, rc, output);
	return rc;
}

/* An outcome only for what the returned result cannot say. */
static int32_t tell(struct delivery *d, int32_t result)
{
	struct heddle_outcome o = {.struct_size = sizeof o,
	    .result = result,
	    .host = -1,
	    .flags = d->flags,
	    .text = d->why};
	int32_t rc = HEDDLE_OK;
	if (result != HEDDLE_OK && d->why.len)
		d->host->reason(d->call, 0, d->shown, d->why);
	if (result != HEDDLE_OK && !(d->flags & HEDDLE_X_FREEZE))
		return result;
	for (uint32_t i = 0; rc == HEDDLE_OK && i < d->info.recipients; i++)
		rc = d->service->outcome(d->call, d->job, i, &o);
	return rc == HEDDLE_OK ? result : rc;
}

static int32_t deliver(struct heddle_call *call, void *inst, struct heddle_job *job)
{
	struct pipe *in = inst;
	const struct heddle_host *host = in->host;
	struct delivery *d = host->alloc(call, sizeof *d, 16);
	if (!d) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return HEDDLE_DEFER;
	}
	*d = (struct delivery){
	    .call = call, .in = in, .host = host, .job = job, .shown = heddle_text(NULL)};
	d->service = host->service(host, HEDDLE_DELIVERY_ID);
	d->message = host->service(host, HEDDLE_MESSAGE_ID);
	d->spawn = host->service(host, HEDDLE_SPAWN_ID);
	if (!d->service || !d->message || !d->spawn) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("nothing here runs commands"));
		return HEDDLE_DEFER;
	}
	d->info = (struct heddle_job_info){
	    .struct_size = sizeof d->info, .path = {.flags = HEDDLE_ABSENT}};
	int32_t rc = d->service->info(call, job, &d->info);
	if (rc == HEDDLE_OK)
		rc = make_command(d);
	if (rc == HEDDLE_OK)
		rc = make_environment(d);
	if (rc == HEDDLE_OK)
		rc = run(d);
	return tell(d, rc);
}

/* ---- options
 * -------------------------------------------------------------------------------------------- */

#define ROW(n, i, t, f, text)                                                                  \
	{                                                                                      \
		.name = n, .initial = i, .type = t, .flags = f, .doc = text, .since_major = 0, \
		.since_minor = 1                                                               \
	}
#define X HEDDLE_O_EXPAND

static const struct heddle_option options[OPT_COUNT] = {
    [OPT_ALLOW_COMMANDS] =
        ROW("allow_commands", NULL, HEDDLE_T_LIST, X, "the only commands that may be run"),
    [OPT_BATCH_ID] = ROW("batch_id", NULL, HEDDLE_T_STRING, X,
        "addresses for which this comes to the same may share a delivery"),
    [OPT_BATCH_MAX] = ROW("batch_max", "1", HEDDLE_T_INT, 0, "addresses in one delivery"),
    [OPT_CHECK_STRING] = ROW("check_string", NULL, HEDDLE_T_STRING, 0,
        "what no line may begin with: it is replaced by escape_string"),
    [OPT_COMMAND] = ROW("command", NULL, HEDDLE_T_STRING, 0,
        "what to run: split into arguments, each of which is expanded by itself"),
    [OPT_ENVIRONMENT] =
        ROW("environment", NULL, HEDDLE_T_LIST, X, "further NAME=value for the command"),
    [OPT_ESCAPE_STRING] = ROW("escape_string", NULL, HEDDLE_T_STRING, 0, "see check_string"),
    [OPT_FORCE_COMMAND] = ROW("force_command", "false", HEDDLE_T_BOOL, 0,
        "run command for an address that is itself a command, which is then $address_pipe"),
    [OPT_FREEZE_EXEC_FAIL] =
        ROW("freeze_exec_fail", "false", HEDDLE_T_BOOL, 0, "freeze if the command cannot be run"),
    [OPT_FREEZE_SIGNAL] =
        ROW("freeze_signal", "false", HEDDLE_T_BOOL, 0, "freeze if a signal ends the command"),
    [OPT_IGNORE_STATUS] =
        ROW("ignore_status", "false", HEDDLE_T_BOOL, 0, "whatever the command returns is success"),
    [OPT_LOG_DEFER_OUTPUT] = ROW("log_defer_output", "false", HEDDLE_T_BOOL, 0,
        "log the first line of output of a deferral"),
    [OPT_LOG_FAIL_OUTPUT] = ROW(
        "log_fail_output", "false", HEDDLE_T_BOOL, 0, "log the first line of output of a failure"),
    [OPT_LOG_OUTPUT] = ROW("log_output", "false", HEDDLE_T_BOOL, 0, "log the first line of output"),
    [OPT_MAX_OUTPUT] =
        ROW("max_output", "20K", HEDDLE_T_SIZE, 0, "a command that writes more is killed"),
    [OPT_MESSAGE_PREFIX] = ROW("message_prefix", NULL, HEDDLE_T_STRING, X,
        "put before the message; unset: a line of \"From \", return path and date"),
    [OPT_MESSAGE_SUFFIX] = ROW(
        "message_suffix", NULL, HEDDLE_T_STRING, X, "put after the message; unset: an empty line"),
    [OPT_PATH] = ROW("path", "/bin:/usr/bin", HEDDLE_T_LIST, X | HEDDLE_O_UNTAINTED,
        "where commands are looked for, and the command's PATH"),
    [OPT_PERMIT_COREDUMP] = ROW("permit_coredump", "false", HEDDLE_T_BOOL, 0,
        "let a crash leave a core file; not supported yet"),
    [OPT_PIPE_AS_CREATOR] = ROW("pipe_as_creator", "false", HEDDLE_T_BOOL, 0,
        "run as who submitted the message; not supported yet"),
    [OPT_RESTRICT_TO_PATH] =
        ROW("restrict_to_path", "false", HEDDLE_T_BOOL, 0, "only commands found in path"),
    [OPT_RETURN_FAIL_OUTPUT] = ROW(
        "return_fail_output", "false", HEDDLE_T_BOOL, 0, "a failure's output goes into the bounce"),
    [OPT_RETURN_OUTPUT] = ROW(
        "return_output", "false", HEDDLE_T_BOOL, 0, "output is failure, and goes into the bounce"),
    [OPT_TEMP_ERRORS] = ROW("temp_errors", "75 : 73", HEDDLE_T_LIST, 0,
        "return codes that mean: try again later; *: all"),
    [OPT_TIMEOUT] =
        ROW("timeout", "1h", HEDDLE_T_TIME, 0, "a command that takes longer is killed; 0: none"),
    [OPT_TIMEOUT_DEFER] =
        ROW("timeout_defer", "false", HEDDLE_T_BOOL, 0, "a time-out is temporary"),
    [OPT_UMASK] = ROW("umask", "022", HEDDLE_T_OCTAL, 0, "the command's umask"),
    [OPT_USE_BSMTP] = ROW("use_bsmtp", "false", HEDDLE_T_BOOL, 0, "batch SMTP; not supported yet"),
    [OPT_USE_CLASSRESOURCES] = ROW("use_classresources", "false", HEDDLE_T_BOOL, 0,
        "limits by login class: other systems only"),
    [OPT_USE_CRLF] = ROW("use_crlf", "false", HEDDLE_T_BOOL, 0, "lines end with CR and LF"),
    [OPT_USE_SHELL] =
        ROW("use_shell", "false", HEDDLE_T_BOOL, 0, "refused: text never becomes code"),
};

static int64_t number(struct heddle_call *call, const struct pipe *in, uint32_t i)
{
	int64_t v = 0;
	return in->host->opt_int(call, in->cfg, i, &v) == HEDDLE_OK ? v : 0;
}

static int32_t refuse(struct heddle_call *call, const struct pipe *in, const char *text)
{
	in->host->reason(call, 0, heddle_text(NULL), heddle_text(text));
	return HEDDLE_ERROR;
}

static void read_numbers(struct heddle_call *call, struct pipe *in)
{
	in->force_command = number(call, in, OPT_FORCE_COMMAND) != 0;
	in->freeze_exec_fail = number(call, in, OPT_FREEZE_EXEC_FAIL) != 0;
	in->freeze_signal = number(call, in, OPT_FREEZE_SIGNAL) != 0;
	in->ignore_status = number(call, in, OPT_IGNORE_STATUS) != 0;
	in->log_defer = number(call, in, OPT_LOG_DEFER_OUTPUT) != 0;
	in->log_fail = number(call, in, OPT_LOG_FAIL_OUTPUT) != 0;
	in->log_output = number(call, in, OPT_LOG_OUTPUT) != 0;
	in->restrict_to_path = number(call, in, OPT_RESTRICT_TO_PATH) != 0;
	in->return_output = number(call, in, OPT_RETURN_OUTPUT) != 0;
	in->return_fail_output = number(call, in, OPT_RETURN_FAIL_OUTPUT) != 0;
	in->timeout_defer = number(call, in, OPT_TIMEOUT_DEFER) != 0;
	in->use_crlf = number(call, in, OPT_USE_CRLF) != 0;
	in->max_output = number(call, in, OPT_MAX_OUTPUT);
	if (in->max_output < 1)
		in->max_output = 20480;
	if (in->max_output > 16 << 20)
		in->max_output = 16 << 20;
	in->timeout_ms = number(call, in, OPT_TIMEOUT);
	in->umask = number(call, in, OPT_UMASK) & 0777;
}

static int32_t read_temporary(struct heddle_call *call, struct pipe *in)
{
	static const char wrong[] = "temp_errors must be a list of numbers or an asterisk";
	struct heddle_slice list, item;
	uint64_t pos = 0;
	int32_t rc = in->host->opt_text(call, in->cfg, OPT_TEMP_ERRORS, &list);
	if (rc != HEDDLE_OK)
		return rc;
	if (list.flags & HEDDLE_ABSENT)
		list = heddle_text("75 : 73");
	while (in->host->item(call, list, &pos, &item) == HEDDLE_OK) {
		int v = 0;
		if (item.len == 1 && item.ptr[0] == '*') {
			in->all_temporary = 1;
			continue;
		}
		if (item.len == 0 || item.len > 3 || in->temporary_count == TEMP_MAX)
			return refuse(call, in, wrong);
		for (uint32_t i = 0; i < item.len; i++) {
			if (item.ptr[i] < '0' || item.ptr[i] > '9')
				return refuse(call, in, wrong);
			v = v * 10 + (item.ptr[i] - '0');
		}
		in->temporary[in->temporary_count++] = v;
	}
	return HEDDLE_OK;
}

/* The command must at least be a list of arguments that can be compiled: better known now than with
 * the first message. */
static int32_t check_command(struct heddle_call *call, const struct pipe *in)
{
	struct delivery d = {.call = call, .in = in, .host = in->host};
	struct heddle_slice line, word;
	struct heddle_expr *x = NULL;
	uint32_t at = 0;
	int got;
	int32_t rc = in->host->opt_text(call, in->cfg, OPT_COMMAND, &line);
	if (rc != HEDDLE_OK || line.len == 0)
		return rc;
	while (rc == HEDDLE_OK && (got = next_word(&d, line, &at, &word)) != 0) {
		if (got < 0)
			return refuse(call, in, "unbalanced quotes in command");
		if (word.len && memchr(word.ptr, '$', word.len) &&
		    !(word.len == 15 && memcmp(word.ptr, "$pipe_addresses", 15) == 0))
			rc = in->host->compile(call, word, 0, &x);
	}
	return rc;
}

static int32_t check(struct heddle_call *call, struct pipe *in)
{
	static const struct {
		uint32_t option;
		const char *text;
	} refused[] = {
	    {OPT_USE_SHELL, "use_shell is refused: name the shell in command if one is wanted"},
	    {OPT_USE_BSMTP, "not supported yet: use_bsmtp"},
	    {OPT_PIPE_AS_CREATOR, "not supported yet: pipe_as_creator"},
	    {OPT_PERMIT_COREDUMP, "not supported yet: permit_coredump"},
	    {OPT_USE_CLASSRESOURCES,
	        "use_classresources: there are no login classes on this system"}};
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (number(call, in, refused[i].option) != 0)
			return refuse(call, in, refused[i].text);
	read_numbers(call, in);
	if (in->return_output && in->return_fail_output)
		return refuse(call, in, "both return_output and return_fail_output set");
	if (in->log_output && in->log_fail)
		return refuse(call, in, "both log_output and log_fail_output set");
	int32_t rc = read_temporary(call, in);
	return rc == HEDDLE_OK ? check_command(call, in) : rc;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct pipe *in = calloc(1, sizeof *in);
	(void)state;
	if (!in) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return HEDDLE_DEFER;
	}
	in->host = host;
	in->cfg = cfg;
	int32_t rc = check(call, in);
	if (rc != HEDDLE_OK) {
		free(in);
		return rc;
	}
	*out = in;
	return HEDDLE_OK;
}

static const struct heddle_transport_ops ops = {
    .struct_size = sizeof ops, .kind = HEDDLE_TR_LOCAL, .deliver = deliver};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_TRANSPORT,
    .flags = HEDDLE_F_BLOCKS,
    .name = "pipe",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "to a command's standard input",
    .options = options,
    .option_count = OPT_COUNT,
    .option_size = sizeof(struct heddle_option),
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
