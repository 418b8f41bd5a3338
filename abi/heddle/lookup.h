/* SPDX-License-Identifier: MIT
 *
 * Lookups: data by key or query.
 */
#ifndef HEDDLE_LOOKUP_H
#define HEDDLE_LOOKUP_H
#include <heddle/abi.h>
#ifdef __cplusplus
extern "C" {
#endif
enum { HEDDLE_L_KEY = 1, HEDDLE_L_QUERY = 2, HEDDLE_L_FILE = 4 /* source is an absolute clean path */,
       HEDDLE_L_SHARED = 8 /* one handle serves many threads at once */ };
#define HEDDLE_CACHE_SOURCE UINT32_MAX /* until fresh() says FAIL */
struct heddle_found {
    uint32_t struct_size, cache_seconds; /* 0: do not cache */
    struct heddle_slice value;
};
struct heddle_lookup_ops {
    uint32_t struct_size, kind; /* HEDDLE_L_ bits */
    /* source: the file, or the servers of a query; ABSENT: the main options'.  The kernel keeps handles and
     * reuses them.  A QUERY driver may leave open and close out. */
    int32_t (*open)(struct heddle_call *, void *inst, struct heddle_slice source, void **handle);
    int32_t (*fresh)(struct heddle_call *, void *inst, void *handle); /* FAIL: reopen.  NULL: always fresh */
    /* FAIL: not there.  options: the text after the type's comma, without cache= and ret=key.  They, an empty
     * key, partial- and * are the kernel's. */
    int32_t (*find)(struct heddle_call *, void *inst, void *handle, struct heddle_slice key,
                    struct heddle_slice options, struct heddle_found *out);
    int32_t (*quote)(struct heddle_call *, void *inst, struct heddle_slice in, struct heddle_slice *out);
    void (*close)(void *inst, void *handle);
};
/* ---- layout on 64-bit machines ---------------------------------------------------------------------- */
#if UINTPTR_MAX == UINT64_MAX
static_assert(sizeof(struct heddle_found) == 24 && sizeof(struct heddle_lookup_ops) == 48, "lookup");
#endif
#ifdef __cplusplus
}
#endif
#endif
