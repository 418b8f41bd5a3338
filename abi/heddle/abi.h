/* SPDX-License-Identifier: MIT
 *
 * The Heddle driver ABI, version 1.0-draft: what all drivers share.  The classes are in auth.h, router.h,
 * transport.h and lookup.h.  The contract in prose is abi/README.md; the rules that hold everywhere:
 *
 * Change log
 * 1.0-draft  first version; may still change without a new number.
 *
 * Types    Fixed-width integers, slices, opaque handles, structs that begin with their own size.
 * Calls    Every operation and service gets the `call` it runs under: one arena, one deadline, one log
 *          context.  It is used by the thread that it was given to, until the operation returns.
 * Memory   What a service returns lives in the call's arena: valid until the operation returns, never freed
 *          by the driver.  What must live longer is the driver's own malloc, freed by the driver.
 * Results  HEDDLE_OK and so on.  Outputs are written only on OK.  Any other number counts as ERROR, loudly.
 * Outputs  The caller zeroes an out struct and sets its struct_size; the callee fills what fits in it.
 * Threads  Operations run on many threads at once, also on the same instance, unless F_SERIAL is declared.
 * Never    exit, abort, fork, signal(), setlocale, setenv, umask, chdir, setuid, exceptions that leave.
 */
#ifndef HEDDLE_ABI_H
#define HEDDLE_ABI_H
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
#define HEDDLE_ABI_MAJOR 1
#define HEDDLE_ABI_MINOR 0 /* newest minor this header describes */
#ifndef HEDDLE_ABI_TARGET  /* -DHEDDLE_ABI_TARGET=N hides what came after 1.N; the driver then loads on 1.N */
#define HEDDLE_ABI_TARGET HEDDLE_ABI_MINOR
#endif
#define HEDDLE_MAGIC "HEDDLE!" /* 8 bytes with the NUL, so that C++ takes it too */
#define HEDDLE_HEAD_SIZE 320

/* ---- results -------------------------------------------------------------------------------------- */
enum { /* int32_t of every operation and of most services */
    HEDDLE_OK = 0,    /* done; outputs are set */
    HEDDLE_FAIL = 1,  /* the answer is no, and will be no tomorrow: not found, refused, bad password */
    HEDDLE_DEFER = 2, /* cannot say now: timeout, server away, no memory, cancelled.  Give a reason */
    HEDDLE_ERROR = 3  /* the configuration or the driver is wrong.  Give a reason */
};
/* ---- strings -------------------------------------------------------------------------------------- */
enum { /* a zeroed slice is tainted and empty: safe by default */
    HEDDLE_CLEAN = 1,  /* not from outside: may be a file name, a command, text to compile.  Set it by hand only
                        * for what the site's owner wrote (a lookup's data); host->join keeps it by itself */
    HEDDLE_SECRET = 2, /* never logged or traced; its memory is wiped with the arena */
    HEDDLE_ABSENT = 4  /* unset, which is not the same as empty; ptr is NULL and len 0 */
};
/* 16 bytes, passed in registers.  Not NUL-terminated: use host->cstr.  Valid while its owner is. */
struct heddle_slice {
    const char *ptr; /* from the kernel NULL only if ABSENT; from a driver only if len is 0 */
    uint32_t len;    /* bytes */
    uint16_t flags;
    uint16_t quoter; /* 0, or the id of the lookup driver that the text has been quoted for */
};
/* Over 4 GiB: malformed on purpose, and the kernel refuses it. */
static inline struct heddle_slice heddle_bytes(const void *p, size_t n, uint16_t flags) {
    int fits = (uint64_t)n <= UINT32_MAX;
    struct heddle_slice r = {fits ? (const char *)p : NULL, fits ? (uint32_t)n : UINT32_MAX, flags, 0};
    return r;
}
/* The driver's own constant text: CLEAN; NULL gives ABSENT. */
static inline struct heddle_slice heddle_text(const char *s) {
    return heddle_bytes(s, s ? strlen(s) : 0, (uint16_t)(s ? HEDDLE_CLEAN : HEDDLE_ABSENT));
}
/* Is the member that ends at `end` bytes present in this table or struct?  Works on everything here that
 * begins with its size: heddle_has(host, offsetof(struct heddle_host, digest) + sizeof host->digest). */
