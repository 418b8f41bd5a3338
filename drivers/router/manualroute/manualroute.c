/* SPDX-License-Identifier: GPL-3.0-or-later */
/* manualroute: hosts by rule, from route_list or route_data.  Exim specification, chapter 20. */
#include <heddle/router.h>
#include <stdlib.h>
#include <strings.h>

typedef struct heddle_slice slice;

/* A rule of route_list; the texts lie in manualroute.text. */
struct row {
	slice pattern, hosts, options;
	int plain;                /* "*", a name, "*.suffix": compared here */
	struct heddle_expr *test; /* other patterns that are constant: "=HOSTS" if the domain
	                             matches, else nothing */
};

struct manualroute {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	const struct heddle_routing_service *routing;
	char *text;
	struct row *rows;
	uint32_t count;
};
enum {
	HOST_ALL_IGNORED,
	HOST_FIND_FAILED,
	HOSTS_RANDOMIZE,
	ROUTE_DATA,
	ROUTE_LIST,
	SAME_DOMAIN_COPY_ROUTING
};
enum { ON_DECLINE, ON_DEFER, ON_FAIL, ON_FREEZE, ON_PASS, ON_IGNORE }; /* host_find_failed */
enum { NO_IPV6 = 1, IPV4_FIRST = 4, NO_MX = 8 };

struct rule {
	slice hosts, transport;
	int randomize;
	uint64_t dns_flags;
};

static int is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

static slice part(slice s, uint32_t from, uint32_t to)
{
	slice r = s;
	r.ptr = s.ptr + from;
	r.len = to - from;
	return r;
}

