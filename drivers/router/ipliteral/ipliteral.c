/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ipliteral: a domain that is an address in brackets, RFC 5321 4.1.3, goes to that address.  Exim
 * specification, chapter 18. */
#include <heddle/router.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <strings.h>

struct ipliteral {
	const struct heddle_host *host;
	const struct heddle_routing_service *routing;
};

static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct ipliteral *in = malloc(sizeof *in);
	(void)call, (void)state, (void)cfg;
	if (!in)
		return HEDDLE_DEFER;
	in->host = host;
	in->routing = host->service(host, HEDDLE_ROUTING_ID);
	*out = in;
	return HEDDLE_OK;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]"; tags that RFC 5321 does not have, or that are missing, are
 * taken as Exim takes them. */
static int is_literal(struct heddle_slice domain, struct heddle_slice *address)
{
	static const char *const tags[] = {"IPv6:", "IPv4:"};
	unsigned char raw[16];
	char text[INET6_ADDRSTRLEN];
	struct heddle_slice s = domain;
	int family = AF_UNSPEC;
	if (s.len < 3 || s.ptr[0] != '[' || s.ptr[s.len - 1] != ']')
		return 0;
	s.ptr++;
	s.len -= 2;
	for (int i = 0; i < 2 && family == AF_UNSPEC; i++)
		if (s.len > 5 && strncasecmp(s.ptr, tags[i], 5) == 0) {
			s.ptr += 5;
			s.len -= 5;
			family = i == 0 ? AF_INET6 : AF_INET;
		}
	if (s.len >= sizeof text || memchr(s.ptr, '\0', s.len))
		return 0;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	*address = s;
	return (family != AF_INET && inet_pton(AF_INET6, text, raw) == 1) ||
	       (family != AF_INET6 && inet_pton(AF_INET, text, raw) == 1);
}

static int32_t settle(
    const struct ipliteral *in, struct heddle_call *call, struct heddle_route *out)
{
	uint32_t count = 0, self = 0;
	int32_t rc = in->routing->settle_hosts(call, &count, &self);
	if (rc == HEDDLE_FAIL || (rc == HEDDLE_OK && count == 0 && self == 0)) {
		out->verdict = HEDDLE_R_DECLINE; /* it is among ignore_target_hosts */
		return HEDDLE_OK;
	}
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

static int32_t route(struct heddle_call *call, void *inst, const struct heddle_address *address,
    struct heddle_route *out)
{
	const struct ipliteral *in = inst;
	struct heddle_route_host h = {
	    .struct_size = sizeof h, .name = address->domain, .transport = heddle_text(NULL)};
	if (!is_literal(address->domain, &h.address)) {
		out->verdict = HEDDLE_R_DECLINE;
		return HEDDLE_OK;
	}
	int32_t rc = in->routing->add_host(call, &h);
	return rc == HEDDLE_OK ? settle(in, call, out) : rc;
}

static const struct heddle_router_ops ops = {.struct_size = sizeof ops, .route = route};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_ROUTER,
    .name = "ipliteral",
    .version = "0.1",
    .licence = "GPL-3.0-or-later",
    .author = "the Heddle authors",
    .summary = "addresses with an IP address in brackets for a domain",
    .option_size = sizeof(struct heddle_option),
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
