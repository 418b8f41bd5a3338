/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What of a message's facts survives a restart, as bytes.
 * Form: version, then fields: tag, length (le32), that many bytes.  A tag that is not known is
 * skipped, so that an older kernel reads what a newer one wrote; what is not written is unset. Tags
 * are never reused. What comes back is tainted, but for plain words in fields that the kernel
 * itself had filled in.
 */
#include "base/codec.h"
#include "message/message.h"

#define ENVELOPE_VERSION 1
#define FIELD_HEAD       5
#define ACL_NAME_MAX     64

enum kind { TEXT, WORD /* text of ours: clean if it looks it */, NUMBER, FLAG };
struct field_row {
	uint8_t tag;
	uint8_t kind;
	uint16_t at;
};
#define S(member) offsetof(struct message, session.member)
#define F(member) offsetof(struct message, facts.member)
#define M(member) offsetof(struct message, member)
static const struct field_row rows[] = {
    {1, WORD, S(sender_host_address)},
    {2, TEXT, S(sender_host_name)},
    {3, TEXT, S(sender_helo_name)},
    {4, TEXT, S(sender_ident)},
    {5, TEXT, S(sender_fullhost)},
    {6, TEXT, S(sender_rcvhost)},
    {7, WORD, S(interface_address)},
    {8, WORD, S(received_protocol)},
    {9, WORD, S(smtp_active_hostname)},
    {10, WORD, S(sender_host_authenticated)},
    {11, TEXT, S(authenticated_id)},
    {12, TEXT, S(host_data)},
    {13, WORD, S(tls_in_cipher)},
    {14, WORD, S(tls_in_cipher_std)},
    {15, WORD, S(tls_in_ver)},
    {16, TEXT, S(tls_in_sni)},
    {17, TEXT, S(tls_in_peerdn)},
    {18, NUMBER, S(sender_host_port)},
    {19, NUMBER, S(interface_port)},
    {20, NUMBER, S(tls_in_bits)},
    {21, NUMBER, S(tls_in_certificate_verified)},
    {22, TEXT, F(authenticated_sender)},
    {23, TEXT, F(sender_address_data)},
    {24, TEXT, F(sender_data)},
    {25, NUMBER, F(body_linecount)},
    {26, NUMBER, F(body_zerocount)},
    {27, NUMBER, F(max_received_linelength)},
    {28, NUMBER, F(received_count)},
    {29, NUMBER, M(received_in_us)},
    {30, NUMBER, M(size_bytes)},
    {31, TEXT, M(origin_user)},
    {32, FLAG, M(deliver_freeze)},
    {33, FLAG, M(manual_thaw)},
    {34, FLAG, M(queue_only)},
    {35, FLAG, M(body_8bit)},
    {36, FLAG, M(local_message)},
    {37, FLAG, M(smtputf8)},
    {38, FLAG, M(sender_local)},
    {39, NUMBER, M(body.lines)},
    {40, NUMBER, F(rcpt_count)},
    {41, FLAG, F(smtputf8)},
    {42, TEXT, F(dsn_envid)},
    {43, WORD, F(dsn_ret)},
    {44, NUMBER, M(downconvert)},
    {45, NUMBER, S(debug_bits)},
    {46, TEXT, S(debug_tag)},
    {47, NUMBER, M(origin_uid)},
    {48, NUMBER, M(origin_gid)},
    {49, FLAG, M(sender_set_untrusted)},
};
#undef S
#undef F
#undef M
#define TAG_ACL_C 50
#define TAG_ACL_M 51

enum recipient_tag { RTAG_ERRORS_TO = 1, RTAG_ORCPT, RTAG_DSN, RTAG_ONE_TIME_PARENT };

static void put(struct strbuf *sb, uint8_t tag, slice_t value)
{
	char head[FIELD_HEAD];
	head[0] = (char)tag;
	put_le32(head + 1, value.len);
	strbuf_add(sb, slice_of(head, sizeof head, HEDDLE_CLEAN));
	strbuf_add(sb, value);
}

