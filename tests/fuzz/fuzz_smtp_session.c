/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A whole session of the SMTP server, over a socket pair and without threads: foreign bytes instead
 * of a client.
 *
 * The first byte says what the queue does and how the client leaves; a byte 255 is where the
 * network cuts, and the session runs dry before more comes.  The same bytes are then given line by
 * line and chunk by chunk, and all that was said must be the same.  Further: bytes of a chunk are
 * no commands; only what the queue has taken is answered with its id; replies are well formed;
 * after the 220 to STARTTLS there is nothing but TLS records, and bytes that came with STARTTLS end
 * the session; it ends when its client does, and has given everything back.
 */
#include "park_host.h"

#include "acl/acl.h"
#include "base/io.h"
#include "config/config.h"
#include "net/tls/tls.h"
#include "smtp/server_private.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CUT       0xff
#define INPUT_MAX 60000
#define RUNS_MAX  100000
#define IDS_MAX   5000

enum {
	QUEUE_FAILS = 1,
	QUEUE_REFUSES = 2,
	QUEUE_IS_LATE = 4,
	ENDS_LATE = 8,
	ENDS_STOPPED = 16,
	SPILLS = 32
};

static const char text[] =
    "primary_hostname = mx.test.example\nhost_lookup =\nsmtp_banner = $smtp_active_hostname ESMTP\n"
    "smtp_accept_max = 0\nsmtp_enforce_sync = false\nmessage_size_limit = 3000\nhosts_xclient = "
    "*\nprdr_enable\n"
    "dsn_advertise_hosts = *\nsmtputf8_advertise_hosts = *\nchunking_advertise_hosts = "
    "*\ntls_advertise_hosts = *\n"
    "smtp_max_synprot_errors = 40\nsmtp_accept_max_nonmail = 100\nsmtp_accept_max_per_connection = "
    "20\n"
    "rfc1413_query_timeout = 0s\nrecipients_max = 50\ncheck_spool_space = 0\ncheck_spool_inodes = "
    "0\n"
    "acl_smtp_rcpt = rcpt\nacl_smtp_vrfy = accept\nacl_smtp_expn = accept\nacl_smtp_etrn = accept\n"
    "acl_smtp_predata = accept\nacl_smtp_data = accept\nacl_smtp_data_prdr = "
    "prdr\nacl_smtp_mailauth = accept\n"
    "begin acl\nrcpt:\n deny local_parts = no\n defer local_parts = later\n drop local_parts = "
    "gone\n accept\n"
    "prdr:\n deny local_parts = half\n accept\n"
    "begin authenticators\n"
    "plain:\n driver = plaintext\n public_name = PLAIN\n server_prompts = :\n"
    " server_condition = ${if eq{$auth2}{u}{${if eq{$auth3}{p}}}}\n server_set_id = $auth2\n"
    "login:\n driver = plaintext\n public_name = LOGIN\n server_prompts = Username:: : Password::\n"
    " server_condition = ${if eq{$auth1}{u}{${if eq{$auth2}{p}}}}\n server_set_id = $auth1\n"
    "ext:\n driver = external\n public_name = EXTERNAL\n server_condition = ${if eq{$auth1}{u}}\n";

/* ---- the world, made once ---- */
static struct world {
	struct arena *arena;
	struct process_facts facts;
	struct services services;
	struct drivers *drivers;
	struct config *cfg;
	struct log *log;
	struct body_budget budget;
	struct smtp_queue_hooks hooks;
	struct smtp_server *server;
	const char *log_path;
} world;

/* ---- one session ---- */
static struct play {
	unsigned flags, ids, committed; /* by number of the id: all below `committed` that are_in */
	bool is_in[IDS_MAX];
	int files; /* body files that nobody answers for */
	smtp_commit_fn *late_fn;
	void *late_arg;
	int fd;
	char *out;
	size_t out_len, out_cap, line_at;
	unsigned replies;
	size_t tls_at; /* where clear text ends; SIZE_MAX: nowhere */
} * play;

static void next_id(void *ctx, char out[MESSAGE_ID_LEN + 1])
{
	(void)ctx;
	MUST(play->ids < IDS_MAX);
	(void)snprintf(out, MESSAGE_ID_LEN + 1, "1aaaaa-%06u-AA", play->ids++);
}

static unsigned id_number(const char *id)
{
	unsigned n = 0;
	MUST(!memcmp(id, "1aaaaa-", 7));
	for (int i = 7; i < 13; i++)
		n = n * 10 + (unsigned)(id[i] - '0');
	return n;
}

