/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lookup/lsearch, shared by its parts: lsearch.c reads and indexes the file, wild.c is about keys
 * that are patterns. */
#ifndef HEDDLE_LSEARCH_H
#define HEDDLE_LSEARCH_H
#include <heddle/lookup.h>

#include <sys/stat.h>

struct pattern; /* wild.c's */

struct entry {
	uint32_t key, key_len;   /* offsets into text */
	uint32_t rest, rest_len; /* what follows the key, separator included */
	uint32_t data;           /* where the data begin; they end with rest */
};

struct index {
	char *path;
	char *text; /* the file; keys and data are unescaped and joined where they lie */
	struct entry *entries;
	uint32_t count, cap;
	uint32_t *slots; /* 1 + number of an entry; 0: free; of the plain kind only */
	uint32_t mask;
	struct stat st;
	long long read_ns;        /* wall clock */
	struct pattern *patterns; /* one for each entry; of the other kinds only */
};

enum kind { KIND_PLAIN, KIND_WILD, KIND_NWILD, KIND_IP };

struct inst {
	const struct heddle_host *host;
	enum kind kind;
};

static inline char lsearch_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
/* What a scan needs of each entry; 0: no memory. */
int lsearch_prepare(struct index *ix, enum kind kind);
void lsearch_forget(struct index *ix);
/* 1 + the number of the first entry whose key the subject matches, 0: none.  DEFER: that cannot be
 * said. */
int32_t lsearch_scan(struct heddle_call *call, const struct inst *in, const struct index *ix,
    struct heddle_slice subject, uint32_t *out);
#endif