static inline int heddle_has(const void *sized, size_t end) {
    uint32_t size = 0;
    if (sized) memcpy(&size, sized, sizeof size);
    return size >= end;
}
/* ---- handles: opaque, owned by the kernel --------------------------------------------------------- */
struct heddle_host;
struct heddle_call;     /* one running operation */
struct heddle_instance; /* one configured section: its name and option values; lives as long as the snapshot */
struct heddle_expr;     /* a compiled expansion; lives as long as the call it was compiled in, or the instance */
struct heddle_dns;      /* an answer; this and the next four die with the call */
struct heddle_reader;   /* a message being read out */
struct heddle_child;    /* a running command; killed and reaped */
struct heddle_draft;    /* a message being written; dropped unless committed */
struct heddle_session;  /* an SMTP or LMTP client session; the kernel keeps its connection for later jobs */
struct heddle_conn;     /* a connection; closed with the call unless parked */
struct heddle_job;      /* a delivery: one message, some recipients, perhaps hosts */
struct heddle_metric;   /* lives as long as the snapshot; usable from any thread */
/* ---- options -------------------------------------------------------------------------------------- */
enum { /* type */
    HEDDLE_T_BOOL = 1, HEDDLE_T_INT, HEDDLE_T_OCTAL, HEDDLE_T_SIZE, /* 10K, 5M: bytes */
    HEDDLE_T_TIME,                                                  /* 1d2h3m4s, read as milliseconds */
    HEDDLE_T_STRING, HEDDLE_T_LIST,                                 /* text; list items by host->item */
    HEDDLE_T_DOMAINS, HEDDLE_T_HOSTS, HEDDLE_T_ADDRESSES, HEDDLE_T_LOCALPARTS, /* compiled match lists */
    HEDDLE_T_UID, HEDDLE_T_GID, HEDDLE_T_ENUM, /* type_arg: "first|second|third", read as 0, 1, 2 */
    HEDDLE_T_GROUP /* name: a group the kernel defines and reads itself: tls_client, smtp_client, socks */
};
enum { /* flags */
    HEDDLE_O_EXPAND = 1,     /* compiled when the configuration is loaded, evaluated at each opt_text */
    HEDDLE_O_SECRET = 2,     /* hidden from -bP for others than an administrator, values are SECRET */
    HEDDLE_O_REQUIRED = 4,   /* loading fails without it */
    HEDDLE_O_MAIN = 8,       /* belongs to the main section (mysql_servers), one value per snapshot */
    HEDDLE_O_UNTAINTED = 16, /* a value that comes out tainted is refused: file names, commands */
    HEDDLE_O_DEPRECATED = 32,/* works; warned about once; doc says what replaces it */
    HEDDLE_O_SERVER = 64,    /* an authenticator's: where it is set, the section acts as a server */
    HEDDLE_O_CLIENT = 128    /* the same for a client */
};
struct heddle_option { /* the table's stride is option_size, so elements may grow */
    const char *name;     /* as in the configuration */
    const char *initial;  /* default in configuration syntax, or NULL for unset */
    const char *type_arg; /* for T_ENUM, else NULL */
    const char *doc;      /* one paragraph; becomes the manual text */
    uint32_t type, flags;
    uint16_t since_major, since_minor; /* of the driver, for the manual */
    uint32_t reserved;                 /* 0 */
};
/* ---- the driver's descriptor: the one exported symbol --------------------------------------------- */
enum { HEDDLE_AUTH = 1, HEDDLE_ROUTER, HEDDLE_TRANSPORT, HEDDLE_LOOKUP, /* later: */ HEDDLE_HINTS, HEDDLE_STORE,
       HEDDLE_SCANNER, HEDDLE_FILTER, HEDDLE_SINK, HEDDLE_FUNCTION };