static void put_row(struct strbuf *sb, const struct field_row *row, const struct message *m)
{
	const void *p = (const char *)m + row->at;
	slice_t text;
	int64_t number;
	char le[8];
	switch ((enum kind)row->kind) {
	case TEXT:
	case WORD:
		memcpy(&text, p, sizeof text);
		if (!slice_is_absent(text) && text.ptr)
			put(sb, row->tag, text);
		break;
	case NUMBER:
		memcpy(&number, p, sizeof number);
		put_le64(le, (uint64_t)number);
		if (number)
			put(sb, row->tag, slice_of(le, sizeof le, HEDDLE_CLEAN));
		break;
	case FLAG:
		if (*(const bool *)p)
			put(sb, row->tag, SL(""));
		break;
	}
}

/* flags, length of the name, name, value */
static void put_acl(struct strbuf *sb, struct arena *a, uint8_t tag, const struct map *vars)
{
	size_t pos = 0;
	slice_t name;
	void *value;
	while (vars && map_next(vars, &pos, &name, &value)) {
		const slice_t *v = value;
		if (!v || slice_is_absent(*v) || name.len > ACL_NAME_MAX)
			continue;
		struct strbuf one;
		strbuf_init(&one, a, 0);
		strbuf_char(&one, (char)(v->flags & HEDDLE_CLEAN));
		strbuf_char(&one, (char)name.len);
		strbuf_add(&one, name);
		strbuf_add(&one, *v);
		put(sb, tag, strbuf_slice(&one));
	}
}

slice_t message_encode_envelope(struct arena *a, const struct message *m)
{
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_char(&sb, ENVELOPE_VERSION);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		put_row(&sb, &rows[i], m);
	put_acl(&sb, a, TAG_ACL_C, m->session.acl_c);
	put_acl(&sb, a, TAG_ACL_M, m->facts.acl_m);
	return strbuf_slice(&sb);
}

/* The next field off the front of *rest. */
static enum rc next_field(slice_t *rest, uint8_t *tag, slice_t *value, struct error *err)
{
	if (rest->len < FIELD_HEAD)
		return error_set(err, RC_FAIL, "envelope: field cut short");
	*tag = (uint8_t)rest->ptr[0];
	uint32_t len = get_le32(rest->ptr + 1);
	if (len > rest->len - FIELD_HEAD)
		return error_set(
		    err, RC_FAIL, "envelope: field %u is longer than the record", (unsigned)*tag);
	*value = slice_tainted(rest->ptr + FIELD_HEAD, len);
	*rest = slice_sub(*rest, FIELD_HEAD + len, rest->len);
	return RC_OK;
}

static bool is_word(slice_t s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_isalnum(s.ptr[i]) && !memchr("-_.:", s.ptr[i], 4))
			return false;
	return s.len && s.ptr[0] != '.';
}

static enum rc take_row(
    const struct field_row *row, struct message *m, slice_t value, struct error *err)
{
	void *p = (char *)m + row->at;
	int64_t number;
	switch ((enum kind)row->kind) {
	case WORD:
	case TEXT:
		value.flags = row->kind == WORD && is_word(value) ? HEDDLE_CLEAN : 0;
		value = arena_dup(m->arena, value);
		memcpy(p, &value, sizeof value);
		return RC_OK;
	case NUMBER:
		if (value.len != 8)
			return error_set(err, RC_FAIL, "envelope: field %u has %u bytes, not 8",
			    (unsigned)row->tag, (unsigned)value.len);
		number = (int64_t)get_le64(value.ptr);
		memcpy(p, &number, sizeof number);
		return RC_OK;
	case FLAG:
		*(bool *)p = true;
		return RC_OK;
	}
	return RC_OK;
}

static enum rc take_acl(struct message *m, struct map **vars, slice_t v, struct error *err)
{
	if (v.len < 2 || (uint8_t)v.ptr[1] > v.len - 2 || (uint8_t)v.ptr[1] > ACL_NAME_MAX)
		return error_set(err, RC_FAIL, "envelope: malformed ACL variable");
	size_t n = (uint8_t)v.ptr[1];
	if (!*vars)
		*vars = map_new(m->arena, MAP_EXACT);
	slice_t *value = ARENA_NEW(m->arena, slice_t);
	*value = slice_sub(v, 2 + n, v.len);
	value->flags = (uint16_t)(v.ptr[0] & HEDDLE_CLEAN);
	*value = arena_dup(m->arena, *value);
	(void)map_put(*vars, arena_dup(m->arena, slice_sub(v, 2, n)), value);
	return RC_OK;
}

/* Text facts that the bytes do not name are unset, not empty. */
static void unset_texts(struct message *m)
{
	slice_t unset = slice_absent();
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (rows[i].kind == TEXT || rows[i].kind == WORD)
			memcpy((char *)m + rows[i].at, &unset, sizeof unset);
}

