/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Cipher suites and groups by name: OpenSSL's list language (names, +, !, -, keywords), wolfSSL's
 * names and the RFCs'. A row is a suite that wolfSSL speaks and that may be asked for; those with
 * DEFAULT are what is used without being asked. The order is that of speed here: wolfSSL as Debian
 * builds it has no assembly.
 */
#include "net/tls/tls_private.h"

#include <wolfssl/wolfcrypt/ecc.h>

enum {
	A_TLS13 = 1 << 0,
	A_ECDHE = 1 << 1,
	A_DHE = 1 << 2,
	A_ECDSA = 1 << 3,
	A_RSA = 1 << 4,
	A_AES128 = 1 << 5,
	A_AES256 = 1 << 6,
	A_GCM = 1 << 7,
	A_CBC = 1 << 8,
	A_CHACHA = 1 << 9,
	A_SHA1 = 1 << 10,
	A_SHA256 = 1 << 11,
	A_SHA384 = 1 << 12,
	A_CLIENT = 1 << 13, /* offered to old servers, which would else get the mail in clear */
	A_DEFAULT = 1 << 14,
};
#define EE (A_ECDHE | A_ECDSA)
#define ER (A_ECDHE | A_RSA)
#define DR (A_DHE | A_RSA)

static const struct suite {
	uint16_t id;
	int bits;
	const char *openssl, *wolf, *rfc;
	unsigned attrs;
} suites[] = {
    {0x1303, 256, "TLS_CHACHA20_POLY1305_SHA256", "TLS13-CHACHA20-POLY1305-SHA256",
        "TLS_CHACHA20_POLY1305_SHA256", A_TLS13 | A_CHACHA | A_SHA256 | A_DEFAULT},
    {0x1301, 128, "TLS_AES_128_GCM_SHA256", "TLS13-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256",
        A_TLS13 | A_AES128 | A_GCM | A_SHA256 | A_DEFAULT},
    {0x1302, 256, "TLS_AES_256_GCM_SHA384", "TLS13-AES256-GCM-SHA384", "TLS_AES_256_GCM_SHA384",
        A_TLS13 | A_AES256 | A_GCM | A_SHA384 | A_DEFAULT},
    {0xcca9, 256, "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", EE | A_CHACHA | A_SHA256 | A_DEFAULT},
    {0xcca8, 256, "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", ER | A_CHACHA | A_SHA256 | A_DEFAULT},
    {0xc02b, 128, "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", EE | A_AES128 | A_GCM | A_SHA256 | A_DEFAULT},
    {0xc02f, 128, "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ER | A_AES128 | A_GCM | A_SHA256 | A_DEFAULT},
    {0xc02c, 256, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", EE | A_AES256 | A_GCM | A_SHA384 | A_DEFAULT},
    {0xc030, 256, "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", ER | A_AES256 | A_GCM | A_SHA384 | A_DEFAULT},
    {0xccaa, 256, "DHE-RSA-CHACHA20-POLY1305", "DHE-RSA-CHACHA20-POLY1305",
        "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", DR | A_CHACHA | A_SHA256 | A_DEFAULT},
    {0x009e, 128, "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256",
        "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", DR | A_AES128 | A_GCM | A_SHA256 | A_DEFAULT},
    {0x009f, 256, "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384",
        "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", DR | A_AES256 | A_GCM | A_SHA384 | A_DEFAULT},
    {0xc023, 128, "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", EE | A_AES128 | A_CBC | A_SHA256 | A_CLIENT},
    {0xc027, 128, "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", ER | A_AES128 | A_CBC | A_SHA256 | A_CLIENT},
    {0xc024, 256, "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES256-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", EE | A_AES256 | A_CBC | A_SHA384 | A_CLIENT},
    {0xc028, 256, "ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", ER | A_AES256 | A_CBC | A_SHA384 | A_CLIENT},
    {0xc009, 128, "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", EE | A_AES128 | A_CBC | A_SHA1 | A_CLIENT},
    {0xc013, 128, "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", ER | A_AES128 | A_CBC | A_SHA1 | A_CLIENT},
    {0xc00a, 256, "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", EE | A_AES256 | A_CBC | A_SHA1 | A_CLIENT},
    {0xc014, 256, "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", ER | A_AES256 | A_CBC | A_SHA1 | A_CLIENT},
    {0x0067, 128, "DHE-RSA-AES128-SHA256", "DHE-RSA-AES128-SHA256",
        "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", DR | A_AES128 | A_CBC | A_SHA256 | A_CLIENT},
    {0x006b, 256, "DHE-RSA-AES256-SHA256", "DHE-RSA-AES256-SHA256",
        "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", DR | A_AES256 | A_CBC | A_SHA256 | A_CLIENT},
};
enum { SUITES = sizeof suites / sizeof suites[0] };

/* all: a suite must have them all; any: one of them (0: does not matter) */
static const struct keyword {
	const char *name;
	unsigned all, any;
} keywords[] = {
    {"ALL", 0, 0},
    {"COMPLEMENTOFDEFAULT", 0, A_CBC},
    {"DEFAULT", A_DEFAULT, 0},
    {"HIGH", 0, 0},
    {"FIPS", 0, A_GCM | A_CBC},
    {"SUITEB128", A_ECDHE | A_ECDSA | A_GCM, 0},
    {"TLSv1.3", A_TLS13, 0},
    {"TLSv1.2", 0, A_GCM | A_CHACHA | A_SHA256 | A_SHA384},
    {"TLSv1", A_SHA1, 0},
    {"kECDHE", A_ECDHE, 0},
    {"kEECDH", A_ECDHE, 0},
    {"EECDH", A_ECDHE, 0},
    {"ECDHE", A_ECDHE, 0},
    {"ECDH", A_ECDHE, 0},
    {"kDHE", A_DHE, 0},
    {"kEDH", A_DHE, 0},
    {"EDH", A_DHE, 0},
    {"DHE", A_DHE, 0},
    {"DH", A_DHE, 0},
    {"aRSA", A_RSA, 0},
    {"aECDSA", A_ECDSA, 0},
    {"ECDSA", A_ECDSA, 0},
    {"AES128", A_AES128, 0},
    {"AES256", A_AES256, 0},
    {"AES", 0, A_AES128 | A_AES256},
    {"AESGCM", A_GCM, 0},
    {"CHACHA20", A_CHACHA, 0},
    {"SHA", A_SHA1, 0},
    {"SHA1", A_SHA1, 0},
    {"SHA256", A_SHA256 | A_CBC, 0},
    {"SHA384", A_SHA384 | A_CBC, 0},
};
/* OpenSSL's words for what is never spoken here: "!aNULL" is no mistake, and "RC4" names nothing.
 */
static const char *const nothing[] = {"aNULL", "eNULL", "NULL", "ADH", "AECDH", "EXP", "EXPORT",
    "LOW", "MEDIUM", "MD5", "RC4", "DES", "3DES", "IDEA", "SEED", "RC2", "CAMELLIA", "CAMELLIA128",
    "CAMELLIA256", "ARIA", "ARIA128", "ARIA256", "PSK", "kPSK", "kECDHEPSK", "kDHEPSK", "kRSAPSK",
    "SRP", "kRSA", "RSA", "DSS", "aDSS", "aPSK", "GOST", "kGOST", "aGOST", "SSLv3", "SSLv2",
    "kECDH", "AESCCM", "AESCCM8"};

struct choice {
	uint8_t order[SUITES]; /* of suites, what is chosen */
	unsigned count;
	bool killed[SUITES];
	bool known; /* some name was */
	bool tls13_named;
};

static bool chosen(const struct choice *c, unsigned suite)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->order[i] == suite)
			return true;
	return false;
}

