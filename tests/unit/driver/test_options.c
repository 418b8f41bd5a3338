/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/services: options of an instance, expansions, variables, further services, as a driver
 * sees them. */
#include "driver/call.h"
#include "lib/tap.h"
#include "net/tls/tls.h"

static const struct heddle_option rows[] = {
    {.name = "file", .type = HEDDLE_T_STRING, .flags = HEDDLE_O_EXPAND | HEDDLE_O_UNTAINTED},
    {.name = "password", .type = HEDDLE_T_STRING, .flags = HEDDLE_O_EXPAND | HEDDLE_O_SECRET},
    {.name = "count", .type = HEDDLE_T_INT, .flags = HEDDLE_O_EXPAND},
    {.name = "wait", .type = HEDDLE_T_TIME, .flags = HEDDLE_O_EXPAND},
    {.name = "way", .type = HEDDLE_T_ENUM, .type_arg = "down|up", .flags = HEDDLE_O_EXPAND},
    {.name = "on", .type = HEDDLE_T_BOOL, .flags = HEDDLE_O_EXPAND},
    {.name = "domains", .type = HEDDLE_T_DOMAINS},
    {.name = "unset", .type = HEDDLE_T_STRING},
    {.name = "plain", .type = HEDDLE_T_INT},
    {.name = "owner", .type = HEDDLE_T_UID, .flags = HEDDLE_O_EXPAND},
};
enum { FILE_, PASSWORD, COUNT, WAIT, WAY, ON, DOMAINS, UNSET, PLAIN, OWNER, ROWS };

struct fixture {
	struct arena *arena;
	struct services services;
	struct address_facts address;
	struct eval eval;
	struct driver driver;
	struct option_value values[ROWS];
	struct heddle_instance inst;
	struct heddle_call call;
	const struct heddle_host *host;
};

static void set(struct fixture *f, unsigned i, const char *text)
{
	const struct expr_env env = {.option = rows[i].name};
	struct error e = {0};
	struct option_value *v = &f->values[i];
	v->text = slice_cstr(text);
	v->expr = NULL;
	if (rows[i].type == HEDDLE_T_DOMAINS)
		CHECK_EQ_INT(
		    match_compile(f->arena, MATCH_DOMAINS, v->text, true, &env, &v->list, &e),
		    RC_OK);
	else if (rows[i].flags & HEDDLE_O_EXPAND)
		CHECK_EQ_INT(expr_compile(f->arena, v->text, &env, &v->expr, &e), RC_OK);
	CHECK_EQ_STR(slice_cstr(e.text), "");
}

static void begin(struct fixture *f)
{
	*f = (struct fixture){.arena = arena_new(0)};
	services_init(&f->services);
	f->host = &f->services.host;
	eval_init(&f->eval, f->arena, NULL);
	f->eval.services = &f->services;
	f->eval.address = &f->address;
	f->address.arena = f->arena;
	f->address.local_part = slice_tainted("../root", 7);
	f->address.local_part_data = SL("ph10");
	f->driver.head.driver_class = HEDDLE_TRANSPORT;
	f->driver.option_count = ROWS;
	f->driver.options = rows;
	for (unsigned i = 0; i < ROWS; i++)
		f->values[i] = (struct option_value){.row = &rows[i], .text = slice_absent()};
	f->inst = (struct heddle_instance){
	    .name = SL("local_delivery"), .driver = &f->driver, .own = f->values};
	call_init(&f->call, &f->eval, &f->inst);
}
static void finish(struct fixture *f)
{
	services_fini(&f->services);
	arena_free(&f->arena);
}
static void check_reason(struct fixture *f, const char *want)
{
	CHECK_EQ_STR(f->call.reason_logged, want);
	f->call.reason_given = false;
	f->call.reason_logged = slice_absent();
}

