/* SPDX-License-Identifier: MIT
 *
 * ${lookup shard{KEY}}: a stable bucket number for a key.  A complete driver, built outside of
 * Heddle's tree: it includes <heddle/lookup.h> and the C library, nothing else.
 */
#include <heddle/lookup.h>
#include <stdio.h>
#include <stdlib.h>

struct shard {
	const struct heddle_host *host;
	int64_t count;
};

/* Once per snapshot of the configuration: read the options and say now what is wrong with them. */
static int32_t instance_new(struct heddle_call *call, const struct heddle_host *host, void *state,
    const struct heddle_instance *cfg, void **out)
{
	struct shard *s = calloc(1, sizeof *s);
	(void)state;
	if (!s) {
		host->reason(call, 0, heddle_text(NULL), heddle_text("out of memory"));
		return HEDDLE_DEFER;
	}
	s->host = host;
	if (host->opt_int(call, cfg, 0, &s->count) != HEDDLE_OK || s->count < 1 ||
	    s->count > 65535) {
		host->reason(
		    call, 0, heddle_text(NULL), heddle_text("shard_count must be 1 to 65535"));
		free(s);
		return HEDDLE_ERROR;
	}
	*out = s;
	return HEDDLE_OK;
}

/* On many threads at once: s is only read. */
static int32_t find(struct heddle_call *call, void *inst, void *handle, struct heddle_slice key,
    struct heddle_slice options, struct heddle_found *out)
{
	const struct shard *s = inst;
	struct heddle_slice sum;
	char text[12];
	(void)handle, (void)options;
	int32_t rc = s->host->digest(call, HEDDLE_SHA256, heddle_text(NULL), key, &sum);
	if (rc != HEDDLE_OK)
		return rc; /* the service has given the reason */
	unsigned bucket =
	    ((unsigned)(uint8_t)sum.ptr[0] << 8 | (uint8_t)sum.ptr[1]) % (unsigned)s->count;
	int n = snprintf(text, sizeof text, "%u", bucket);
	/* the digits are ours, not the key's: clean; join copies them to where the kernel may keep
	 * them */
	struct heddle_slice digits = heddle_bytes(text, (size_t)n, HEDDLE_CLEAN);
	out->cache_seconds = 3600;
	return s->host->join(call, &digits, 1, &out->value);
}

static const struct heddle_option options[] = {
    {.name = "shard_count",
        .initial = "16",
        .doc = "How many buckets ${lookup shard{KEY}} spreads keys over.",
        .type = HEDDLE_T_INT,
        .flags = HEDDLE_O_MAIN,
        .since_major = 1},
};

static const struct heddle_lookup_ops ops = {
    .struct_size = sizeof ops,
    .kind = HEDDLE_L_QUERY,
    .find = find,
};

const struct heddle_driver heddle_driver_v1 = {
    .magic = HEDDLE_MAGIC,
    .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1,
    .abi_major = HEDDLE_ABI_MAJOR,
    .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_LOOKUP,
    .name = "shard",
    .version = "1.0",
    .licence = "MIT",
    .author = "you@example.org",
    .summary = "stable bucket numbers",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .option_size = sizeof *options,
    .ops = &ops,
    .instance_new = instance_new,
    .instance_free = free,
};