static slice trim(slice s)
{
	while (s.len && is_space(s.ptr[0]))
		s = part(s, 1, s.len);
	while (s.len && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

/* The next word, or what stands in double quotes. */
static int next_word(slice *rest, slice *out)
{
	slice s = trim(*rest);
	uint32_t n = 0;

	if (s.len == 0)
		return 0;
	if (s.ptr[0] == '"') {
		for (n = 1; n < s.len && s.ptr[n] != '"'; n++)
			;
		*out = part(s, 1, n);
		*rest = part(s, n < s.len ? n + 1 : n, s.len);
		return 1;
	}
	while (n < s.len && !is_space(s.ptr[n]))
		n++;
	*out = part(s, 0, n);
	*rest = part(s, n, s.len);
	return 1;
}

static int is_word(slice s, const char *w)
{
	return s.len == strlen(w) && strncmp(s.ptr, w, s.len) == 0;
}

static int32_t unknown_word(struct manualroute *m, struct heddle_call *call, slice word)
{
	slice parts[] = {heddle_text("unknown routing option or transport name \""), word,
	    heddle_text("\"")},
	      text;

	if (m->host->join(call, parts, 3, &text) == HEDDLE_OK)
		m->host->reason(call, 0, heddle_text(NULL), text);
	return HEDDLE_ERROR;
}

/* Behind the hosts: randomize, no_randomize, byname, bydns, ipv4_only, ipv4_prefer, and the name of
 * a transport. */
static int32_t read_options(
    struct manualroute *m, struct heddle_call *call, slice rest, struct rule *r)
{
	slice w;

	while (next_word(&rest, &w)) {
		if (is_word(w, "randomize"))
			r->randomize = 1;
		else if (is_word(w, "no_randomize"))
			r->randomize = 0;
		else if (is_word(w, "ipv4_only"))
			r->dns_flags |= NO_IPV6;
		else if (is_word(w, "ipv4_prefer"))
			r->dns_flags |= IPV4_FIRST;
		else if (!is_word(w, "byname") && !is_word(w, "bydns") && r->transport.len)
			return unknown_word(m, call, w);
		else if (!is_word(w, "byname") && !is_word(w, "bydns"))
			r->transport = w;
	}
	return HEDDLE_OK;
}

/* The patterns that need no list: "*", a name, "*.suffix". */
static int pattern_matches(slice pattern, slice domain)
{
	if (pattern.len && pattern.ptr[0] == '*') {
		slice tail = part(pattern, 1, pattern.len);
		return tail.len <= domain.len &&
		       strncasecmp(domain.ptr + domain.len - tail.len, tail.ptr, tail.len) == 0;
	}
	return pattern.len == domain.len && strncasecmp(pattern.ptr, domain.ptr, domain.len) == 0;
}

static int pattern_is_plain(slice p)
{
	for (uint32_t i = 0; i < p.len; i++)
		if (strchr("^+!;@$/\\", p.ptr[i]) && p.ptr[i])
			return 0;
	return 1;
}

/* A variable or an item in it: what it is depends on the address. */
static int pattern_varies(slice p)
{
	for (uint32_t i = 0; i < p.len; i++) {
		if (p.ptr[i] == '\\')
			i++;
		else if (p.ptr[i] == '$')
			return 1;
	}
	return 0;
}

/* Next rule of a route_list: ';' between rules, two of them for one. */
static int next_rule(slice list, uint32_t *pos, char *buf, slice *out)
{
	size_t n = 0;

	if (*pos >= list.len)
		return 0;
	for (; *pos < list.len; (*pos)++) {
		if (list.ptr[*pos] == ';') {
			if (*pos + 1 < list.len && list.ptr[*pos + 1] == ';') {
				(*pos)++;
			} else {
				(*pos)++;
				break;
			}
		}
		buf[n++] = list.ptr[*pos];
	}
	*out = heddle_bytes(buf, n, list.flags & HEDDLE_CLEAN);
	return 1;
}

static char *put(char *to, const char *text, size_t n)
{
	memcpy(to, text, n);
	return to + n;
}

/* The pattern as the only item of a domain list, and the hosts as what stands for a match: the
 * kernel's lists do all that the specification says of patterns, and $1 and $value are set while
 * the hosts are expanded. */
static int32_t compile_test(struct manualroute *m, struct heddle_call *call, slice pattern,
    slice hosts, struct heddle_expr **out)
{
	static const char head[] = "${if match_domain{$domain}{<\x01 ",
	                  middle[] = "}{=", tail[] = "}{}}";
	char *text = m->host->alloc(call,
	    sizeof head + sizeof middle + sizeof tail + 2 * (size_t)pattern.len + hosts.len, 1);
	char *p = text;

	if (!text)
		return HEDDLE_DEFER;
	p = put(p, head, sizeof head - 1);
	for (uint32_t i = 0; i < pattern.len; i++) {
		if (strchr("\\{}", pattern.ptr[i]) && pattern.ptr[i])
			*p++ = '\\';
		*p++ = pattern.ptr[i];
	}
	p = put(p, middle, sizeof middle - 1);
	if (hosts.len)
		p = put(p, hosts.ptr, hosts.len);
	p = put(p, tail, sizeof tail - 1);
	return m->host->compile(call,
	    heddle_bytes(text, (size_t)(p - text), pattern.flags & hosts.flags & HEDDLE_CLEAN), 0,
	    out);
}

static int32_t expand_pattern(
    struct manualroute *m, struct heddle_call *call, slice pattern, slice *out)
{
	struct heddle_expr *e;
	int32_t rc = m->host->compile(call, pattern, 0, &e);

	return rc == HEDDLE_OK ? m->host->expand(call, e, out) : rc;
}

/* HEDDLE_FAIL: it does not match. */
static int32_t try_row(struct manualroute *m, struct heddle_call *call, const struct row *row,
    slice domain, slice *hosts)
{
	struct heddle_expr *test = row->test;
	slice pattern = heddle_text(""), got;
	int32_t rc = HEDDLE_OK;

	if (row->plain) {
		*hosts = row->hosts;
		return pattern_matches(row->pattern, domain) ? HEDDLE_OK : HEDDLE_FAIL;
	}
	if (!test)
		rc = expand_pattern(m, call, row->pattern, &pattern);
	if (rc == HEDDLE_OK && !test)
		rc = compile_test(m, call, pattern, row->hosts, &test);
	if (rc == HEDDLE_OK)
		rc = m->host->expand(call, test, &got);
	if (rc != HEDDLE_OK)
		return rc;
	if (!got.len)
		return HEDDLE_FAIL;
	*hosts = part(got, 1, got.len);
	return HEDDLE_OK;
}

/* The host list of a rule is expanded by itself. */
static int32_t expand_hosts(struct manualroute *m, struct heddle_call *call, struct rule *r)
{
	struct heddle_expr *e;

	if (!memchr(r->hosts.ptr, '$', r->hosts.len))
		return HEDDLE_OK;
	int32_t rc = m->host->compile(call, r->hosts, 0, &e);
	return rc == HEDDLE_OK ? m->host->expand(call, e, &r->hosts) : rc;
}

static int32_t find_in_list(
    struct manualroute *m, struct heddle_call *call, slice domain, struct rule *r)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const struct row *row = &m->rows[i];
		int32_t rc = try_row(m, call, row, domain, &r->hosts);
		if (rc == HEDDLE_FAIL)
			continue;
		if (rc != HEDDLE_OK)
			return rc;
		rc = read_options(m, call, row->options, r);
		return rc == HEDDLE_OK && row->plain ? expand_hosts(m, call, r) : rc;
	}
	return HEDDLE_FAIL;
}

