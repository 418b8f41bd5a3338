/* SPDX-License-Identifier: GPL-3.0-or-later */
/* drivers/auth/cram_md5: the example of RFC 2195, and what a server must not accept. */
#include "unit/driver/sasl.h"

/* What a client answers to the challenge, for comparison. */
static slice_t answer_of(
    struct heddle_call *c, const char *name, const char *secret, slice_t challenge)
{
	slice_t sum;
	char hex[33];
	CHECK_EQ_INT(sasl_digest(c, HEDDLE_MD5, slice_cstr(secret), challenge, &sum), HEDDLE_OK);
	for (int i = 0; i < 16; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)sum.ptr[i]);
	return arena_printf(c->arena, "%s %s", name, hex);
}

static const struct answer {
	const char *secret;                /* the server's */
	int32_t result;                    /* of its expansion */
	const char *name, *uses, *instead; /* what the client does; instead: the whole answer */
	int32_t want;
	const char *auth1;
} answers[] = {
    {"tanstaaf", HEDDLE_OK, "tim", "tanstaaf", NULL, HEDDLE_OK, "tim"},
    {"tanstaaf", HEDDLE_OK, "tim", "tanstaag", NULL, HEDDLE_FAIL, "tim"},
    {"tanstaaf", HEDDLE_OK, "tim", "", NULL, HEDDLE_FAIL, "tim"},
    {"", HEDDLE_OK, "tim", "", NULL, HEDDLE_FAIL, "tim"},
    {"tanstaaf", HEDDLE_FAIL, "tim", "tanstaaf", NULL, HEDDLE_FAIL, "tim"},
    {"tanstaaf", HEDDLE_DEFER, "tim", "tanstaaf", NULL, HEDDLE_DEFER, "tim"},
    {"tanstaaf", HEDDLE_ERROR, "tim", "tanstaaf", NULL, HEDDLE_DEFER, "tim"},
    {"x", HEDDLE_OK, NULL, NULL, "", HEDDLE_FAIL, ""},
    {"x", HEDDLE_OK, NULL, NULL, "tim", HEDDLE_FAIL, "tim"},
    {"x", HEDDLE_OK, NULL, NULL, "tim ", HEDDLE_FAIL, "tim"},
    {"x", HEDDLE_OK, NULL, NULL, "tim 1234", HEDDLE_FAIL, "tim"},
    {"x", HEDDLE_OK, NULL, NULL, " 0123456789abcdef0123456789abcdef", HEDDLE_FAIL, ""},
    {"x", HEDDLE_OK, NULL, NULL, "tim 0123456789abcdef0123456789abcdef0", HEDDLE_FAIL, "tim"},
    {"x", HEDDLE_OK, NULL, NULL, "tim\t0123456789abcdef0123456789abcdef", HEDDLE_FAIL, "tim"},
};

