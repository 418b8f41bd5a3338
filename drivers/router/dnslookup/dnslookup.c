/* SPDX-License-Identifier: GPL-3.0-or-later */
/* dnslookup: the hosts that the DNS gives for the domain.  Exim specification, chapter 17; RFC
 * 5321 5.1. */
#include <heddle/router.h>
#include <stdlib.h>
#include <strings.h>

struct dnslookup {
	const struct heddle_host *host;
	const struct heddle_instance *cfg;
	const struct heddle_routing_service *routing;
};
enum {
	MX_DOMAINS,
	MX_FAIL_DOMAINS,
	SRV_FAIL_DOMAINS,
	CHECK_SRV,
	CHECK_SECONDARY_MX,
	QUALIFY_SINGLE,
	REWRITE_HEADERS,
	SEARCH_PARENTS,
	SAME_DOMAIN_COPY_ROUTING,
	WIDEN_DOMAINS,
	FAIL_DEFER_DOMAINS,
	IPV4_ONLY,
	IPV4_PREFER
};
enum { MX_ONLY = 16, NO_IPV6 = 1, IPV4_FIRST = 4 }; /* flags of add_mx */

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct dnslookup *d = malloc(sizeof *d);
	struct heddle_slice v;

	(void)state;
	if (!d)
		return HEDDLE_DEFER;
	d->host = host;
	d->cfg = cfg;
	d->routing = host->service(host, HEDDLE_ROUTING_ID);
	if (host->opt_text(call, cfg, CHECK_SRV, &v) == HEDDLE_OK && v.len) {
		host->reason(
		    call, 0, heddle_text(NULL), heddle_text("not supported yet: check_srv"));
		free(d);
		return HEDDLE_ERROR;
	}
	*out = d;
	return HEDDLE_OK;
}

static int has_domain(const struct dnslookup *d, struct heddle_call *call, uint32_t option,
    struct heddle_slice domain)
{
	struct heddle_slice data;
	return d->host->opt_match(call, d->cfg, option, domain, &data) == HEDDLE_OK;
}

/* An expanded condition: anything but nothing, 0, no and false; a forced failure is no. */
static int is_true(const struct dnslookup *d, struct heddle_call *call, uint32_t option)
{
	static const char *const no[] = {"", "0", "no", "false"};
	struct heddle_slice v;

	if (d->host->opt_text(call, d->cfg, option, &v) != HEDDLE_OK || (v.flags & HEDDLE_ABSENT))
		return 0;
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if (v.len == strlen(no[i]) && (v.len == 0 || strncasecmp(v.ptr, no[i], v.len) == 0))
			return 0;
	return 1;
}

/* No host for the domain: the next router may know one, unless the site says that this must be a
 * temporary state. */
static int32_t no_host(const struct dnslookup *d, struct heddle_call *call,
    struct heddle_slice domain, struct heddle_route *out)
{
	if (has_domain(d, call, FAIL_DEFER_DOMAINS, domain)) {
		d->host->reason(call, 0, heddle_text(NULL),
		    heddle_text("domain does not exist, and is in fail_defer_domains"));
		return HEDDLE_DEFER;
	}
	out->verdict = HEDDLE_R_DECLINE;
	return HEDDLE_OK;
}

static int32_t route(struct heddle_call *call, void *inst, const struct heddle_address *address,
    struct heddle_route *out)
{
	const struct dnslookup *d = inst;
	uint64_t flags = 0;
	uint32_t count = 0, self = 0;
	int32_t rc;

	/* a domain literal and a name without a dot are for other routers */
	if (address->domain.len == 0 || address->domain.ptr[0] == '[') {
		const struct heddle_slice why[] = {heddle_text("mail domain \""), address->domain,
		    heddle_text("\" is syntactically invalid")};
		struct heddle_slice said;
		if (address->domain.len && d->host->join(call, why, 3, &said) == HEDDLE_OK)
			d->host->reason(call, 0, said, said);
		out->verdict = HEDDLE_R_DECLINE;
		return HEDDLE_OK;
	}
	if (has_domain(d, call, MX_DOMAINS, address->domain))
		flags |= MX_ONLY;
	if (is_true(d, call, IPV4_ONLY))
		flags |= NO_IPV6;
	if (is_true(d, call, IPV4_PREFER))
		flags |= IPV4_FIRST;
	rc = d->routing->add_mx(call, address->domain, flags, &count);
	if (rc == HEDDLE_OK)
		rc = d->routing->settle_hosts(call, &count, &self);
	if (rc == HEDDLE_FAIL)
		return no_host(d, call, address->domain, out);
	if (rc != HEDDLE_OK)
		return rc;
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

#define OPT(n, t, init, d)                                                        \
	{                                                                         \
		.name = n, .initial = init, .doc = d, .type = t, .since_major = 1 \
	}
#define OPTX(n, t, init, d)                                                                \
	{                                                                                  \
		.name = n, .initial = init, .doc = d, .type = t, .flags = HEDDLE_O_EXPAND, \
		.since_major = 1                                                           \
	}
static const struct heddle_option table[] = {
    [MX_DOMAINS] = OPTX("mx_domains", HEDDLE_T_DOMAINS, NULL,
        "Domains that must have MX records: address records alone do not count."),
    [MX_FAIL_DOMAINS] = OPTX("mx_fail_domains", HEDDLE_T_DOMAINS, NULL,
        "Domains whose failing MX look-up is taken as no MX record."),
    [SRV_FAIL_DOMAINS] = OPTX("srv_fail_domains", HEDDLE_T_DOMAINS, NULL,
        "Domains whose failing SRV look-up is taken as no SRV record."),
    [CHECK_SRV] = OPTX(
        "check_srv", HEDDLE_T_STRING, NULL, "Service for which SRV records are looked up first."),
    [CHECK_SECONDARY_MX] = OPT("check_secondary_mx", HEDDLE_T_BOOL, "false",
        "Take only domains for which this host is a secondary MX."),
    [QUALIFY_SINGLE] = OPT("qualify_single", HEDDLE_T_BOOL, "true",
        "Names of one component are completed by the resolver."),
    [REWRITE_HEADERS] = OPT("rewrite_headers", HEDDLE_T_BOOL, "true",
        "Header addresses are rewritten when a domain was completed."),
    [SEARCH_PARENTS] = OPT("search_parents", HEDDLE_T_BOOL, "false",
        "The resolver tries the parents of the default domain."),
    [SAME_DOMAIN_COPY_ROUTING] = OPT("same_domain_copy_routing", HEDDLE_T_BOOL, "false",
        "One look-up serves all addresses of a domain."),
    [WIDEN_DOMAINS] = OPT(
        "widen_domains", HEDDLE_T_LIST, NULL, "Domains put behind an unknown name to try again."),
    [FAIL_DEFER_DOMAINS] =
        OPTX("fail_defer_domains", HEDDLE_T_DOMAINS, NULL, "Domains whose DNS failure is a defer."),
    [IPV4_ONLY] =
        OPTX("ipv4_only", HEDDLE_T_STRING, NULL, "Condition: AAAA records are not looked up."),
    [IPV4_PREFER] =
        OPTX("ipv4_prefer", HEDDLE_T_STRING, NULL, "Condition: IPv4 addresses come first."),
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
    .name = "dnslookup",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "the hosts that the DNS gives for a domain",
    .options = table,
    .option_count = sizeof table / sizeof *table,
    .option_size = sizeof *table,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