static int32_t find_rule(
    struct manualroute *m, struct heddle_call *call, slice domain, struct rule *r)
{
	int64_t randomize = 0;
	slice v;

	(void)m->host->opt_int(call, m->cfg, HOSTS_RANDOMIZE, &randomize);
	*r = (struct rule){.transport = heddle_text(NULL), .randomize = (int)randomize};
	if (m->rows)
		return find_in_list(m, call, domain, r);
	int32_t rc = m->host->opt_text(call, m->cfg, ROUTE_DATA, &v);
	if (rc != HEDDLE_OK)
		return rc;
	if (!next_word(&v, &r->hosts))
		return HEDDLE_FAIL;
	return read_options(m, call, v, r);
}

/* Port 0 for what is no port number: the transport's port then. */
static uint32_t port_number(slice s)
{
	uint32_t v = 0;

	for (uint32_t i = 0; i < s.len && i < 6; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return 0;
		v = v * 10 + (uint32_t)(s.ptr[i] - '0');
	}
	return v <= 65535 ? v : 0;
}

static int is_ipv4(slice s)
{
	uint32_t dots = 0;

	for (uint32_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '.')
			dots++;
		else if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return 0;
	}
	return dots == 3;
}

/* "name", "name:port", "[addr]:port", "addr", "name/MX", "name/MX:port" */
static int32_t add_item(struct manualroute *m, struct heddle_call *call, slice item,
    const struct rule *r, int32_t place)
{
	struct heddle_route_host h = {.struct_size = sizeof h,
	    .flags = HEDDLE_H_ORDERED,
	    .preference = place,
	    .address = heddle_text(NULL),
	    .transport = heddle_text(NULL)};
	uint32_t end = item.len, colons = 0, last = 0;

	for (uint32_t i = 0; i < item.len; i++)
		if (item.ptr[i] == ':') {
			colons++;
			last = i;
		}
	if (item.len && item.ptr[0] == '[') {
		const char *close = memchr(item.ptr, ']', item.len);
		if (!close)
			return HEDDLE_ERROR;
		end = (uint32_t)(close - item.ptr);
		h.name = part(item, 1, end);
		if (colons && last > end)
			h.port = port_number(part(item, last + 1, item.len));
		h.address = h.name;
	} else {
		if (colons == 1) {
			h.port = port_number(part(item, last + 1, item.len));
			end = last;
		}
		h.name = part(item, 0, end);
	}
	if (h.name.len > 3 && strncasecmp(h.name.ptr + h.name.len - 3, "/mx", 3) == 0) {
		uint32_t n;
		h.name.len -= 3;
		return m->routing->add_mx(call, h.name, r->dns_flags, &n);
	}
	/* an address needs no look-up */
	if (colons > 1 || is_ipv4(h.name))
		h.address = h.name;
	return m->routing->add_host(call, &h);
}

