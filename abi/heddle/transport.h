/* SPDX-License-Identifier: MIT
 *
 * Transports: how a message leaves.
 */
#ifndef HEDDLE_TRANSPORT_H
#define HEDDLE_TRANSPORT_H
#include <heddle/abi.h>
#ifdef __cplusplus
extern "C" {
#endif
struct heddle_job_info {
    uint32_t struct_size, recipients, hosts, flags;
    struct heddle_slice sender, path; /* after errors_to; file, directory or pipe text of a child, or ABSENT */
    uint32_t uid, gid;                /* what this process already runs as */
};
struct heddle_recipient {
    uint32_t struct_size, flags;   /* HEDDLE_DSN_; none of NEVER, SUCCESS, FAILURE, DELAY: NOTIFY was not given */
    struct heddle_slice address, local_part, domain;
    struct heddle_slice original, envid; /* ORCPT= and ENVID= as they go into the commands (xtext), or ABSENT */
};
enum { HEDDLE_DSN_NEVER = 1, HEDDLE_DSN_SUCCESS = 2, HEDDLE_DSN_FAILURE = 4, HEDDLE_DSN_DELAY = 8,
       HEDDLE_DSN_RET_FULL = 16, HEDDLE_DSN_RET_HDRS = 32 /* the same in all recipients of a message */ };
struct heddle_outcome { /* for one recipient; the worst of them is the job's */
    uint32_t struct_size;
    int32_t result, smtp, host; /* OK, FAIL, DEFER, ERROR; reply code or 0; index of the host or -1 */
    char enhanced[12];          /* "5.1.1" or empty, NUL-terminated */
    uint32_t flags;             /* HEDDLE_X_: what the failure is about; drives the retry key */
    struct heddle_slice text;   /* the remote's reply or our words */
    int64_t idle_s;             /* with HEDDLE_X_QUOTA: seconds since anybody read the mailbox, -1: not known */
};
enum { HEDDLE_X_HOST = 1, HEDDLE_X_MESSAGE = 2, HEDDLE_X_RECIPIENT = 4, HEDDLE_X_FREEZE = 8,
       HEDDLE_X_DSN = 16 /* delivered to a server that offers DSN and was given the parameters: it notifies now */,
       HEDDLE_X_QUOTA = 32 /* the mailbox, or what holds it, is full */ };
/* How deliver() will go through the hosts of its job as long as none of them takes the message. */
struct heddle_plan {
    uint32_t struct_size, first, end; /* from host `first` on, one after the other, before `end` */
    uint32_t lmtp;                    /* as for session() */
    uint32_t max_try;    /* so many are tried that need not wait, then one more of each worse MX preference; 0: all */
    uint32_t hard_limit; /* so many are looked at, whatever becomes of them; 0: all */
};
#define HEDDLE_DELIVERY_ID "heddle.delivery.1"
struct heddle_delivery_service {
    uint32_t struct_size, reserved;
    int32_t (*info)(struct heddle_call *, const struct heddle_job *, struct heddle_job_info *);
    int32_t (*recipient)(struct heddle_call *, const struct heddle_job *, uint32_t i, struct heddle_recipient *);
    int32_t (*host)(struct heddle_call *, const struct heddle_job *, uint32_t i, struct heddle_route_host *);
    int32_t (*field)(struct heddle_call *, const struct heddle_job *, struct heddle_slice, struct heddle_slice *out);
    /* Handed to the queue's log; deliver's return and next_job wait for it.  The first one of a recipient stands. */
    int32_t (*outcome)(struct heddle_call *, struct heddle_job *, uint32_t i, const struct heddle_outcome *);
    int32_t (*host_result)(struct heddle_call *, struct heddle_job *, uint32_t i, const struct heddle_outcome *);
    /* Another job for host i, while a connection of the driver's own is open; FAIL: none.  Settles the present job
     * first.  Sessions need it not: theirs go to the next job for the host when deliver() returns. */
    int32_t (*next_job)(struct heddle_call *, struct heddle_job **io, uint32_t i);
    /* SMTP or LMTP client: EHLO, STARTTLS with DANE and MTA-STS, AUTH.  conn NULL: connects to host i itself. */
    int32_t (*session)(struct heddle_call *, struct heddle_job *, uint32_t i, struct heddle_conn *, uint32_t lmtp,
                       struct heddle_session **out);
    /* Records outcomes.  OK, FAIL: every recipient has a final one.  DEFER: some have not; try the next host with the
     * same job, and return DEFER when there is none: each then keeps what the last host said of it. */
    int32_t (*send)(struct heddle_call *, struct heddle_session *, struct heddle_job *);
    /* One more host at the end of the job's list, by name (resolved now, to as many as it has addresses) or address. */
    int32_t (*add_host)(struct heddle_call *, struct heddle_job *, const struct heddle_route_host *);
    /* What plan() said of this job; FAIL: it was not asked. */
    int32_t (*planned)(struct heddle_call *, const struct heddle_job *, struct heddle_plan *out);
};
struct heddle_limits { uint32_t struct_size, max_recipients, one_domain, same_hosts; }; /* in: generic options */
enum { HEDDLE_TR_LOCAL = 1, HEDDLE_TR_REMOTE = 2 }; /* runs as a user in an agent; or in the kernel, with hosts */
struct heddle_transport_ops {
    uint32_t struct_size, kind;
    int32_t (*limits)(struct heddle_call *, void *inst, struct heddle_limits *); /* how to batch; optional */
    /* Every recipient without an outcome on return gets the returned result; OK without one counts as DEFER. */
    int32_t (*deliver)(struct heddle_call *, void *inst, struct heddle_job *);
    /* Callout: as far as RCPT, outcomes as in deliver, no data.  NULL: callouts skip this transport. */
    int32_t (*probe)(struct heddle_call *, void *inst, struct heddle_job *);
    /* REMOTE, optional: asked once before deliver(), so that the kernel can connect while no thread waits.  Puts hosts
     * of its own in, says which will be tried; only info, recipient, host, field and add_host may be used.  What the
     * kernel has connected to, or has failed to, is what session() gives when deliver() asks for that host.  Not OK:
     * that is the job's result, and deliver() is not called. */
    int32_t (*plan)(struct heddle_call *, void *inst, struct heddle_job *, struct heddle_plan *out);
};
/* ---- layout on 64-bit machines ---------------------------------------------------------------------- */
#if UINTPTR_MAX == UINT64_MAX
static_assert(sizeof(struct heddle_outcome) == 56 && sizeof(struct heddle_job_info) == 56, "transport");
#endif
#ifdef __cplusplus
}
#endif
#endif