/* A kernel that does not know a bit in the low half refuses the driver; one in the high half it ignores. */
#define HEDDLE_F_BLOCKS UINT64_C(1)        /* operations wait for disk or network: run on blocking workers */
#define HEDDLE_F_CPU UINT64_C(2)           /* operations compute for more than 1 ms */
#define HEDDLE_F_SERIAL UINT64_C(4)        /* not thread-safe: only out of process, one call at a time in each */
#define HEDDLE_F_ISOLATE UINT64_C(8)       /* changes process-wide state or may crash: only out of process */
#define HEDDLE_F_NET UINT64_C(16)          /* its library opens sockets itself; isolated, others may not */
#define HEDDLE_F_EXPERIMENTAL (UINT64_C(1) << 32) /* loads with a warning */
struct heddle_driver {
    /* The head holds no pointer, so it is read from the file before any code of it runs.  Frozen for ever. */
    char magic[8];         /* HEDDLE_MAGIC */
    uint32_t head_size;    /* HEDDLE_HEAD_SIZE */
    uint32_t struct_size;  /* sizeof(struct heddle_driver) */
    uint16_t abi_major;    /* HEDDLE_ABI_MAJOR */
    uint16_t abi_minor;    /* HEDDLE_ABI_TARGET: the oldest kernel minor that will do */
    uint16_t driver_class; /* HEDDLE_AUTH ... */
    uint16_t reserved16;   /* 0 */
    uint64_t flags;        /* HEDDLE_F_... */
    char name[32];         /* [a-z][a-z0-9_]*, and the file is NAME.so; what `driver = NAME` says */
    char aliases[96];      /* further names, one space between (wildlsearch iplsearch): links to NAME.so */
    char version[32];      /* the driver's own, for people */
    char licence[64];      /* SPDX expression */
    char author[64];       /* a name or an address to report to */
    /* From here on, pointers.  Grows at the end. */
    const char *summary;                  /* one line */
    const struct heddle_option *options;  /* or NULL */
    uint32_t option_count, option_size;   /* elements; sizeof(struct heddle_option) */
    const void *ops;                      /* struct heddle_<class>_ops */
    /* Once per process, before all else.  Optional, then state is NULL. */
    int32_t (*load)(struct heddle_call *, const struct heddle_host *, void **state);
    void (*unload)(void *state); /* no call runs, none will; the code stays mapped.  Optional */
    /* Once per section and snapshot (a lookup: once per snapshot).  Validate here: ERROR refuses the
     * configuration.  No network: a server that is down must not stop a reload.  host lives until unload.
     * A driver without options and state leaves both out; inst is then NULL. */
    int32_t (*instance_new)(struct heddle_call *, const struct heddle_host *, void *state,
                            const struct heddle_instance *, void **inst);
    void (*instance_free)(void *inst);
    const void *(*extension)(const char *id); /* optional abilities by id; NULL if unknown.  Optional */
};
__attribute__((visibility("default"))) extern const struct heddle_driver heddle_driver_v1; /* all it exports */
/* ---- host: what the kernel offers ----------------------------------------------------------------- */
enum { HEDDLE_LOG_DEBUG, HEDDLE_LOG_MAIN, HEDDLE_LOG_WARN, HEDDLE_LOG_PANIC };
enum { HEDDLE_SHA1 = 1, HEDDLE_SHA256, HEDDLE_SHA384, HEDDLE_SHA512, HEDDLE_MD5 };
enum { HEDDLE_TLS_VERSION = 1, HEDDLE_TLS_CIPHER, HEDDLE_TLS_SNI, HEDDLE_TLS_PEER_DN, HEDDLE_TLS_PEER_DER,
       HEDDLE_TLS_OWN_DER, HEDDLE_TLS_VERIFIED /* "1" or "0" */, HEDDLE_TLS_ALPN,
       HEDDLE_TLS_CB_EXPORTER, HEDDLE_TLS_CB_UNIQUE, HEDDLE_TLS_CB_ENDPOINT, HEDDLE_TLS_BITS };
