/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kinds whose keys are patterns: wildlsearch expands each key before it is used, nwildlsearch
 * does not, iplsearch has addresses and networks.  The first key that fits counts, so the entries
 * are looked at in their order. Regular expressions that need no expansion are compiled when the
 * file is read.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lsearch.h"

#include <arpa/inet.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define MATCH_LIMIT 1000000U /* steps of one expression on one subject */

struct pattern {
	pcre2_code *code; /* of a constant regular expression; NULL: none, or it does not compile */
	unsigned char ip[16];
	int family, bits; /* 0: no address */
	int must_expand;
};

typedef struct heddle_slice slice;

static slice key_of(const struct index *ix, const struct entry *e)
{
	return heddle_bytes(ix->text + e->key, e->key_len, HEDDLE_CLEAN);
}

static pcre2_code *compile(slice s)
{
	int number;
	PCRE2_SIZE at;
	return pcre2_compile((PCRE2_SPTR)s.ptr, s.len, PCRE2_CASELESS, &number, &at, NULL);
}

/* ---- addresses
 * ------------------------------------------------------------------------------------------ */

static int parse_ip(slice s, struct pattern *p)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[INET6_ADDRSTRLEN];
	if (s.len >= sizeof text || (s.len && memchr(s.ptr, '\0', s.len)))
		return 0;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	p->family = 0;
	if (inet_pton(AF_INET, text, p->ip) == 1)
		p->family = AF_INET;
	else if (inet_pton(AF_INET6, text, p->ip) == 1)
		p->family = AF_INET6;
	if (p->family == AF_INET6 && memcmp(p->ip, mapped, sizeof mapped) == 0) {
		memmove(p->ip, p->ip + 12, 4);
		p->family = AF_INET;
	}
	p->bits = p->family == AF_INET ? 32 : 128;
	return p->family != 0;
}

/* "address" or "address/bits" */
static void parse_net(slice s, struct pattern *p)
{
	const char *slash = s.len ? memchr(s.ptr, '/', s.len) : NULL;
	slice address = s;
	int bits = 0;
	if (slash)
		address.len = (uint32_t)(slash - s.ptr);
	if (!parse_ip(address, p) || !slash)
		return;
	const char *end = s.ptr + s.len, *at = slash + 1;
	for (; at < end && *at >= '0' && *at <= '9' && bits <= 128; at++)
		bits = bits * 10 + (*at - '0');
	if (at < end || at == slash + 1 || bits > p->bits)
		p->family = 0;
	p->bits = bits;
}

static int is_in(const struct pattern *net, const struct pattern *a)
{
	unsigned whole = (unsigned)net->bits / 8, rest = (unsigned)net->bits % 8;
	if (net->family == 0 || net->family != a->family || memcmp(net->ip, a->ip, whole) != 0)
		return 0;
	return rest == 0 || (net->ip[whole] ^ a->ip[whole]) >> (8 - rest) == 0;
}

static int32_t scan_addresses(struct heddle_call *call, const struct inst *in,
    const struct index *ix, slice subject, uint32_t *out)
{
	struct pattern a = {0};
	char why[300];
	if (!parse_ip(subject, &a)) {
		(void)snprintf(why, sizeof why,
		    "\"%.*s\" is not a valid iplsearch key (an IP address, with optional CIDR "
		    "mask, is wanted): in a host list, use "
		    "net-iplsearch as the search type",
		    subject.len > 80 ? 80 : (int)subject.len, subject.ptr);
		in->host->reason(call, 0, heddle_text(NULL), heddle_bytes(why, strlen(why), 0));
		return HEDDLE_DEFER;
	}
	for (uint32_t i = 0; i < ix->count; i++)
		if (is_in(&ix->patterns[i], &a)) {
			*out = i + 1;
			break;
		}
	return HEDDLE_OK;
}

/* ---- names
 * ---------------------------------------------------------------------------------------------- */

static int32_t refuse_key(
    struct heddle_call *call, const struct inst *in, slice key, const char *why)
{
	char text[300];
	(void)snprintf(text, sizeof text, "key \"%.*s\": %s", key.len > 100 ? 100 : (int)key.len,
	    key.ptr, why);
	in->host->reason(call, 0, heddle_text(NULL), heddle_bytes(text, strlen(text), 0));
	return HEDDLE_DEFER;
}

static int32_t run_code(struct heddle_call *call, const struct inst *in, const pcre2_code *code,
    slice key, slice subject)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int n = PCRE2_ERROR_NOMEMORY;
	if (limits && data) {
		(void)pcre2_set_match_limit(limits, MATCH_LIMIT);
		n = pcre2_match(code, (PCRE2_SPTR)(subject.len ? subject.ptr : ""), subject.len, 0,
		    0, data, limits);
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	if (n == PCRE2_ERROR_NOMATCH)
		return HEDDLE_FAIL;
	return n >= 0 ? HEDDLE_OK
	              : refuse_key(call, in, key, "the regular expression takes too long");
}