static enum rc append(void *ctx, struct message *m, struct worker *w, smtp_commit_fn *fn, void *arg,
    struct error *err)
{
	struct error why;
	(void)ctx, (void)w;
	MUST(m->recipient_count > 0 && id_number(m->id) < play->ids &&
	     !play->is_in[id_number(m->id)]);
	if (play->flags & QUEUE_REFUSES)
		return error_set(err, RC_DEFER, "store has stopped");
	play->files -= m->body.in_file;
	(void)error_set(&why, RC_DEFER, "sync failed");
	if (play->flags & QUEUE_FAILS) {
		fn(arg, RC_DEFER, &why);
		return RC_OK;
	}
	play->is_in[id_number(m->id)] = true;
	if (!(play->flags & QUEUE_IS_LATE)) {
		fn(arg, RC_OK, NULL);
		return RC_OK;
	}
	play->late_fn = fn;
	play->late_arg = arg;
	return RC_OK;
}
static void accepted(void *ctx, struct message *m, bool deliver_now)
{
	(void)ctx, (void)deliver_now;
	MUST(play->is_in[id_number(m->id)]);
}
static enum rc file_begin(void *ctx, const char *id, void **out, struct error *err)
{
	(void)ctx, (void)id, (void)err;
	play->files++;
	*out = &play->files;
	return RC_OK;
}
static enum rc file_write(void *file, const struct iovec *iov, size_t n, struct error *err)
{
	(void)err;
	MUST(file == &play->files && iov && n);
	return RC_OK;
}
static enum rc file_finish(void **file, uint32_t *crc, struct error *err)
{
	(void)err;
	*file = NULL;
	*crc = 0;
	return RC_OK;
}
static void file_abort(void **file)
{
	play->files--;
	*file = NULL;
}
static void file_discard(void *ctx, const char *id)
{
	(void)ctx, (void)id;
	play->files--;
}
static struct config *snapshot(void *ctx)
{
	(void)ctx;
	return config_ref(world.cfg);
}

/* ---- making the world ---- */
/* Beside the program: a fuzzer does not end in a way that would let us clean up elsewhere. */
static slice_t beside(const char *what)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	MUST(n > 0);
	exe[n] = '\0';
	return arena_printf(world.arena, "%s/%s", dirname(exe), what);
}

static void open_log(void)
{
	struct log_config lc;
	struct error err = {0};
	world.log_path = arena_cstr(world.arena, beside("session-log/mainlog"));
	log_config_init(&lc);
	lc.path = beside("session-log/%slog");
	lc.message_logs = lc.write_rejectlog = false;
	(void)!log_selector_parse(
	    SL("+smtp_protocol_error +smtp_syntax_error +lost_incoming_connection"), &lc.selector,
	    NULL);
	MUST(!mkdir(arena_cstr(world.arena, beside("session-log")), 0700) || errno == EEXIST);
	MUST(log_open(&lc, &world.log, &err) == RC_OK);
}

static void open_drivers(void)
{
	const char *folders[2] = {NULL, NULL};
	struct error err = {0};
	folders[0] = arena_cstr(world.arena, beside("../../drivers"));
	services_init(&world.services);
	struct drivers_config dc = {
	    .folders = folders, .any_owner = true, .host = &world.services.host};
	MUST(drivers_new(&dc, &world.drivers, &err) == RC_OK);
	MUST(tls_contexts_new(&world.services.tls, &err) == RC_OK);
}

static void load(void)
{
	static const struct config_hooks hooks = {.compile_acls = acl_compile_all};
	struct vec problems = {0}, warnings = {0};
	struct config_source src = {.path = "test.conf",
	    .content = slice_cstr(text),
	    .process = &world.facts,
	    .hooks = &hooks,
	    .drivers = world.drivers,
	    .services = &world.services};
	enum rc rc = config_load(&src, world.arena, &problems, &warnings, &world.cfg);
	VEC_FOREACH(&problems, struct error, e)
	fprintf(stderr, "line %u: %s\n", e->line, e->text);
	MUST(rc == RC_OK);
}

static void make_world(void)
{
	struct error err = {0};
	world.arena = arena_new(0);
	the_scratch = arena_new(0);
	world.facts = (struct process_facts){.primary_hostname = SL("mx.test.example"),
	    .version_number = SL("4.98"),
	    .heddle_version = SL("0.1"),
	    .pid = 1};
	open_drivers();
	load();
	open_log();
	world.budget.limit = 64 << 20;
	world.hooks = (struct smtp_queue_hooks){.next_id = next_id,
	    .spill = {file_begin, file_write, file_finish, file_abort},
	    .append = append,
	    .accepted = accepted,
	    .discard_body = file_discard};
	/* there is neither, see park_host.h, but a server asks for both */
	struct smtp_server_config sc = {.snapshot = snapshot,
	    .log = world.log,
	    .queue = &world.hooks,
	    .budget = &world.budget,
	    .services = &world.services,
	    .reactor = (struct reactor *)&world,
	    .pool = (struct pool *)&world};
	MUST(smtp_server_new(&sc, &world.server, &err) == RC_OK);
}

