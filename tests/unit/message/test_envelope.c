/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"
#include "message/message.h"

static struct message *sample(void)
{
	struct message *m = message_new();
	slice_t *v = ARENA_NEW(m->arena, slice_t);
	m->session.sender_host_address = SL("192.0.2.1");
	m->session.sender_helo_name = slice_tainted("x y", 3);
	m->session.authenticated_id = SL("");
	m->session.sender_host_port = 12345;
	m->session.received_protocol = SL("esmtpa");
	m->session.sender_ident = m->session.host_data = slice_absent();
	m->body_8bit = true;
	m->size_bytes = 1234567;
	m->facts.received_count = 3;
	*v = SL("value");
	m->facts.acl_m = map_new(m->arena, MAP_EXACT);
	(void)map_put(m->facts.acl_m, SL("_one"), v);
	return m;
}

TEST(round_trip)
{
	struct message *m = sample(), *n = message_new();
	slice_t bytes = message_encode_envelope(m->arena, m);
	CHECK_EQ_INT(message_decode_envelope(n, bytes, NULL), RC_OK);
	CHECK_EQ_STR(n->session.sender_host_address, "192.0.2.1");
	CHECK(slice_is_clean(n->session.sender_host_address));
	CHECK_EQ_STR(n->session.sender_helo_name, "x y");
	CHECK(!slice_is_clean(n->session.sender_helo_name));
	CHECK(!slice_is_absent(n->session.authenticated_id));
	CHECK(slice_is_absent(n->session.sender_ident));
	CHECK_EQ_INT(n->session.sender_host_port, 12345);
	CHECK(n->body_8bit);
	CHECK(!n->deliver_freeze);
	CHECK_EQ_INT(n->size_bytes, 1234567);
	CHECK_EQ_INT(n->facts.received_count, 3);
	slice_t *v = map_get(n->facts.acl_m, SL("_one"));
	if (CHECK(v != NULL)) {
		CHECK_EQ_STR(*v, "value");
		CHECK(slice_is_clean(*v));
	}
	message_unref(&m);
	message_unref(&n);
}

/* Cut anywhere, or any byte changed: an answer, never a read past the end (the sanitizer watches).
 */
TEST(damaged)
{
	struct message *m = sample();
	slice_t bytes = message_encode_envelope(m->arena, m);
	size_t refused = 0;
	for (uint32_t n = 0; n < bytes.len; n++) {
		struct message *d = message_new();
		char *copy = arena_bytes(d->arena, n ? n : 1);
		memcpy(copy, bytes.ptr, n);
		refused += message_decode_envelope(d, slice_tainted(copy, n), NULL) == RC_FAIL;
		message_unref(&d);
	}
	CHECK(refused > bytes.len / 2);
	for (uint32_t i = 0; i < bytes.len * 8; i++) {
		struct message *d = message_new();
		char *copy = arena_bytes(d->arena, bytes.len);
		memcpy(copy, bytes.ptr, bytes.len);
		copy[i / 8] = (char)(copy[i / 8] ^ (1 << (i % 8)));
		(void)!message_decode_envelope(d, slice_tainted(copy, bytes.len), NULL);
		message_unref(&d);
	}
	message_unref(&m);
}

TEST(recipient_parameters)
{
	struct arena *a = arena_new(0);
	struct recipient r = {.errors_to = SL("e@f"), .orcpt = slice_absent(), .dsn_flags = 7},
	                 out = {0};
	CHECK_EQ_INT(
	    message_decode_recipient(a, message_encode_recipient(a, &r), &out, NULL), RC_OK);
	CHECK_EQ_STR(out.errors_to, "e@f");
	CHECK(slice_is_absent(out.orcpt));
	CHECK_EQ_INT(out.dsn_flags, 7);
	CHECK_EQ_INT(message_decode_recipient(a, SL("\x01\xff\xff\xff\xffz"), &out, NULL), RC_FAIL);
	struct recipient plain = {.errors_to = slice_absent(), .orcpt = slice_absent()};
	CHECK_EQ_INT(message_encode_recipient(a, &plain).len, 0);
	arena_free(&a);
}

/* What MAIL said for notifications; in a record of before there was any, it is unset. */
TEST(dsn)
{
	struct message *m = sample(), *n = message_new(), *old = message_new();
	m->facts.dsn_ret = m->facts.dsn_envid = slice_absent();
	CHECK_EQ_INT(
	    message_decode_envelope(old, message_encode_envelope(m->arena, m), NULL), RC_OK);
	CHECK(slice_is_absent(old->facts.dsn_ret) && slice_is_absent(old->facts.dsn_envid));
	m->facts.dsn_ret = SL("HDRS");
	m->facts.dsn_envid = slice_tainted("en+2Bv", 6);
	m->downconvert = 3;
	CHECK_EQ_INT(message_decode_envelope(n, message_encode_envelope(m->arena, m), NULL), RC_OK);
	CHECK_EQ_STR(n->facts.dsn_ret, "HDRS");
	CHECK_EQ_STR(n->facts.dsn_envid, "en+2Bv");
	CHECK(!slice_is_clean(n->facts.dsn_envid));
	CHECK_EQ_INT(n->downconvert, 3);
	message_unref(&m);
	message_unref(&n);
	message_unref(&old);
}

TAP_MAIN()