TEST(texts_taint_and_secrets)
{
	struct fixture f;
	slice_t out = {0};
	begin(&f);
	set(&f, FILE_, "/var/mail/$local_part_data");
	CHECK_EQ_INT(f.host->opt_text(&f.call, &f.inst, FILE_, &out), HEDDLE_OK);
	CHECK_EQ_STR(out, "/var/mail/ph10");
	CHECK(slice_is_clean(out));
	set(&f, FILE_, "/var/mail/$local_part");
	out = (slice_t){0};
	CHECK_EQ_INT(f.host->opt_text(&f.call, &f.inst, FILE_, &out), HEDDLE_ERROR);
	check_reason(
	    &f, "Tainted '/var/mail/../root' (file for local_delivery transport) not permitted");
	CHECK(out.ptr == NULL);
	set(&f, PASSWORD, "pw-$local_part_data");
	CHECK_EQ_INT(f.host->opt_text(&f.call, &f.inst, PASSWORD, &out), HEDDLE_OK);
	CHECK_EQ_STR(out, "pw-ph10");
	CHECK(out.flags & HEDDLE_SECRET);
	CHECK_EQ_INT(f.host->opt_text(&f.call, &f.inst, UNSET, &out), HEDDLE_OK);
	CHECK(slice_is_absent(out));
	set(&f, FILE_, "${if eq{a}{b}{x}fail}");
	CHECK_EQ_INT(f.host->opt_text(&f.call, &f.inst, FILE_, &out), HEDDLE_FAIL);
	CHECK(f.call.reason_given);
	CHECK_EQ_INT(f.host->opt_text(&f.call, &f.inst, ROWS, &out), HEDDLE_ERROR);
	check_reason(&f, "option number 10 does not exist");
	CHECK_EQ_INT(f.host->opt_text(&f.call, NULL, 0, &out), HEDDLE_ERROR);
	CHECK_EQ_STR(f.host->instance_name(&f.inst), "local_delivery");
	finish(&f);
}

TEST(numbers)
{
	static const struct {
		unsigned option;
		const char *text;
		int32_t result;
		int64_t value;
	} cases[] = {
	    {COUNT, "${eval:2*21}", HEDDLE_OK, 42},
	    {COUNT, "${if eq{$local_part_data}{ph10}{10K}{1}}", HEDDLE_OK, 10240},
	    {COUNT, "x$local_part_data", HEDDLE_ERROR, 0},
	    {WAIT, "${if eq{$local_part_data}{ph10}{1m30s}{1s}}", HEDDLE_OK, 90000},
	    {WAY, "${if eq{$local_part_data}{ph10}{up}{down}}", HEDDLE_OK, 1},
	    {WAY, "side$local_part_data", HEDDLE_ERROR, 0},
	    {ON, "${if eq{$local_part_data}{ph10}{yes}{no}}", HEDDLE_OK, 1},
	    {ON, "${if eq{$local_part_data}{x}{yes}{no}}", HEDDLE_OK, 0},
	};
	struct fixture f;
	int64_t n = -7;
	begin(&f);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		n = -7;
		set(&f, cases[i].option, cases[i].text);
		CHECK_EQ_INT(
		    f.host->opt_int(&f.call, &f.inst, cases[i].option, &n), cases[i].result);
		CHECK_EQ_INT(n, cases[i].result == HEDDLE_OK ? cases[i].value : -7);
	}
	f.call.reason_given = false;
	CHECK_EQ_INT(f.host->opt_int(&f.call, &f.inst, UNSET, &n), HEDDLE_FAIL);
	CHECK(!f.call.reason_given);
	f.values[PLAIN].text = SL("5");
	f.values[PLAIN].number = 5;
	CHECK_EQ_INT(f.host->opt_int(&f.call, &f.inst, PLAIN, &n), HEDDLE_OK);
	CHECK_EQ_INT(n, 5);
	finish(&f);
}

static enum rc find_user(struct services *s, struct arena *a, slice_t login, int64_t deadline_us,
    struct user_info *out, struct error *err)
{
	(void)s, (void)a, (void)deadline_us, (void)err;
	if (!slice_eqs(login, "ph10"))
		return RC_FAIL;
	*out = (struct user_info){.uid = 1010};
	return RC_OK;
}

