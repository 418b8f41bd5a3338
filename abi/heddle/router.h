/* SPDX-License-Identifier: MIT
 *
 * Routers: where an address goes.
 */
#ifndef HEDDLE_ROUTER_H
#define HEDDLE_ROUTER_H
#include <heddle/abi.h>
#ifdef __cplusplus
extern "C" {
#endif
enum { HEDDLE_A_VERIFY = 1, HEDDLE_A_VERIFY_SENDER = 2, HEDDLE_A_EXPN = 4, HEDDLE_A_TEST = 8 /* -bt */ };
struct heddle_address {
    uint32_t struct_size, flags;
    struct heddle_slice address, local_part, domain, prefix, suffix; /* tainted, affixes removed */
    struct heddle_slice local_part_data, domain_data;                /* from the preconditions, clean */
    uint32_t depth, reserved;                                        /* number of ancestors */
};
enum { HEDDLE_R_ACCEPT = 1, HEDDLE_R_DECLINE, HEDDLE_R_PASS, HEDDLE_R_REROUTE, HEDDLE_R_DISCARD, HEDDLE_R_FREEZE };
enum { HEDDLE_R_UNSEEN = 1 }; /* flag: with ACCEPT, the next router gets a copy (a filter's implicit keep) */
struct heddle_route { /* FAIL: the address fails; DEFER: deferred; OK: by verdict */
    uint32_t struct_size, verdict, flags, reserved;
    struct heddle_slice transport, address_data; /* ABSENT: the router's own options */
};
enum { HEDDLE_C_ADDRESS = 1, HEDDLE_C_FILE, HEDDLE_C_DIRECTORY, HEDDLE_C_PIPE, HEDDLE_C_REPLY };
enum { HEDDLE_S_PROCEED = 1, HEDDLE_S_PASS, HEDDLE_S_FAIL, HEDDLE_S_DEFER, HEDDLE_S_REROUTE, HEDDLE_S_SEND };
enum { /* flags of a child: it becomes a recipient of its own if it is deferred; bounces do not show it */
    HEDDLE_CHILD_ONE_TIME = 1, HEDDLE_CHILD_HIDDEN = 2
};
struct heddle_route_child {
    uint32_t struct_size, kind, flags, reserved;
    struct heddle_slice text, errors_to, headers_add, headers_remove;
};
#define HEDDLE_ROUTING_ID "heddle.routing.1"
struct heddle_routing_service { /* only inside route(); copies what it is given */
    uint32_t struct_size, reserved;
    int32_t (*add_child)(struct heddle_call *, const struct heddle_route_child *);
    /* One more fact for the child added last: a reply's "subject", "once"; read back by delivery->field. */
    int32_t (*child_field)(struct heddle_call *, struct heddle_slice name, struct heddle_slice value);
    int32_t (*add_host)(struct heddle_call *, const struct heddle_route_host *);
    /* A domain's mail hosts: SRV if asked for, MX, else address records.  FAIL: no such domain, or null MX. */
    int32_t (*add_mx)(struct heddle_call *, struct heddle_slice domain, uint64_t flags, uint32_t *count);
    /* Resolve, drop ignored hosts, cut the list at ourselves, apply the generic `self` option. */
    int32_t (*settle_hosts)(struct heddle_call *, uint32_t *count, uint32_t *self_action /* HEDDLE_S_ */);
    int32_t (*is_ancestor)(struct heddle_call *, struct heddle_slice address);
    int32_t (*run_as)(struct heddle_call *, uint32_t uid, uint32_t gid); /* children deliver as; agent checks */
};
struct heddle_router_ops { /* preconditions are the kernel's; no side effect under VERIFY or TEST */
    uint32_t struct_size, reserved;
    int32_t (*route)(struct heddle_call *, void *inst, const struct heddle_address *, struct heddle_route *out);
};
/* ---- layout on 64-bit machines ---------------------------------------------------------------------- */
#if UINTPTR_MAX == UINT64_MAX
static_assert(sizeof(struct heddle_address) == 128 && sizeof(struct heddle_route) == 48, "router");
#endif
#ifdef __cplusplus
}
#endif
#endif