/* ---- playing ---- */
static struct session *session(void)
{
	return the_park.run ? the_park.owner : NULL;
}

static void count_replies(struct play *p)
{
	const char *nl;
	while ((nl = memchr(p->out + p->line_at, '\n', p->out_len - p->line_at))) {
		size_t len = (size_t)(nl - p->out) - p->line_at;
		p->replies += len >= 4 && p->out[p->line_at + 3] == ' ';
		p->line_at += len + 1;
	}
}

static void hear(struct play *p)
{
	char buf[4096];
	ssize_t n;
	while ((n = recv(p->fd, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
		if (p->out_len + (size_t)n > p->out_cap) {
			p->out_cap = (p->out_len + (size_t)n) * 2;
			p->out = realloc(p->out, p->out_cap);
			MUST(p->out);
		}
		memcpy(p->out + p->out_len, buf, (size_t)n);
		p->out_len += (size_t)n;
		if (p->tls_at == SIZE_MAX)
			count_replies(p);
	}
}

static bool ends_with(const char *p, size_t n, const char *with)
{
	size_t k = strlen(with);
	return n >= k && !memcmp(p + n - k, with, k);
}

static void run_once(struct play *p, enum wake why)
{
	park_run(why);
	hear(p);
	struct session *s = session();
	if (s && s->layer != LAYER_PLAIN && p->tls_at == SIZE_MAX) {
		p->tls_at = p->out_len;
		MUST(ends_with(p->out, p->out_len, "220 TLS go ahead\r\n"));
	}
}

/* Until it waits for its client, who has nothing more to say now. */
static void settle(struct play *p)
{
	for (unsigned i = 0; the_park.run; i++) {
		MUST(i < RUNS_MAX);
		if (the_park.posted) {
			run_once(p, WAKE_POSTED);
		} else if (!the_park.events) {
			MUST(p->late_fn); /* nothing else is waited for here */
			smtp_commit_fn *fn = p->late_fn;
			p->late_fn = NULL;
			fn(p->late_arg, RC_OK, NULL);
		} else if ((the_park.events & EPOLLOUT) || park_readable()) {
			run_once(p, WAKE_IO);
		} else {
			return;
		}
	}
}

static void say(struct play *p, const uint8_t *data, size_t n)
{
	while (n && the_park.run) {
		ssize_t k = send(p->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k > 0) {
			data += k;
			n -= (size_t)k;
		}
		settle(p);
	}
}

static void in_cuts(struct play *p, const uint8_t *data, size_t n)
{
	while (n) {
		const uint8_t *cut = memchr(data, CUT, n);
		size_t k = cut ? (size_t)(cut - data) : n;
		say(p, data, k);
		data += k + (cut != NULL);
		n -= k + (cut != NULL);
	}
}

/* A chunk's size by the text of its command; UINT64_MAX: not that command. */
static uint64_t chunk_of(const uint8_t *line, size_t n)
{
	uint64_t size = 0;
	size_t i = 0;
	while (i < n && (line[i] < '0' || line[i] > '9'))
		i++;
	while (i < n && line[i] >= '0' && line[i] <= '9' && size < UINT64_MAX / 20)
		size = size * 10 + (uint64_t)(line[i++] - '0');
	return size;
}

/* What belongs together at once: chunks, or lines. */
static void in_lines(struct play *p, const uint8_t *data, size_t n)
{
	uint64_t left = 0;
	while (n && the_park.run) {
		struct session *s = session();
		bool chunk = s->state == ST_BDAT;
		MUST(!chunk || s->chunk_left == left);
		const uint8_t *nl = memchr(data, '\n', n);
		size_t k = nl ? (size_t)(nl - data) + 1 : n;
		if (chunk)
			k = left < n ? (size_t)left : n;
		unsigned said = p->replies;
		uint32_t history = s->history_count, unknown = s->unknown_commands;
		say(p, data, k);
		MUST(p->replies <= said + 1 + (chunk ? 1 : 0) || !the_park.run ||
		     p->tls_at != SIZE_MAX || s->prdr_answered || s->state == ST_COMMAND);
		s = session();
		if (s && chunk) {
			left -= k;
			MUST(s->history_count == history && s->unknown_commands == unknown);
			MUST(
			    left ? s->state == ST_BDAT && p->replies == said : s->state != ST_BDAT);
		} else if (s && s->state == ST_BDAT) {
			left = chunk_of(data, k);
			MUST(s->chunk_left == left && left > 0);
		}
		data += k;
		n -= k;
	}
}

/* ---- what was said ---- */
static void check_clear(const struct play *p, size_t n)
{
	size_t at = 0;
	char code[4] = "";
	while (at < n) {
		const char *line = p->out + at, *nl = memchr(line, '\n', n - at);
		MUST(nl && nl - line >= 5 && nl[-1] == '\r');
		size_t len = (size_t)(nl - line) - 1;
		MUST(!memchr(line, '\0', len) && !memchr(line, '\r', len));
		MUST(line[0] >= '2' && line[0] <= '5' && ascii_isdigit(line[1]) &&
		     ascii_isdigit(line[2]));
		MUST(line[3] == ' ' || line[3] == '-');
		MUST(!code[0] || !memcmp(code, line, 3));
		memcpy(code, line[3] == '-' ? line : "", line[3] == '-' ? 3 : 1);
		if (line[0] == '2' && len >= 10 + MESSAGE_ID_LEN &&
		    !memcmp(line + 3, " OK id=", 7)) {
			unsigned id = id_number(line + 10);
			MUST(id < p->ids && p->is_in[id] &&
			     !(p->flags & (QUEUE_FAILS | QUEUE_REFUSES)));
		}
		at += (size_t)(nl - line) + 1;
	}
	MUST(!code[0]);
}

static void check_tls(const struct play *p)
{
	size_t at = p->tls_at;
	while (at < p->out_len) {
		const uint8_t *r = (const uint8_t *)p->out + at;
		MUST(p->out_len - at >= 5 && r[0] >= 20 && r[0] <= 23 && r[1] == 3 && r[2] <= 4);
		at += 5 + (size_t)r[3] * 256 + r[4];
	}
	MUST(at == p->out_len);
}

static void session_played(struct play *p, const uint8_t *data, size_t n, bool lines)
{
	int fds[2];
	struct net_addr peer = {0};
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	MUST(!io_nonblock(fds[1]) && net_addr_parse(SL("192.0.2.1"), &peer));
	peer.port = 4321;
	play = p;
	p->fd = fds[0];
	p->tls_at = SIZE_MAX;
	world.hooks.body_threshold = p->flags & SPILLS ? 100 : 1 << 20;
	smtp_server_take(world.server, fds[1], &peer);
	MUST(the_park.started);
	run_once(p, WAKE_START);
	settle(p);
	(lines ? in_lines : in_cuts)(p, data, n);
	if (the_park.run && (p->flags & (ENDS_LATE | ENDS_STOPPED))) {
		run_once(p, p->flags & ENDS_LATE ? WAKE_TIMEOUT : WAKE_CANCEL);
		settle(p);
	}
	(void)shutdown(p->fd, SHUT_WR);
	settle(p);
	MUST(!the_park.run && smtp_server_count(world.server) == 0);
	hear(p);
	MUST(p->files == 0 && atomic_load(&world.budget.used) == 0 && !p->late_fn);
	check_clear(p, p->tls_at == SIZE_MAX ? p->out_len : p->tls_at);
	if (p->tls_at != SIZE_MAX)
		check_tls(p);
	(void)close(p->fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play cuts, lines;
	if (!world.server)
		make_world();
	if (size < 1 || size > INPUT_MAX)
		return 0;
	uint8_t *whole = malloc(size);
	size_t n = 0;
	MUST(whole);
	for (size_t i = 1; i < size; i++)
		if (data[i] != CUT)
			whole[n++] = data[i];
	cuts = (struct play){.flags = data[0]};
	lines = (struct play){.flags = data[0]};
	session_played(&cuts, data + 1, size - 1, false);
	session_played(&lines, whole, n, true);
	free(whole);
	MUST(!truncate(world.log_path, 0) || errno == ENOENT);
	size_t a = cuts.tls_at == SIZE_MAX ? cuts.out_len : cuts.tls_at,
	       b = lines.tls_at == SIZE_MAX ? lines.out_len : lines.tls_at;
	if (lines.tls_at != SIZE_MAX && cuts.tls_at == SIZE_MAX) {
		/* bytes came with STARTTLS: refused, and over; what was said until then is the same
		 */
		MUST(ends_with(cuts.out, cuts.out_len, "554 SMTP synchronization error\r\n"));
		a -= strlen("554 SMTP synchronization error\r\n");
		b -= strlen("220 TLS go ahead\r\n");
	}
	MUST(a == b && !memcmp(cuts.out, lines.out, a));
	free(cuts.out);
	free(lines.out);
	return 0;
}