TEST(as_a_server)
{
	const struct heddle_driver *d = sasl_driver("cram_md5");
	const struct heddle_auth_ops *ops = d->ops;
	struct heddle_call c = {.arena = arena_new(0)};
	uint32_t secret = sasl_option(d, "server_secret");
	char last[128] = "";
	void *inst = NULL;
	CHECK_EQ_INT(d->instance_new(&c, &sasl_host, NULL, NULL, &inst), HEDDLE_OK);
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
		const struct answer *x = &answers[i];
		struct heddle_auth_turn t = {.struct_size = sizeof t, .data = slice_absent()};
		void *conv = NULL;
		sasl_forget(&c);
		c.option[secret] = x->secret;
		c.result[secret] = x->result;
		CHECK_EQ_INT(ops->server_begin(&c, inst, &t, &conv), HEDDLE_OK);
		CHECK_EQ_INT(t.state, HEDDLE_AUTH_MORE);
		CHECK(slice_starts(t.data, "<") &&
		      slice_search(t.data, SL("@mx.test.example>")) != SIZE_MAX);
		CHECK(!slice_eqs(t.data, last));
		CHECK(slice_copy(t.data, last, sizeof last));
		t.data =
		    x->instead ? slice_cstr(x->instead) : answer_of(&c, x->name, x->uses, t.data);
		t.data.flags = HEDDLE_SECRET;
		CHECK_EQ_INT(ops->server_step(&c, inst, conv, &t), x->want);
		if (x->want == HEDDLE_OK)
			CHECK_EQ_INT(t.state, HEDDLE_AUTH_DONE);
		CHECK_EQ_STR(c.auth[1], x->auth1);
		CHECK_EQ_INT(c.numbered, 1);
		ops->end(inst, conv);
	}
	/* data with the command: Exim's answer */
	struct heddle_auth_turn t = {.struct_size = sizeof t, .data = SL("tim")};
	void *conv = NULL;
	CHECK_EQ_INT(ops->server_begin(&c, inst, &t, &conv), HEDDLE_FAIL);
	CHECK(conv == NULL);
	CHECK_EQ_INT(c.smtp, 553);
	CHECK_EQ_STR(c.shown, "Initial data not expected");
	d->instance_free(inst);
	arena_free(&c.arena);
}

TEST(as_a_client)
{
	const struct heddle_driver *d = sasl_driver("cram_md5");
	const struct heddle_auth_ops *ops = d->ops;
	struct heddle_call c = {.arena = arena_new(0)};
	uint32_t secret = sasl_option(d, "client_secret"), name = sasl_option(d, "client_name");
	struct heddle_auth_turn t = {.struct_size = sizeof t};
	void *inst = NULL, *conv = NULL;
	c.option[secret] = "tanstaaftanstaaf";
	c.option[name] = "tim";
	CHECK_EQ_INT(d->instance_new(&c, &sasl_host, NULL, NULL, &inst), HEDDLE_OK);
	CHECK_EQ_INT(ops->client_begin(&c, inst, &t, &conv), HEDDLE_OK);
	CHECK(slice_is_absent(t.data));
	CHECK_EQ_INT(t.state, HEDDLE_AUTH_MORE);
	t.state = 0;
	t.data = SL("<1896.697170952@postoffice.reston.mci.net>");
	CHECK_EQ_INT(ops->client_step(&c, inst, conv, &t), HEDDLE_OK);
	CHECK_EQ_STR(t.data, "tim b913a602c7eda7a495b4e6e7334d3890");
	CHECK_EQ_INT(t.state, HEDDLE_AUTH_DONE);
	t.state = HEDDLE_AUTH_GARBLED;
	t.data = slice_absent();
	CHECK_EQ_INT(ops->client_step(&c, inst, conv, &t), HEDDLE_OK);
	CHECK_EQ_INT(t.state, HEDDLE_AUTH_CANCEL);
	ops->end(inst, conv);
	/* the host's own name where none is given */
	c.option[name] = NULL;
	conv = NULL;
	CHECK_EQ_INT(ops->client_begin(&c, inst, &t, &conv), HEDDLE_OK);
	t.state = 0;
	t.data = SL("<1@x>");
	CHECK_EQ_INT(ops->client_step(&c, inst, conv, &t), HEDDLE_OK);
	CHECK(slice_starts(t.data, "mx.test.example "));
	ops->end(inst, conv);
	static const int32_t results[][2] = {
	    {HEDDLE_FAIL, HEDDLE_FAIL}, {HEDDLE_DEFER, HEDDLE_DEFER}, {HEDDLE_ERROR, HEDDLE_DEFER}};
	for (size_t i = 0; i < 3; i++) {
		conv = NULL;
		c.result[secret] = results[i][0];
		CHECK_EQ_INT(ops->client_begin(&c, inst, &t, &conv), results[i][1]);
		CHECK(conv == NULL);
	}
	d->instance_free(inst);
	arena_free(&c.arena);
}

TAP_MAIN()