static struct map *vars_copy(struct arena *a, const struct map *from)
{
	struct map *to = map_new(a, MAP_EXACT);
	size_t pos = 0;
	slice_t name;
	void *value;
	while (map_next(from, &pos, &name, &value)) {
		slice_t *v = ARENA_NEW(a, slice_t);
		*v = value ? arena_dup(a, *(const slice_t *)value) : slice_absent();
		(void)map_put(to, arena_dup(a, name), v);
	}
	return to;
}

void message_take_session(struct message *m, const struct session_facts *f)
{
	const size_t base = offsetof(struct message, session);
	m->session = *f;
	m->session.arena = m->arena;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		slice_t text;
		if (rows[i].kind > WORD || rows[i].at < base || rows[i].at >= base + sizeof *f)
			continue;
		memcpy(&text, (const char *)m + rows[i].at, sizeof text);
		text = arena_dup(m->arena, text);
		memcpy((char *)m + rows[i].at, &text, sizeof text);
	}
	slice_t no = slice_absent(); /* what only means something while the client is there */
	m->session.smtp_command = m->session.smtp_command_argument =
	    m->session.smtp_notquit_reason = m->session.host_lookup_msg = no;
	m->session.authenticated_fail_id = m->session.auth[0] = m->session.auth[1] =
	    m->session.auth[2] = no;
	m->session.acl_c = f->acl_c ? vars_copy(m->arena, f->acl_c) : NULL;
}

enum rc message_decode_envelope(struct message *m, slice_t bytes, struct error *err)
{
	if (!bytes.len)
		return error_set(err, RC_FAIL, "envelope: empty");
	if (bytes.ptr[0] != ENVELOPE_VERSION)
		return error_set(err, RC_FAIL, "envelope: version %d is not known", bytes.ptr[0]);
	unset_texts(m);
	slice_t rest = slice_sub(bytes, 1, bytes.len), value;
	while (rest.len) {
		uint8_t tag;
		enum rc rc = next_field(&rest, &tag, &value, err);
		if (!rc && tag == TAG_ACL_C)
			rc = take_acl(m, &m->session.acl_c, value, err);
		else if (!rc && tag == TAG_ACL_M)
			rc = take_acl(m, &m->facts.acl_m, value, err);
		for (size_t i = 0; !rc && i < sizeof rows / sizeof rows[0]; i++)
			if (rows[i].tag == tag)
				rc = take_row(&rows[i], m, value, err);
		if (rc)
			return rc;
	}
	return RC_OK;
}

slice_t message_encode_recipient(struct arena *a, const struct recipient *r)
{
	struct strbuf sb;
	char le[4];
	strbuf_init(&sb, a, 0);
	if (r->errors_to.ptr && !slice_is_absent(r->errors_to))
		put(&sb, RTAG_ERRORS_TO, r->errors_to);
	if (r->orcpt.ptr && !slice_is_absent(r->orcpt))
		put(&sb, RTAG_ORCPT, r->orcpt);
	if (r->one_time_parent.ptr && !slice_is_absent(r->one_time_parent))
		put(&sb, RTAG_ONE_TIME_PARENT, r->one_time_parent);
	put_le32(le, r->dsn_flags);
	if (r->dsn_flags)
		put(&sb, RTAG_DSN, slice_of(le, sizeof le, HEDDLE_CLEAN));
	return strbuf_slice(&sb);
}

enum rc message_decode_recipient(
    struct arena *a, slice_t bytes, struct recipient *out, struct error *err)
{
	out->errors_to = out->orcpt = out->one_time_parent = slice_absent();
	out->dsn_flags = 0;
	slice_t rest = bytes, value;
	while (rest.len) {
		uint8_t tag;
		enum rc rc = next_field(&rest, &tag, &value, err);
		if (rc)
			return rc;
		if (tag == RTAG_ERRORS_TO)
			out->errors_to = arena_dup(a, value);
		else if (tag == RTAG_ORCPT)
			out->orcpt = arena_dup(a, value);
		else if (tag == RTAG_ONE_TIME_PARENT)
			out->one_time_parent = arena_dup(a, value);
		else if (tag == RTAG_DSN && value.len == 4)
			out->dsn_flags = get_le32(value.ptr);
	}
	return RC_OK;
}
