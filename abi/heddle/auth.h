/* SPDX-License-Identifier: MIT
 *
 * Authenticators: one SASL mechanism, server and client side.  A section is a server where an option that the driver
 * flags O_SERVER is set (or, if it flags none, where the generic server_condition is), a client where one flagged
 * O_CLIENT is (if it flags none: always).
 */
#ifndef HEDDLE_AUTH_H
#define HEDDLE_AUTH_H
#include <heddle/abi.h>
#ifdef __cplusplus
extern "C" {
#endif
enum { HEDDLE_AUTH_MORE = 1, HEDDLE_AUTH_DONE = 2, HEDDLE_AUTH_CANCEL = 3 /* client: send "*" */,
       HEDDLE_AUTH_GARBLED = 4 /* client, in: what the server sent was no base64; data is ABSENT */ };
struct heddle_auth_turn {     /* bytes are raw; the kernel does base64, line lengths and "=" */
    uint32_t struct_size, state; /* state: out; in: 0 or GARBLED */
    struct heddle_slice data; /* in: what the peer sent, ABSENT if nothing; out: what to send (DONE: if any) */
};
struct heddle_auth_ops { /* a side that is not offered is NULL: server_begin or client_begin */
    uint32_t struct_size, reserved;
    /* May it be offered to this client now (a library's mechanism list, TLS facts)?  NULL: yes. */
    int32_t (*offered)(struct heddle_call *, void *inst);
    /* OK with DONE: the exchange succeeded; set auth1.. first; the kernel then evaluates server_condition and
     * server_set_id.  FAIL: 535.  DEFER and ERROR: 435; for ERROR the administrator is told. */
    int32_t (*server_begin)(struct heddle_call *, void *inst, struct heddle_auth_turn *, void **conv);
    int32_t (*server_step)(struct heddle_call *, void *inst, void *conv, struct heddle_auth_turn *);
    /* Without an AUTH command, once TLS is up (the tls authenticator).  FAIL: not authenticated, no error. */
    int32_t (*server_implicit)(struct heddle_call *, void *inst);
    /* data out: the initial response, ABSENT for none.  DONE: nothing more is expected of us; what the server then says
     * decides.  FAIL: not prepared for this server (a forced failure), the next authenticator is tried; DEFER and ERROR:
     * this server is left for now.  CANCEL in client_step: give up this exchange; give a reason. */
    int32_t (*client_begin)(struct heddle_call *, void *inst, struct heddle_auth_turn *, void **conv);
    int32_t (*client_step)(struct heddle_call *, void *inst, void *conv, struct heddle_auth_turn *);
    void (*end)(void *inst, void *conv); /* exactly once for each conv set, also after *, RSET, disconnect */
};
/* ---- layout on 64-bit machines ---------------------------------------------------------------------- */
#if UINTPTR_MAX == UINT64_MAX
static_assert(sizeof(struct heddle_auth_turn) == 24 && sizeof(struct heddle_auth_ops) == 64, "auth");
#endif
#ifdef __cplusplus
}
#endif
#endif