struct heddle_host {
    uint32_t struct_size;
    uint16_t abi_major, abi_minor; /* the kernel's */
    const char *release;           /* for logs; never decide anything on it */
    /* More services by id ("heddle.net.1"): a table that begins with its size, or NULL.  Any thread. */
    const void *(*service)(const struct heddle_host *host, const char *id);
    void *(*alloc)(struct heddle_call *, uint64_t size, uint32_t align); /* zeroed; NULL: a limit; return DEFER */
    /* One text of all parts, for copying too.  CLEAN if every part is, SECRET if one is. */
    int32_t (*join)(struct heddle_call *, const struct heddle_slice *parts, uint32_t count, struct heddle_slice *out);
    int32_t (*cstr)(struct heddle_call *, struct heddle_slice, const char **out); /* FAIL: holds a NUL byte */
    int32_t (*debugging)(struct heddle_call *); /* 1 if DEBUG lines go anywhere */
    void (*log)(struct heddle_call *, uint32_t level, struct heddle_slice); /* escapes; hides secrets */
    /* Why the result is not OK; the last one counts.  smtp: 0 or 400..599; shown: to the peer or in a bounce,
     * may be ABSENT; logged: for the administrator. */
    void (*reason)(struct heddle_call *, int32_t smtp, struct heddle_slice shown, struct heddle_slice logged);
    int64_t (*time_left)(struct heddle_call *); /* milliseconds; 0 when over or cancelled */
    int32_t (*cancel_fd)(struct heddle_call *); /* polls readable on cancel; -1: cancelled already */
    void (*block_begin)(struct heddle_call *);  /* round any wait that is not a service's own */
    void (*block_end)(struct heddle_call *);
    /* options of an instance, by index in the option table.  opt_int FAIL: unset.  opt_text of an unset one is OK
     * with an ABSENT slice; FAIL: its expansion forced failure; DEFER, ERROR: it failed otherwise */
    int32_t (*opt_int)(struct heddle_call *, const struct heddle_instance *, uint32_t i, int64_t *out);
    int32_t (*opt_text)(struct heddle_call *, const struct heddle_instance *, uint32_t i, struct heddle_slice *out);
    int32_t (*opt_match)(struct heddle_call *, const struct heddle_instance *, uint32_t i,
                         struct heddle_slice subject, struct heddle_slice *data);
    struct heddle_slice (*instance_name)(const struct heddle_instance *); /* a lookup: the name or alias used */
    int32_t (*item)(struct heddle_call *, struct heddle_slice list, uint64_t *pos, struct heddle_slice *out);
    /* expansion: a tainted text is refused with ERROR unless forbid, a set of HEDDLE_FORBID_ bits, is HEDDLE_FORBID_ALL */
    int32_t (*compile)(struct heddle_call *, struct heddle_slice text, uint64_t forbid, struct heddle_expr **out);
    int32_t (*expand)(struct heddle_call *, const struct heddle_expr *, struct heddle_slice *out);
    /* the context's variables, without "$".  set: what the class may set (auth1, 1, value, r_...), else ERROR */
    int32_t (*var_get)(struct heddle_call *, struct heddle_slice name, struct heddle_slice *out);
    int32_t (*var_set)(struct heddle_call *, struct heddle_slice name, struct heddle_slice value);
    /* another driver's data: text is what stands after "${lookup" for a query, or the key */
    int32_t (*lookup)(struct heddle_call *, struct heddle_slice type, struct heddle_slice source,
                      struct heddle_slice text, struct heddle_slice *out);
    /* facts of the TLS layer of a connection, NULL: of the SMTP session the call is for; FAIL: no TLS */
    int32_t (*tls_fact)(struct heddle_call *, struct heddle_conn *, uint32_t which, struct heddle_slice *out);
    int32_t (*random)(struct heddle_call *, void *buf, uint64_t len);
    int32_t (*digest)(struct heddle_call *, uint32_t algo, struct heddle_slice key /* ABSENT: plain hash */,
                      struct heddle_slice in, struct heddle_slice *out);
    int32_t (*same)(struct heddle_slice, struct heddle_slice); /* 1 if equal; constant time */
};
enum { HEDDLE_FORBID_RUN = 1, HEDDLE_FORBID_FILES = 2, HEDDLE_FORBID_LOOKUPS = 4, HEDDLE_FORBID_NET = 8,
       HEDDLE_FORBID_ALL = 15 };