TEST(users)
{
	struct fixture f;
	int64_t n = 0;
	begin(&f);
	set(&f, OWNER, "$local_part_data");
	CHECK_EQ_INT(f.host->opt_int(&f.call, &f.inst, OWNER, &n), HEDDLE_DEFER);
	f.services.find_user = find_user;
	CHECK_EQ_INT(f.host->opt_int(&f.call, &f.inst, OWNER, &n), HEDDLE_OK);
	CHECK_EQ_INT(n, 1010);
	set(&f, OWNER, "x$local_part_data");
	CHECK_EQ_INT(f.host->opt_int(&f.call, &f.inst, OWNER, &n), HEDDLE_ERROR);
	check_reason(&f, "option owner: there is no user \"xph10\"");
	set(&f, OWNER, "${eval:7+1}");
	CHECK_EQ_INT(f.host->opt_int(&f.call, &f.inst, OWNER, &n), HEDDLE_OK);
	CHECK_EQ_INT(n, 8);
	finish(&f);
}

TEST(lists)
{
	struct fixture f;
	slice_t data = {0};
	begin(&f);
	set(&f, DOMAINS, "a.example : *.b.example");
	CHECK_EQ_INT(
	    f.host->opt_match(&f.call, &f.inst, DOMAINS, SL("x.b.example"), &data), HEDDLE_OK);
	CHECK_EQ_INT(
	    f.host->opt_match(&f.call, &f.inst, DOMAINS, SL("c.example"), &data), HEDDLE_FAIL);
	CHECK_EQ_INT(
	    f.host->opt_match(&f.call, &f.inst, UNSET, SL("c.example"), &data), HEDDLE_FAIL);
	uint64_t pos = 0;
	slice_t item;
	CHECK_EQ_INT(f.host->item(&f.call, SL("<; a:1 ; b"), &pos, &item), HEDDLE_OK);
	CHECK_EQ_STR(item, "a:1");
	CHECK_EQ_INT(f.host->item(&f.call, SL("<; a:1 ; b"), &pos, &item), HEDDLE_OK);
	CHECK_EQ_STR(item, "b");
	CHECK_EQ_INT(f.host->item(&f.call, SL("<; a:1 ; b"), &pos, &item), HEDDLE_FAIL);
	finish(&f);
}

TEST(expansions_and_variables)
{
	struct fixture f;
	slice_t out = {0};
	struct heddle_expr *x = NULL;
	begin(&f);
	CHECK_EQ_INT(
	    f.host->compile(&f.call, slice_tainted("$local_part", 11), 0, &x), HEDDLE_ERROR);
	check_reason(&f, "attempt to expand tainted string '$local_part'");
	CHECK(x == NULL);
	CHECK_EQ_INT(f.host->compile(&f.call, SL("${uc:$local_part}"), 0, &x), HEDDLE_OK);
	CHECK_EQ_INT(f.host->expand(&f.call, x, &out), HEDDLE_OK);
	CHECK_EQ_STR(out, "../ROOT");
	CHECK(!slice_is_clean(out));
	CHECK_EQ_INT(
	    f.host->compile(&f.call, SL("${run{/bin/true}}"), HEDDLE_FORBID_RUN, &x), HEDDLE_ERROR);
	CHECK_EQ_INT(f.host->var_get(&f.call, SL("local_part"), &out), HEDDLE_OK);
	CHECK_EQ_STR(out, "../root");
	CHECK_EQ_INT(f.host->var_get(&f.call, SL("no_such_variable"), &out), HEDDLE_FAIL);
	CHECK_EQ_INT(f.host->var_set(&f.call, SL("value"), slice_tainted("v", 1)), HEDDLE_OK);
	CHECK_EQ_INT(f.host->var_get(&f.call, SL("value"), &out), HEDDLE_OK);
	CHECK_EQ_STR(out, "v");
	CHECK_EQ_INT(f.host->var_set(&f.call, SL("local_part"), SL("x")), HEDDLE_ERROR);
	CHECK_EQ_INT(f.host->lookup(&f.call, SL("lsearch"), SL("/x"), SL("k"), &out), HEDDLE_ERROR);
	CHECK_EQ_INT(f.host->tls_fact(&f.call, NULL, HEDDLE_TLS_CIPHER, &out), HEDDLE_FAIL);
	/* while a driver is loaded there is nothing to expand under */
	f.call.eval = NULL;
	CHECK_EQ_INT(f.host->expand(&f.call, x, &out), HEDDLE_ERROR);
	CHECK_EQ_INT(f.host->var_get(&f.call, SL("local_part"), &out), HEDDLE_ERROR);
	finish(&f);
}