static void drop(struct choice *c, unsigned suite)
{
	unsigned n = 0;
	for (unsigned i = 0; i < c->count; i++)
		if (c->order[i] != suite)
			c->order[n++] = c->order[i];
	c->count = n;
}

static void apply(struct choice *c, char op, unsigned suite)
{
	bool is_in = chosen(c, suite);
	if (op == '!')
		c->killed[suite] = true;
	if (op == '!' || op == '-' || (op == '+' && is_in))
		drop(c, suite);
	if ((op == '+' && is_in) || (op == 0 && !is_in && !c->killed[suite]))
		c->order[c->count++] = (uint8_t)suite;
}

/* One word between + signs: does it cover this suite?  *known: is it a word at all? */
static bool word_covers(slice_t word, const struct suite *s, bool *known, bool *exact)
{
	if (slice_eqis(word, s->openssl) || slice_eqis(word, s->wolf) || slice_eqis(word, s->rfc)) {
		*known = *exact = true;
		return true;
	}
	for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
		if (!slice_eqis(word, keywords[i].name))
			continue;
		*known = true;
		return (s->attrs & keywords[i].all) == keywords[i].all &&
		       (!keywords[i].any || (s->attrs & keywords[i].any));
	}
	for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++)
		*known |= slice_eqis(word, nothing[i]);
	return false;
}