static int32_t match_regex(struct heddle_call *call, const struct inst *in, const pcre2_code *ready,
    slice key, slice subject)
{
	if (ready)
		return run_code(call, in, ready, key, subject);
	pcre2_code *code = compile(key);
	if (!code)
		return refuse_key(call, in, key, "that is no regular expression");
	int32_t rc = run_code(call, in, code, key, subject);
	pcre2_code_free(code);
	return rc;
}

static int ends_with(slice s, slice tail)
{
	return tail.len <= s.len &&
	       strncasecmp(s.ptr + (s.len - tail.len), tail.ptr, tail.len) == 0;
}

/* "type;file": what it gives does not matter. */
static int32_t match_lookup(struct heddle_call *call, const struct inst *in, slice key,
    const char *semicolon, slice subject)
{
	slice type = key, source = key, ignored;
	type.len = (uint32_t)(semicolon - key.ptr);
	source.ptr = semicolon + 1;
	source.len = key.len - type.len - 1;
	return in->host->lookup(call, type, source, subject, &ignored);
}

static int32_t match(struct heddle_call *call, const struct inst *in, const pcre2_code *ready,
    slice key, slice subject)
{
	if (key.len && key.ptr[0] == '^')
		return match_regex(call, in, ready, key, subject);
	if (key.len && key.ptr[0] == '*') {
		slice tail = heddle_bytes(key.ptr + 1, key.len - 1, key.flags);
		return ends_with(subject, tail) ? HEDDLE_OK : HEDDLE_FAIL;
	}
	const char *semicolon = key.len ? memchr(key.ptr, ';', key.len) : NULL;
	if (semicolon)
		return match_lookup(call, in, key, semicolon, subject);
	return key.len == subject.len && ends_with(subject, key) ? HEDDLE_OK : HEDDLE_FAIL;
}

/* A key whose expansion is forced to fail matches nothing. */
static int32_t expand(struct heddle_call *call, const struct inst *in, slice *key)
{
	struct heddle_expr *expr;
	int32_t rc = in->host->compile(call, *key, 0, &expr);
	return rc == HEDDLE_OK ? in->host->expand(call, expr, key) : HEDDLE_DEFER;
}

static int32_t scan_names(struct heddle_call *call, const struct inst *in, const struct index *ix,
    slice subject, uint32_t *out)
{
	for (uint32_t i = 0; i < ix->count; i++) {
		slice key = key_of(ix, &ix->entries[i]);
		int32_t rc = ix->patterns[i].must_expand ? expand(call, in, &key) : HEDDLE_OK;
		if (rc == HEDDLE_OK)
			rc = match(call, in, ix->patterns[i].code, key, subject);
		if (rc == HEDDLE_OK) {
			*out = i + 1;
			return HEDDLE_OK;
		}
		if (rc != HEDDLE_FAIL)
			return HEDDLE_DEFER;
		if (i % 1000 == 999 && in->host->time_left(call) == 0)
			return refuse_key(call, in, key, "no time left");
	}
	return HEDDLE_OK;
}

/* ---- for lsearch.c
 * -------------------------------------------------------------------------------------- */

int lsearch_prepare(struct index *ix, enum kind kind)
{
	ix->patterns = calloc(ix->count ? ix->count : 1, sizeof *ix->patterns);
	if (!ix->patterns)
		return 0;
	for (uint32_t i = 0; i < ix->count; i++) {
		struct pattern *p = &ix->patterns[i];
		slice key = key_of(ix, &ix->entries[i]);
		if (kind == KIND_IP) {
			parse_net(key, p);
			continue;
		}
		p->must_expand = kind == KIND_WILD &&
		                 (memchr(key.ptr, '$', key.len) || memchr(key.ptr, '\\', key.len));
		if (!p->must_expand && key.len && key.ptr[0] == '^')
			p->code = compile(key);
	}
	return 1;
}

void lsearch_forget(struct index *ix)
{
	for (uint32_t i = 0; ix->patterns && i < ix->count; i++)
		pcre2_code_free(ix->patterns[i].code);
	free(ix->patterns);
}

int32_t lsearch_scan(struct heddle_call *call, const struct inst *in, const struct index *ix,
    slice subject, uint32_t *out)
{
	*out = 0;
	return in->kind == KIND_IP ? scan_addresses(call, in, ix, subject, out)
	                           : scan_names(call, in, ix, subject, out);
}