/* ---- services by id -------------------------------------------------------------------------------- */
#define HEDDLE_DNS_ID "heddle.dns.1"
struct heddle_dns_record {
    uint32_t struct_size, ttl;
    uint16_t type, preference, weight, port; /* RR type; MX and SRV; SRV; SRV */
    struct heddle_slice name, text; /* owner; target, address in text form, or TXT content */
};
struct heddle_dns_service { /* FAIL: no such name or data; DEFER: no answer; secure: 1 if DNSSEC-validated */
    uint32_t struct_size, reserved;
    int32_t (*query)(struct heddle_call *, struct heddle_slice name, uint16_t type, struct heddle_dns **out,
                     uint32_t *count, uint32_t *secure);
    int32_t (*record)(struct heddle_call *, const struct heddle_dns *, uint32_t i, struct heddle_dns_record *);
};
#define HEDDLE_NET_ID "heddle.net.1"
struct heddle_endpoint { /* host ABSENT: path is a unix socket */
    uint32_t struct_size, port;
    struct heddle_slice host, path, from, proxy; /* name or address; socket; own address; socks list */
    uint32_t timeout_ms, flags;                  /* never more than the call's own deadline */
};
struct heddle_net_service {
    uint32_t struct_size, reserved;
    int32_t (*connect)(struct heddle_call *, const struct heddle_endpoint *, struct heddle_conn **out);
    /* By the instance's tls_client option group; host: the name to verify. */
    int32_t (*starttls)(struct heddle_call *, struct heddle_conn *, struct heddle_slice host);
    int32_t (*read)(struct heddle_call *, struct heddle_conn *, void *buf, uint64_t cap, uint64_t *got); /* 0: end */
    int32_t (*line)(struct heddle_call *, struct heddle_conn *, uint32_t max, struct heddle_slice *out);
    int32_t (*write)(struct heddle_call *, struct heddle_conn *, const void *buf, uint64_t len); /* all of it */
    /* Kept for later calls of this instance; take: FAIL if none is there and alive */
    int32_t (*park)(struct heddle_call *, struct heddle_conn *, struct heddle_slice key, uint32_t idle_ms);
    int32_t (*take)(struct heddle_call *, struct heddle_slice key, struct heddle_conn **out);
    void (*close)(struct heddle_call *, struct heddle_conn *);
};
#define HEDDLE_SPAWN_ID "heddle.spawn.1"
struct heddle_command { /* no shell, no inherited descriptor, environment given here and nothing else */
    uint32_t struct_size, argc, envc, flags, uid, gid; /* UINT32_MAX: as this process; else by an agent */
    const struct heddle_slice *argv; /* argv[0]: absolute path, clean */
    const struct heddle_slice *env;  /* "NAME=value" */
    struct heddle_slice directory;
    uint64_t output_limit;           /* bytes; more kills it */
    uint32_t timeout_ms, umask;      /* 0: only the call's own deadline; used with HEDDLE_RUN_UMASK, else 022 */
};
enum { HEDDLE_RUN_UMASK = 1 };
struct heddle_spawn_service { /* status: as from waitpid */
    uint32_t struct_size, reserved;
    int32_t (*start)(struct heddle_call *, const struct heddle_command *, struct heddle_child **out);
    int32_t (*feed)(struct heddle_call *, struct heddle_child *, const void *buf, uint64_t len);
    int32_t (*feed_end)(struct heddle_call *, struct heddle_child *);
    int32_t (*read)(struct heddle_call *, struct heddle_child *, void *buf, uint64_t cap, uint64_t *got);
    int32_t (*wait)(struct heddle_call *, struct heddle_child *, int32_t *status);
};
#define HEDDLE_FILE_ID "heddle.file.1"
enum { HEDDLE_FILE_OWNER = 1, HEDDLE_FILE_GROUP = 2, HEDDLE_FILE_EACCES = 4, HEDDLE_FILE_ENOTDIR = 8 };
struct heddle_file_rules {        /* what a file must be for its content to count */
    uint32_t struct_size, flags;  /* HEDDLE_FILE_: owner, group are checked; "permission denied" and "not a directory" are FAIL */
    uint32_t modemask, gid;       /* bits it must not have; one permitted group, UINT32_MAX: none */
    struct heddle_slice owners, groups; /* further permitted ones: colon-separated names or numbers; ABSENT: none */
};
struct heddle_file_service { /* the path must be CLEAN; never follows a link into what another user owns */
    uint32_t struct_size, reserved;
    /* flags and mode as open(2); the descriptor is the driver's to close */
    int32_t (*open)(struct heddle_call *, struct heddle_slice path, int32_t flags, uint32_t mode, int32_t *fd);
    /* FAIL: no such file.  uid UINT32_MAX: as ourselves; else an agent of that user reads it (.forward).
     * CLEAN if the file belongs to that user or root and nobody else may write it. */
    int32_t (*read_all)(struct heddle_call *, struct heddle_slice path, uint32_t uid, uint64_t max,
                        struct heddle_slice *out);
    /* As read_all, as uid `as`, for a file that passes the rules: uid owner (UINT32_MAX: nobody) is permitted with the
     * owners of the rules.  DEFER with the reason if it does not pass, or if its folder cannot be looked at (FAIL means
     * that it certainly does not exist, unless HEDDLE_FILE_ENOTDIR).  What passed is CLEAN where an owner is checked. */
    int32_t (*read_checked)(struct heddle_call *, struct heddle_slice path, uint32_t as, uint32_t owner, uint64_t max,
                            const struct heddle_file_rules *, struct heddle_slice *out);
};
#define HEDDLE_USER_ID "heddle.user.1"
struct heddle_user { /* CLEAN */
    uint32_t struct_size, uid, gid, reserved;
    struct heddle_slice name, gecos, home, shell;
};
struct heddle_user_service { /* not in agents */
    uint32_t struct_size, reserved;
    /* What the system knows of a login; FAIL: no such user; DEFER: cannot say now. */
    int32_t (*by_name)(struct heddle_call *, struct heddle_slice login, struct heddle_user *out);
};
#define HEDDLE_MESSAGE_ID "heddle.message.1"
enum { HEDDLE_WIRE_LF = 0, HEDDLE_WIRE_CRLF = 1, HEDDLE_WIRE_DOTS = 3 /* CRLF, dot-stuffed, no final dot */ };
struct heddle_message_info {
    uint32_t struct_size, recipients; /* all of the message's, not only this job's */
    struct heddle_slice id, sender;   /* sender: of the envelope */
    uint64_t size, body_lines;        /* bytes in LF form */
    int64_t received_at;              /* seconds since 1970 */
    uint32_t body_8bit, smtputf8;
};
struct heddle_message_service {
    uint32_t struct_size, reserved;
    int32_t (*info)(struct heddle_call *, struct heddle_message_info *);
    /* Header fields before transport-time changes; *pos starts at 0; FAIL after the last. */
    int32_t (*header)(struct heddle_call *, uint64_t *pos, struct heddle_slice *name, struct heddle_slice *value);
    /* What the transport sends: its headers_add, return_path_add, filter and DKIM are already applied.
     * prefix: put before a line that begins with `from`; both ABSENT for none.  In a router: body only. */
    int32_t (*open)(struct heddle_call *, uint32_t wire, struct heddle_slice from, struct heddle_slice prefix,
                    struct heddle_reader **out);
    int32_t (*read)(struct heddle_call *, struct heddle_reader *, void *buf, uint64_t cap, uint64_t *got);
    int32_t (*length)(struct heddle_call *, struct heddle_reader *, uint64_t *bytes); /* FAIL: not known yet */
    /* A new message: headers as one text, then body; commit: it is on stable storage, with this id. */
    int32_t (*draft)(struct heddle_call *, struct heddle_slice sender, const struct heddle_slice *to, uint32_t count,
                     struct heddle_slice headers, struct heddle_draft **out);
    int32_t (*draft_write)(struct heddle_call *, struct heddle_draft *, const void *buf, uint64_t len);
    int32_t (*commit)(struct heddle_call *, struct heddle_draft *, struct heddle_slice *id);
};
#define HEDDLE_HINTS_ID "heddle.hints.1"
struct heddle_hints_service { /* db: the driver's own; what is read back is untrusted input */
    uint32_t struct_size, reserved;
    int32_t (*get)(struct heddle_call *, struct heddle_slice db, struct heddle_slice key, struct heddle_slice *out);
    int32_t (*put)(struct heddle_call *, struct heddle_slice db, struct heddle_slice key,
                   struct heddle_slice value, uint32_t keep_seconds);
    /* DEFER and no change if the stored value is no longer `was` (ABSENT: not there): read again, retry. */
    int32_t (*swap)(struct heddle_call *, struct heddle_slice db, struct heddle_slice key,
                    struct heddle_slice was, struct heddle_slice value, uint32_t keep_seconds);
};
#define HEDDLE_METRIC_ID "heddle.metric.1"
enum { HEDDLE_COUNTER = 1, HEDDLE_GAUGE = 2, HEDDLE_TIMING = 3 /* microseconds */ };
struct heddle_metric_service { /* make: in instance_new; no names or labels from mail */
    uint32_t struct_size, reserved;
    int32_t (*make)(struct heddle_call *, uint32_t kind, struct heddle_slice name, struct heddle_metric **out);
    void (*add)(struct heddle_metric *, int64_t amount); /* lock-free, any thread, no call needed */
    void (*span)(struct heddle_call *, struct heddle_slice name, int64_t begin_us, int64_t end_us); /* trace */
};
/* ---- a host to deliver to: routers make it, transports read it ----------------------------------------- */
struct heddle_route_host {
    uint32_t struct_size, port;        /* 0: the transport's */
    struct heddle_slice name, address; /* ABSENT address: the kernel resolves */
    struct heddle_slice transport;     /* for this host alone, else ABSENT */
    int32_t preference;                /* equal values are shuffled, unless ORDERED */
    uint32_t flags;
};
enum { HEDDLE_H_ORDERED = 1, HEDDLE_H_MX = 2, HEDDLE_H_SECURE = 4, /* flags of a host */
       HEDDLE_H_WAITS = 8 /* in a job, after session() gave DEFER: it was not tried, as its retry time has not come */ };
/* ---- layout on 64-bit machines ---------------------------------------------------------------------- */
#if UINTPTR_MAX == UINT64_MAX
static_assert(sizeof(struct heddle_slice) == 16 && offsetof(struct heddle_slice, flags) == 12, "slice");
static_assert(offsetof(struct heddle_driver, flags) == 24 && offsetof(struct heddle_driver, name) == 32, "head");
static_assert(offsetof(struct heddle_driver, summary) == 320 && sizeof(struct heddle_driver) == 392, "driver");
static_assert(sizeof(struct heddle_option) == 48 && offsetof(struct heddle_option, type) == 32, "option");
static_assert(offsetof(struct heddle_host, service) == 16 && offsetof(struct heddle_host, same) == 208, "host");
static_assert(HEDDLE_ABI_TARGET >= 0 && HEDDLE_ABI_TARGET <= HEDDLE_ABI_MINOR, "target minor is not in this header");
#endif
#ifdef __cplusplus
}
#endif
#endif