static void apply_term(struct choice *c, slice_t term)
{
	char op = 0;
	if (term.len > 1 && strchr("!-+", term.ptr[0])) {
		op = term.ptr[0];
		term = slice_sub(term, 1, term.len);
	}
	for (unsigned i = 0; i < SUITES; i++) {
		slice_t rest = term, word;
		bool covers = true, exact = false, known = false;
		while (slice_next(&rest, '+', &word))
			covers &= word_covers(word, &suites[i], &known, &exact);
		c->known |= known && op == 0;
		if (!covers)
			continue;
		/* as in OpenSSL, words do not speak of TLS 1.3; names do */
		if (suites[i].attrs & A_TLS13) {
			if (!exact && !slice_eqis(term, "TLSv1.3"))
				continue;
			c->tls13_named |= op == 0;
		}
		apply(c, op, i);
	}
}

static void choose_default(struct choice *c, bool server)
{
	unsigned wanted = A_DEFAULT | (server ? 0 : A_CLIENT);
	for (unsigned i = 0; i < SUITES; i++)
		if (suites[i].attrs & wanted)
			apply(c, 0, i);
}

static bool is_separator(char c)
{
	return c == ':' || c == ',' || c == ' ' || c == ';' || c == '\n' || c == '\t';
}

static void choose(struct choice *c, slice_t wanted)
{
	for (uint32_t i = 0; i < wanted.len;) {
		uint32_t from = i;
		while (i < wanted.len && !is_separator(wanted.ptr[i]))
			i++;
		slice_t term = slice_sub(wanted, from, i - from);
		i++;
		/* @STRENGTH, @SECLEVEL=2: order and strength are ours */
		if (term.len && term.ptr[0] != '@')
			apply_term(c, term);
	}
}

enum rc tls_cipher_list(
    struct arena *a, slice_t wanted, bool server, bool dhe, slice_t *out, struct error *err)
{
	struct choice c = {.count = 0};
	struct strbuf sb;
	strbuf_init(&sb, a, 4096);
	if (slice_trim(wanted).len == 0) {
		choose_default(&c, server);
		c.known = c.tls13_named = true;
	} else {
		choose(&c, wanted);
	}
	if (!c.known)
		return error_set(err, RC_ERROR,
		    "tls_require_ciphers \"%.*s\" names no cipher that is known here",
		    SL_ARG(wanted));
	/* a list of older suites says nothing about TLS 1.3, which must not vanish by it */
	for (unsigned i = 0; !c.tls13_named && i < SUITES; i++)
		if (suites[i].attrs & A_TLS13 && !c.killed[i])
			strbuf_printf(&sb, "%s%s", sb.len ? ":" : "", suites[i].wolf);
	for (unsigned i = 0; i < c.count; i++) {
		const struct suite *s = &suites[c.order[i]];
		if (!(s->attrs & A_DHE) || dhe)
			strbuf_printf(&sb, "%s%s", sb.len ? ":" : "", s->wolf);
	}
	if (sb.len == 0)
		return error_set(
		    err, RC_ERROR, "tls_require_ciphers \"%.*s\" leaves no cipher", SL_ARG(wanted));
	*out = strbuf_slice(&sb);
	return RC_OK;
}

_Static_assert(SUITES <= 32, "a bit for each suite");

