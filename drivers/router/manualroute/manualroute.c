/* SPDX-License-Identifier: GPL-3.0-or-later */
/* manualroute: hosts by rule, from route_list or route_data.  Exim specification, chapter 20. */
#include <heddle/router.h>
#include <stdlib.h>
#include <strings.h>

typedef struct heddle_slice slice;

struct manualroute {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	const struct heddle_routing_service *routing;
};
enum { HOST_ALL_IGNORED, HOST_FIND_FAILED, HOSTS_RANDOMIZE, ROUTE_DATA, ROUTE_LIST, SAME_DOMAIN_COPY_ROUTING };
enum { ON_DECLINE, ON_DEFER, ON_FAIL, ON_FREEZE, ON_PASS, ON_IGNORE }; /* host_find_failed */
enum { NO_IPV6 = 1, IPV4_FIRST = 4, NO_MX = 8 };

struct rule {
	slice hosts, transport;
	int randomize;
	uint64_t dns_flags;
};

static int32_t refuse(struct manualroute *m, struct heddle_call *call, const char *why)
{
	m->host->reason(call, 0, heddle_text(NULL), heddle_text(why));
	free(m);
	return HEDDLE_ERROR;
}

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct manualroute *m = malloc(sizeof *m);
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
	int has_data = host->opt_text(call, cfg, ROUTE_DATA, &data) != HEDDLE_OK || !(data.flags & HEDDLE_ABSENT);
	int has_list = !(list.flags & HEDDLE_ABSENT);
	if (has_list == has_data)
		return refuse(m, call, "exactly one of route_list and route_data must be set");
	*out = m;
	return HEDDLE_OK;
}

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

/* Behind the hosts: randomize, no_randomize, byname, bydns, ipv4_only, ipv4_prefer, and the name of a transport. */
static void read_options(slice rest, struct rule *r)
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
		else if (!is_word(w, "byname") && !is_word(w, "bydns"))
			r->transport = w;
	}
}

/* One domain pattern against the domain.  The list service's full patterns are an option's: here "*", a name, "*.suffix";
 * what is more is written with domains = or looked up with route_data. */
static int pattern_matches(slice pattern, slice domain)
{
	if (pattern.len && pattern.ptr[0] == '*') {
		slice tail = part(pattern, 1, pattern.len);
		return tail.len <= domain.len && strncasecmp(domain.ptr + domain.len - tail.len, tail.ptr, tail.len) == 0;
	}
	return pattern.len == domain.len && strncasecmp(pattern.ptr, domain.ptr, domain.len) == 0;
}

/* What a pattern may hold that pattern_matches does not know. */
static int pattern_is_known(slice p)
{
	for (uint32_t i = 0; i < p.len; i++)
		if (strchr("^+!;@$/", p.ptr[i]) && p.ptr[i])
			return 0;
	return 1;
}

/* Next rule of a route_list: ';' between rules, two of them for one. */
static int next_rule(slice list, uint32_t *pos, char *buf, size_t cap, slice *out)
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
		if (n < cap)
			buf[n++] = list.ptr[*pos];
	}
	*out = heddle_bytes(buf, n, list.flags & HEDDLE_CLEAN);
	return 1;
}

static int32_t find_in_list(struct manualroute *m, struct heddle_call *call, slice list, slice domain, struct rule *r)
{
	uint32_t pos = 0;
	slice text, pattern;
	size_t cap = list.len;
	char *buf = m->host->alloc(call, cap + 1, 1);

	if (!buf)
		return HEDDLE_DEFER;
	while (next_rule(list, &pos, buf, cap, &text)) {
		if (!next_word(&text, &pattern))
			continue;
		if (!pattern_is_known(pattern)) {
			m->host->reason(call, 0, heddle_text(NULL),
			    heddle_text("not supported yet: this kind of pattern in route_list; use domains = and route_data"));
			return HEDDLE_ERROR;
		}
		if (!pattern_matches(pattern, domain))
			continue;
		if (!next_word(&text, &r->hosts))
			r->hosts = heddle_text("");
		read_options(text, r);
		return HEDDLE_OK;
	}
	return HEDDLE_FAIL;
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

static int32_t find_rule(struct manualroute *m, struct heddle_call *call, slice domain, struct rule *r)
{
	int64_t randomize = 0;
	slice v;

	(void)m->host->opt_int(call, m->cfg, HOSTS_RANDOMIZE, &randomize);
	*r = (struct rule){.transport = heddle_text(NULL), .randomize = (int)randomize};
	int32_t rc = m->host->opt_text(call, m->cfg, ROUTE_LIST, &v);
	if (rc == HEDDLE_OK && !(v.flags & HEDDLE_ABSENT)) {
		rc = find_in_list(m, call, v, domain, r);
		return rc == HEDDLE_OK ? expand_hosts(m, call, r) : rc;
	}
	rc = m->host->opt_text(call, m->cfg, ROUTE_DATA, &v);
	if (rc != HEDDLE_OK)
		return rc;
	if (!next_word(&v, &r->hosts))
		return HEDDLE_FAIL;
	read_options(v, r);
	return HEDDLE_OK;
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
static int32_t add_item(struct manualroute *m, struct heddle_call *call, slice item, const struct rule *r, int32_t place)
{
	struct heddle_route_host h = {.struct_size = sizeof h, .flags = HEDDLE_H_ORDERED, .preference = place,
	    .address = heddle_text(NULL), .transport = heddle_text(NULL)};
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
static int32_t add_hosts(struct manualroute *m, struct heddle_call *call, const struct rule *r, uint32_t *out_count)
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
	m->host->reason(call, 0, heddle_text(NULL), heddle_text("lookup of host failed in manualroute router"));
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
	case HEDDLE_S_DEFER:
		out->verdict = HEDDLE_R_FREEZE;
		return HEDDLE_OK;
	default:
		out->verdict = HEDDLE_R_ACCEPT;
		return HEDDLE_OK;
	}
}

static int32_t route(struct heddle_call *call, void *inst, const struct heddle_address *address, struct heddle_route *out)
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

#define OPT(n, t, init, arg, fl, d) {.name = n, .initial = init, .type_arg = arg, .doc = d, .type = t, .flags = fl, .since_major = 1}
static const struct heddle_option table[] = {
    [HOST_ALL_IGNORED] = OPT("host_all_ignored", HEDDLE_T_ENUM, "defer", "decline|defer|fail|freeze|pass", 0,
        "What happens when all hosts are to be ignored."),
    [HOST_FIND_FAILED] = OPT("host_find_failed", HEDDLE_T_ENUM, "freeze", "decline|defer|fail|freeze|pass|ignore", 0,
        "What happens when a host does not exist."),
    [HOSTS_RANDOMIZE] = OPT("hosts_randomize", HEDDLE_T_BOOL, "false", NULL, 0, "Hosts are tried in random order."),
    [ROUTE_DATA] = OPT("route_data", HEDDLE_T_STRING, NULL, NULL, HEDDLE_O_EXPAND, "The data part of a rule: hosts and options."),
    [ROUTE_LIST] = OPT("route_list", HEDDLE_T_LIST, NULL, NULL, 0, "Rules: a domain pattern, hosts, options; ';' between rules."),
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
    .instance_free = free,
};