/* Groups ("+" between them) are shuffled each for itself. */
static void shuffle(struct manualroute *m, struct heddle_call *call, slice *items, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t k = 0;
		if (m->host->random(call, &k, sizeof k) != HEDDLE_OK)
			return;
		k %= i;
		slice t = items[i - 1];
		items[i - 1] = items[k];
		items[k] = t;
	}
}

#define MAX_ITEMS 200
static int32_t add_hosts(
    struct manualroute *m, struct heddle_call *call, const struct rule *r, uint32_t *out_count)
{
	slice items[MAX_ITEMS], item;
	uint32_t n = 0, group = 0;
	uint64_t pos = 0;

	while (n < MAX_ITEMS && m->host->item(call, r->hosts, &pos, &item) == HEDDLE_OK) {
		item = trim(item);
		if (is_word(item, "+")) {
			if (r->randomize)
				shuffle(m, call, items + group, n - group);
			group = n;
		} else if (item.len) {
			items[n++] = item;
		}
	}
	if (r->randomize)
		shuffle(m, call, items + group, n - group);
	*out_count = n;
	for (uint32_t i = 0; i < n; i++) {
		int32_t rc = add_item(m, call, items[i], r, (int32_t)i);
		if (rc != HEDDLE_OK)
			return rc;
	}
	return HEDDLE_OK;
}

static int32_t not_found(struct manualroute *m, struct heddle_call *call, struct heddle_route *out)
{
	int64_t what = ON_FREEZE;

	(void)m->host->opt_int(call, m->cfg, HOST_FIND_FAILED, &what);
	m->host->reason(
	    call, 0, heddle_text(NULL), heddle_text("lookup of host failed in manualroute router"));
	switch (what) {
	case ON_DECLINE:
	case ON_IGNORE:
		out->verdict = HEDDLE_R_DECLINE;
		return HEDDLE_OK;
	case ON_PASS:
		out->verdict = HEDDLE_R_PASS;
		return HEDDLE_OK;
	case ON_FAIL:
		return HEDDLE_FAIL;
	case ON_FREEZE:
		out->verdict = HEDDLE_R_FREEZE;
		return HEDDLE_OK;
	default:
		return HEDDLE_DEFER;
	}
}

static int32_t by_self(uint32_t self, struct heddle_route *out)
{
	switch (self) {
	case HEDDLE_S_PASS:
		out->verdict = HEDDLE_R_PASS;
		return HEDDLE_OK;
	case HEDDLE_S_FAIL:
		return HEDDLE_FAIL;
	case HEDDLE_S_REROUTE:
		out->verdict = HEDDLE_R_REROUTE;
		return HEDDLE_OK;
	case HEDDLE_S_DEFER:
		out->verdict = HEDDLE_R_FREEZE;
		return HEDDLE_OK;
	default:
		out->verdict = HEDDLE_R_ACCEPT;
		return HEDDLE_OK;
	}
}

static void instance_free(void *inst)
{
	struct manualroute *m = inst;

	free(m->text);
	free(m->rows);
	free(m);
}

static int32_t refuse(struct manualroute *m, struct heddle_call *call, const char *why)
{
	m->host->reason(call, 0, heddle_text(NULL), heddle_text(why));
	instance_free(m);
	return HEDDLE_ERROR;
}