uint32_t tls_suites_of(slice_t list)
{
	uint32_t found = 0;
	slice_t name;
	while (slice_next(&list, ':', &name))
		for (unsigned i = 0; i < SUITES; i++)
			if (slice_eqs(name, suites[i].wolf))
				found |= UINT32_C(1) << i;
	return found;
}

/* Ed25519 keys go with the suites of ECDSA (RFC 8422, 5.4). */
static bool goes_with(unsigned attrs, enum tls_key_kind kind, bool tls13)
{
	if (attrs & A_TLS13)
		return tls13;
	return attrs & (kind == TLS_KEY_RSA ? A_RSA : A_ECDSA);
}

bool tls_suites_meet(uint32_t permitted, const struct tls_hello *hello, enum tls_key_kind kind)
{
	for (unsigned i = 0; i < SUITES; i++) {
		if (!(permitted >> i & 1) || !goes_with(suites[i].attrs, kind, hello->tls13))
			continue;
		for (uint32_t at = 0; at + 1 < hello->suites.len; at += 2)
			if ((unsigned char)hello->suites.ptr[at] == suites[i].id >> 8 &&
			    (unsigned char)hello->suites.ptr[at + 1] == (suites[i].id & 0xff))
				return true;
	}
	return false;
}

bool tls_cipher_names(int suite, slice_t *out_openssl, slice_t *out_rfc, int *out_bits)
{
	for (unsigned i = 0; i < SUITES; i++) {
		if (suites[i].id != suite)
			continue;
		*out_openssl = slice_cstr(suites[i].openssl);
		*out_rfc = slice_cstr(suites[i].rfc);
		*out_bits = suites[i].bits;
		return true;
	}
	return false;
}

/* ---- groups ---- */

static const struct {
	const char *name;
	int group;
} groups_known[] = {
    {"X25519", WOLFSSL_ECC_X25519},
    {"P-256", WOLFSSL_ECC_SECP256R1},
    {"prime256v1", WOLFSSL_ECC_SECP256R1},
    {"secp256r1", WOLFSSL_ECC_SECP256R1},
    {"P-384", WOLFSSL_ECC_SECP384R1},
    {"secp384r1", WOLFSSL_ECC_SECP384R1},
    {"P-521", WOLFSSL_ECC_SECP521R1},
    {"P-512", WOLFSSL_ECC_SECP521R1}, /* so in Exim's documentation */
    {"secp521r1", WOLFSSL_ECC_SECP521R1},
    {"X448", WOLFSSL_ECC_X448},
    {"ffdhe2048", WOLFSSL_FFDHE_2048},
    {"ffdhe3072", WOLFSSL_FFDHE_3072},
};

enum rc tls_group_list(
    slice_t wanted, int groups[TLS_GROUPS_MAX], int *out_count, struct error *err)
{
	int n = 0;
	slice_t rest = slice_trim(wanted), name;
	if (rest.len == 0 || slice_eqis(rest, "auto"))
		rest = SL("X25519:P-256:P-384");
	while (slice_next(&rest, ':', &name)) {
		size_t i = 0, rows = sizeof groups_known / sizeof groups_known[0];
		name = slice_trim(name);
		while (i < rows && !slice_eqis(name, groups_known[i].name))
			i++;
		if (i == rows)
			return error_set(
			    err, RC_ERROR, "tls_eccurve: \"%.*s\" is not known here", SL_ARG(name));
		if (n < TLS_GROUPS_MAX)
			groups[n++] = groups_known[i].group;
	}
	*out_count = n;
	return RC_OK;
}

bool tls_groups_meet(const struct tls_context *c, const struct tls_hello *hello)
{
	if (!c->tls13 || !hello->tls13 || slice_is_absent(hello->groups))
		return true;
	for (uint32_t at = 0; at + 1 < hello->groups.len; at += 2) {
		int id = (unsigned char)hello->groups.ptr[at] << 8 |
		         (unsigned char)hello->groups.ptr[at + 1];
		for (int i = 0; i < c->n_groups; i++)
			if (c->groups[i] == id)
				return true;
	}
	return false;
}
