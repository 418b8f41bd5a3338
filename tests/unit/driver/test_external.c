/* SPDX-License-Identifier: GPL-3.0-or-later */
/* drivers/auth/external: identity and parameters on the server's side, the identity sent on the
 * client's. */
#include "unit/driver/sasl.h"

static const struct exchange {
	slice_t with_command, answer;
	int32_t result2, result3; /* of the parameters' expansions */
	int32_t result;
	const char *auth1, *auth2, *auth3; /* NULL: unset */
	const char *param2, *param3;
} exchanges[] = {
    {GIVEN("ph10"), NONE, HEDDLE_OK, HEDDLE_OK, HEDDLE_OK, "ph10", "two", "three", "two", "three"},
    {NONE, GIVEN("ph10"), HEDDLE_OK, HEDDLE_OK, HEDDLE_OK, "ph10", "two", "three", "two", "three"},
    {GIVEN("ph10"), NONE, HEDDLE_OK, HEDDLE_OK, HEDDLE_OK, "ph10", NULL, "three", NULL, "three"},
    {GIVEN(""), NONE, HEDDLE_OK, HEDDLE_OK, HEDDLE_OK, "", NULL, NULL, NULL, NULL},
    {NONE, GIVEN(""), HEDDLE_OK, HEDDLE_OK, HEDDLE_OK, "", "", NULL, "", NULL},
    {GIVEN("x"), NONE, HEDDLE_FAIL, HEDDLE_OK, HEDDLE_FAIL, "x", NULL, NULL, "two", "three"},
    {GIVEN("x"), NONE, HEDDLE_DEFER, HEDDLE_OK, HEDDLE_DEFER, "x", NULL, NULL, "two", "three"},
    {GIVEN("x"), NONE, HEDDLE_ERROR, HEDDLE_OK, HEDDLE_DEFER, "x", NULL, NULL, "two", "three"},
    {GIVEN("x"), NONE, HEDDLE_OK, HEDDLE_FAIL, HEDDLE_FAIL, "x", "two", NULL, "two", "three"},
    {GIVEN("x"), NONE, HEDDLE_OK, HEDDLE_ERROR, HEDDLE_DEFER, "x", "two", NULL, "two", "three"},
    {GIVEN("ph10\0x"), NONE, HEDDLE_OK, HEDDLE_OK, HEDDLE_FAIL, NULL, NULL, NULL, "two", NULL},
    {GIVEN("\0"), NONE, HEDDLE_OK, HEDDLE_OK, HEDDLE_FAIL, NULL, NULL, NULL, "two", NULL},
};

static void is(slice_t got, const char *want)
{
	CHECK_EQ_INT(slice_is_absent(got), want == NULL);
	if (want)
		CHECK_EQ_STR(got, want);
}

TEST(as_a_server)
{
	const struct heddle_driver *d = sasl_driver("external");
	const struct heddle_auth_ops *ops = d->ops;
	struct heddle_call c = {.arena = arena_new(0)};
	void *inst = NULL;
	uint32_t p2 = sasl_option(d, "server_param2"), p3 = sasl_option(d, "server_param3");
	CHECK_EQ_INT(d->instance_new(&c, &sasl_host, NULL, NULL, &inst), HEDDLE_OK);
	for (size_t i = 0; i < sizeof exchanges / sizeof *exchanges; i++) {
		const struct exchange *x = &exchanges[i];
		struct heddle_auth_turn t = {.struct_size = sizeof t, .data = x->with_command};
		void *conv = NULL;
		sasl_forget(&c);
		c.option[p2] = x->param2;
		c.option[p3] = x->param3;
		c.result[p2] = x->result2;
		c.result[p3] = x->result3;
		int32_t got = ops->server_begin(&c, inst, &t, &conv);
		if (!slice_is_absent(x->answer)) {
			CHECK_EQ_INT(got, HEDDLE_OK);
			CHECK_EQ_INT(t.state, HEDDLE_AUTH_MORE);
			CHECK(!slice_is_absent(t.data) && !t.data.len);
			t.data = x->answer;
			got = ops->server_step(&c, inst, conv, &t);
		}
		CHECK_EQ_INT(got, x->result);
		if (got == HEDDLE_OK)
			CHECK_EQ_INT(t.state, HEDDLE_AUTH_DONE);
		is(c.auth[1], x->auth1);
		is(c.auth[2], x->auth2);
		is(c.auth[3], x->auth3);
	}
	d->instance_free(inst);
	arena_free(&c.arena);
}

TEST(as_a_client)
{
	const struct heddle_driver *d = sasl_driver("external");
	const struct heddle_auth_ops *ops = d->ops;
	struct heddle_call c = {.arena = arena_new(0)};
	uint32_t send = sasl_option(d, "client_send");
	struct heddle_auth_turn t = {.struct_size = sizeof t};
	void *inst = NULL, *conv = NULL;
	static const int32_t results[][2] = {
	    {HEDDLE_FAIL, HEDDLE_FAIL}, {HEDDLE_DEFER, HEDDLE_DEFER}, {HEDDLE_ERROR, HEDDLE_DEFER}};
	CHECK_EQ_INT(d->instance_new(&c, &sasl_host, NULL, NULL, &inst), HEDDLE_OK);
	c.option[send] = "me@example.net";
	CHECK_EQ_INT(ops->client_begin(&c, inst, &t, &conv), HEDDLE_OK);
	CHECK_EQ_STR(t.data, "me@example.net");
	CHECK_EQ_INT(t.state, HEDDLE_AUTH_DONE);
	CHECK_EQ_INT(ops->client_step(&c, inst, conv, &t), HEDDLE_OK);
	CHECK_EQ_INT(t.state, HEDDLE_AUTH_CANCEL);
	c.option[send] = "";
	CHECK_EQ_INT(ops->client_begin(&c, inst, &t, &conv), HEDDLE_OK);
	CHECK(!slice_is_absent(t.data) && t.data.len == 0);
	for (size_t i = 0; i < 3; i++) {
		c.result[send] = results[i][0];
		CHECK_EQ_INT(ops->client_begin(&c, inst, &t, &conv), results[i][1]);
	}
	d->instance_free(inst);
	arena_free(&c.arena);
}

TAP_MAIN()
