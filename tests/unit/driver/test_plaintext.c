/* SPDX-License-Identifier: GPL-3.0-or-later */
/* drivers/auth/plaintext against a host that keeps the variables and prompts in arrays; the driver
 * is the real file. */
#include "unit/driver/sasl.h"

static const struct exchange {
	const char *prompts;
	slice_t sent[4]; /* with AUTH, then the responses */
	unsigned steps;  /* how many of them */
	const char *asked[3];
	const char *auth[3]; /* what they are at the end; NULL: unset */
} exchanges[] = {
    {"|", {GIVEN("\0ph10\0secret")}, 1, {NULL}, {"", "ph10", "secret"}},
    {"|", {NONE, GIVEN("\0ph10\0secret")}, 2, {""}, {"", "ph10", "secret"}},
    {"Username:|Password:", {NONE, GIVEN("ph10"), GIVEN("secret")}, 3, {"Username:", "Password:"},
        {"ph10", "secret"}},
    {"Username:|Password:", {GIVEN("ph10"), GIVEN("secret")}, 2, {"Password:"}, {"ph10", "secret"}},
    {"Username:|Password:", {NONE, GIVEN("ph10\0secret")}, 2, {"Username:"}, {"ph10", "secret"}},
    {"Username:|Password:", {NONE, GIVEN(""), GIVEN("")}, 3, {"Username:", "Password:"}, {"", ""}},
    {NULL, {GIVEN("a\0")}, 1, {NULL}, {"a"}},
    {NULL, {GIVEN("")}, 1, {NULL}, {""}},
    {NULL, {NONE}, 1, {NULL}, {NULL}},
    {"x",
        {GIVEN("1\0"
               "2\0"
               "3\0"
               "4\0"
               "5")},
        1, {NULL}, {"1", "2", "3"}},
};

static void run(
    const struct heddle_auth_ops *ops, void *inst, struct heddle_call *c, const struct exchange *x)
{
	void *conv = NULL;
	struct heddle_auth_turn t = {.struct_size = sizeof t};
	for (unsigned i = 0; i < x->steps; i++) {
		t.state = 0;
		t.data = x->sent[i];
		CHECK_EQ_INT(i == 0 ? ops->server_begin(c, inst, &t, &conv)
		                    : ops->server_step(c, inst, conv, &t),
		    HEDDLE_OK);
		bool last = i + 1 == x->steps;
		CHECK_EQ_INT(t.state, last ? HEDDLE_AUTH_DONE : HEDDLE_AUTH_MORE);
		if (!last)
			CHECK_EQ_STR(t.data, x->asked[i]);
	}
	CHECK(conv != NULL);
	ops->end(inst, conv);
	for (int i = 0; i < 3; i++) {
		CHECK(slice_is_absent(c->auth[i + 1]) == !x->auth[i]);
		if (x->auth[i]) {
			CHECK_EQ_STR(c->auth[i + 1], x->auth[i]);
			CHECK(!slice_is_clean(c->auth[i + 1]));
		}
	}
}

TEST(plain_and_login)
{
	const struct heddle_driver *d = sasl_driver("plaintext");
	const struct heddle_auth_ops *ops = d->ops;
	struct heddle_call c = {.arena = arena_new(0)};
	uint32_t prompts = sasl_option(d, "server_prompts");
	void *inst = NULL;
	CHECK_EQ_INT(d->instance_new(&c, &sasl_host, NULL, NULL, &inst), HEDDLE_OK);
	for (size_t i = 0; i < sizeof exchanges / sizeof *exchanges; i++) {
		sasl_forget(&c);
		c.option[prompts] = exchanges[i].prompts;
		run(ops, inst, &c, &exchanges[i]);
	}
	CHECK_EQ_INT(c.numbered, 5);
	/* what the expansion of the prompts says is no verdict on the client */
	static const int32_t bad[] = {HEDDLE_FAIL, HEDDLE_DEFER, HEDDLE_ERROR};
	for (size_t i = 0; i < 3; i++) {
		struct heddle_auth_turn t = {.struct_size = sizeof t, .data = slice_absent()};
		void *conv = NULL;
		c.result[prompts] = bad[i];
		CHECK_EQ_INT(ops->server_begin(&c, inst, &t, &conv), HEDDLE_DEFER);
		CHECK(conv == NULL);
	}
	/* an exchange that the client cancels is ended without a step */
	struct heddle_auth_turn t = {.struct_size = sizeof t, .data = slice_absent()};
	void *conv = NULL;
	c.result[prompts] = HEDDLE_OK;
	c.option[prompts] = "User:";
	CHECK_EQ_INT(ops->server_begin(&c, inst, &t, &conv), HEDDLE_OK);
	ops->end(inst, conv);
	d->instance_free(inst);
	arena_free(&c.arena);
}