/* A fact of either side's session, by number. */
static void check_tls_fact(struct fixture *f, uint32_t which, int32_t want_rc, const char *want)
{
	slice_t out = SL("untouched");
	CHECK_EQ_INT(f->host->tls_fact(&f->call, NULL, which, &out), want_rc);
	CHECK_EQ_STR(out, want_rc == HEDDLE_OK ? want : "untouched");
}

TEST(facts_of_tls)
{
	struct fixture f;
	begin(&f);
	struct session_facts session = {.arena = f.arena};
	struct host_facts host = {.host = SL("mx")};
	struct tls_facts in = {.cipher = SL("TLS1.3:IN:128"),
	                     .ver = SL("TLS1.3"),
	                     .bits = 128,
	                     .peercert = SL("der"),
	                     .verified = true},
	                 out = {.cipher = SL("OUT"), .bits = 256};
	in.binding[TLS_BINDING_EXPORTER] = SL("exporter");
	f.eval.session = &session;
	check_tls_fact(&f, HEDDLE_TLS_CIPHER, HEDDLE_FAIL, NULL);
	facts_tls_in(&session, &in);
	check_tls_fact(&f, HEDDLE_TLS_CIPHER, HEDDLE_OK, "TLS1.3:IN:128");
	check_tls_fact(&f, HEDDLE_TLS_VERSION, HEDDLE_OK, "TLS1.3");
	check_tls_fact(&f, HEDDLE_TLS_BITS, HEDDLE_OK, "128");
	check_tls_fact(&f, HEDDLE_TLS_VERIFIED, HEDDLE_OK, "1");
	check_tls_fact(&f, HEDDLE_TLS_PEER_DER, HEDDLE_OK, "der");
	check_tls_fact(&f, HEDDLE_TLS_CB_EXPORTER, HEDDLE_OK, "exporter");
	check_tls_fact(&f, HEDDLE_TLS_CB_UNIQUE, HEDDLE_FAIL, NULL);
	check_tls_fact(&f, HEDDLE_TLS_SNI, HEDDLE_FAIL, NULL);
	check_tls_fact(&f, 0, HEDDLE_ERROR, NULL);
	check_tls_fact(&f, 99, HEDDLE_ERROR, NULL);
	/* towards a host: its session counts, once it has one */
	f.eval.host = &host;
	check_tls_fact(&f, HEDDLE_TLS_BITS, HEDDLE_OK, "128");
	facts_tls_out(&host, &out);
	check_tls_fact(&f, HEDDLE_TLS_BITS, HEDDLE_OK, "256");
	check_tls_fact(&f, HEDDLE_TLS_VERIFIED, HEDDLE_OK, "0");
	f.call.eval = NULL;
	check_tls_fact(&f, HEDDLE_TLS_BITS, HEDDLE_FAIL, NULL);
	finish(&f);
}

TEST(further_services)
{
	static const struct heddle_file_service file = {.struct_size = sizeof file};
	struct fixture f;
	begin(&f);
	f.services.file = &file;
	CHECK(f.host->service(f.host, HEDDLE_FILE_ID) == &file);
	CHECK(f.host->service(f.host, HEDDLE_SPAWN_ID) == NULL);
	CHECK(f.host->service(f.host, "heddle.file.2") == NULL);
	CHECK(f.host->service(f.host, NULL) == NULL);
	CHECK(f.host->cancel_fd(&f.call) >= 0);
	CHECK_EQ_INT(f.host->debugging(&f.call), 0);
	finish(&f);
}

TAP_MAIN()