/* The rules are read once; a pattern that is constant is compiled once. */
static int32_t read_rules(struct manualroute *m, struct heddle_call *call, slice list)
{
	uint32_t pos = 0, most = 1;
	slice text;

	for (uint32_t i = 0; i < list.len; i++)
		most += list.ptr[i] == ';';
	m->text = malloc((size_t)list.len + 1);
	m->rows = calloc(most, sizeof *m->rows);
	if (!m->text || !m->rows)
		return HEDDLE_DEFER;
	for (char *to = m->text; next_rule(list, &pos, to, &text); to += text.len) {
		struct row *row = &m->rows[m->count];
		slice pattern, rest = text;
		int32_t rc = HEDDLE_OK;
		if (!next_word(&rest, &row->pattern))
			continue;
		if (!next_word(&rest, &row->hosts))
			row->hosts = heddle_text("");
		row->options = rest;
		row->plain = pattern_is_plain(row->pattern);
		m->count++;
		if (row->plain || pattern_varies(row->pattern))
			continue;
		rc = expand_pattern(m, call, row->pattern, &pattern);
		if (rc == HEDDLE_OK)
			rc = compile_test(m, call, pattern, row->hosts, &row->test);
		if (rc != HEDDLE_OK)
			return HEDDLE_ERROR;
	}
	return HEDDLE_OK;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct manualroute *m = calloc(1, sizeof *m);
	slice list, data;

	(void)state;
	if (!m)
		return HEDDLE_DEFER;
	m->host = host;
	m->cfg = cfg;
	m->routing = host->service(host, HEDDLE_ROUTING_ID);
	if (host->opt_text(call, cfg, ROUTE_LIST, &list) != HEDDLE_OK)
		list = heddle_text(NULL);
	/* route_data is expanded for each address: only whether it is there counts here */
	int has_data = host->opt_text(call, cfg, ROUTE_DATA, &data) != HEDDLE_OK ||
	               !(data.flags & HEDDLE_ABSENT);
	int has_list = !(list.flags & HEDDLE_ABSENT);
	if (has_list == has_data)
		return refuse(m, call, "exactly one of route_list and route_data must be set");
	int32_t rc = has_list ? read_rules(m, call, list) : HEDDLE_OK;
	if (rc != HEDDLE_OK) {
		instance_free(m);
		return rc;
	}
	*out = m;
	return HEDDLE_OK;
}

static int32_t route(struct heddle_call *call, void *inst, const struct heddle_address *address,
    struct heddle_route *out)
{
	struct manualroute *m = inst;
	struct rule r;
	uint32_t count = 0, self = HEDDLE_S_PROCEED;
	int32_t rc = find_rule(m, call, address->domain, &r);

	if (rc == HEDDLE_FAIL) {
		out->verdict = HEDDLE_R_DECLINE;
		return HEDDLE_OK;
	}
	if (rc == HEDDLE_OK)
		rc = add_hosts(m, call, &r, &count);
	if (rc == HEDDLE_OK && count > 0)
		rc = m->routing->settle_hosts(call, &count, &self);
	if (rc == HEDDLE_FAIL)
		return not_found(m, call, out);
	if (rc != HEDDLE_OK)
		return rc;
	out->transport = r.transport;
	return by_self(self, out);
}

#define OPT(n, t, init, arg, fl, d)                                                            \
	{                                                                                      \
		.name = n, .initial = init, .type_arg = arg, .doc = d, .type = t, .flags = fl, \
		.since_major = 1                                                               \
	}
static const struct heddle_option table[] = {
    [HOST_ALL_IGNORED] = OPT("host_all_ignored", HEDDLE_T_ENUM, "defer",
        "decline|defer|fail|freeze|pass", 0, "What happens when all hosts are to be ignored."),
    [HOST_FIND_FAILED] = OPT("host_find_failed", HEDDLE_T_ENUM, "freeze",
        "decline|defer|fail|freeze|pass|ignore", 0, "What happens when a host does not exist."),
    [HOSTS_RANDOMIZE] =
        OPT("hosts_randomize", HEDDLE_T_BOOL, "false", NULL, 0, "Hosts are tried in random order."),
    [ROUTE_DATA] = OPT("route_data", HEDDLE_T_STRING, NULL, NULL, HEDDLE_O_EXPAND,
        "The data part of a rule: hosts and options."),
    [ROUTE_LIST] = OPT("route_list", HEDDLE_T_LIST, NULL, NULL, 0,
        "Rules: a domain pattern, hosts, options; ';' between rules."),
    [SAME_DOMAIN_COPY_ROUTING] = OPT("same_domain_copy_routing", HEDDLE_T_BOOL, "false", NULL, 0,
        "One look-up serves all addresses of a domain."),
};
static const struct heddle_router_ops ops = {.struct_size = sizeof ops, .route = route};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_ROUTER,
    .flags = HEDDLE_F_BLOCKS,
    .name = "manualroute",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "hosts by rule",
    .options = table,
    .option_count = sizeof table / sizeof *table,
    .option_size = sizeof *table,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = instance_free,
};