/* What a client sends, step by step. */
static const struct sent {
	const char *send;   /* client_send */
	const char *ignore; /* client_ignore_invalid_base64 */
	slice_t want[3]; /* with the command, then for each prompt; ABSENT: none, and no more if not
	                    the first */
	unsigned steps;
	int32_t result; /* of the last step, which has no output unless it is OK */
	uint32_t state; /* after the last */
	bool garbled;   /* the last prompt is */
} sends[] = {
    {"^user^pass", NULL, {GIVEN("\0user\0pass")}, 1, HEDDLE_OK, HEDDLE_AUTH_DONE, false},
    {"^^u^^^p^", NULL, {GIVEN("^u^\0p\0")}, 1, HEDDLE_OK, HEDDLE_AUTH_DONE, false},
    {"|user|pass", NULL, {NONE, GIVEN("user"), GIVEN("pass")}, 3, HEDDLE_OK, HEDDLE_AUTH_DONE,
        false},
    {"|u", NULL, {NONE}, 1, HEDDLE_OK, HEDDLE_AUTH_MORE, false},
    {"|user||", NULL, {NONE, GIVEN("user"), GIVEN("")}, 3, HEDDLE_OK, HEDDLE_AUTH_DONE, false},
    {"|$1", NULL, {NONE, GIVEN("prompt")}, 2, HEDDLE_OK, HEDDLE_AUTH_DONE, false},
    {"|$1x", NULL, {NONE, NONE}, 2, HEDDLE_OK, HEDDLE_AUTH_CANCEL, true},
    {"|$1", "true", {NONE, GIVEN("")}, 2, HEDDLE_OK, HEDDLE_AUTH_DONE, true},
    {"fail", NULL, {NONE}, 1, HEDDLE_FAIL, 0, false},
    {"defer", NULL, {NONE}, 1, HEDDLE_DEFER, 0, false},
    {"|u|fail", NULL, {NONE, GIVEN("u"), NONE}, 3, HEDDLE_FAIL, 0, false},
    {"|u|defer", NULL, {NONE, GIVEN("u"), NONE}, 3, HEDDLE_DEFER, 0, false},
};

static void send_as(const struct heddle_driver *d, const struct sent *x)
{
	const struct heddle_auth_ops *ops = d->ops;
	struct heddle_call c = {.arena = arena_new(0)};
	struct heddle_auth_turn t = {.struct_size = sizeof t};
	void *inst = NULL, *conv = NULL;
	sasl_forget(&c);
	c.option[sasl_option(d, "client_send")] = x->send;
	c.option[sasl_option(d, "client_ignore_invalid_base64")] = x->ignore;
	CHECK_EQ_INT(d->instance_new(&c, &sasl_host, NULL, NULL, &inst), HEDDLE_OK);
	for (unsigned i = 0; i < x->steps; i++) {
		bool last = i + 1 == x->steps, garbled = last && x->garbled;
		t.state = garbled ? HEDDLE_AUTH_GARBLED : 0;
		t.data = i && !garbled ? SL("prompt") : slice_absent();
		int32_t got = i ? ops->client_step(&c, inst, conv, &t)
		                : ops->client_begin(&c, inst, &t, &conv);
		CHECK_EQ_INT(got, last ? x->result : HEDDLE_OK);
		if (got != HEDDLE_OK)
			break;
		CHECK_EQ_INT(t.state, last ? x->state : HEDDLE_AUTH_MORE);
		CHECK_EQ_INT(slice_is_absent(t.data), slice_is_absent(x->want[i]));
		CHECK(slice_eq(t.data, x->want[i]));
		CHECK(!t.data.len || t.data.flags & HEDDLE_SECRET);
	}
	if (conv)
		ops->end(inst, conv);
	d->instance_free(inst);
	arena_free(&c.arena);
}

TEST(as_a_client)
{
	const struct heddle_driver *d = sasl_driver("plaintext");
	for (size_t i = 0; i < sizeof sends / sizeof *sends; i++)
		send_as(d, &sends[i]);
}

TAP_MAIN()
