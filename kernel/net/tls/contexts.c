/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The cache of contexts.  A look-up costs a hash of the texts; once a second for each entry, a stat
 * of each file behind it. Loading happens without the lock, so two threads may load the same; the
 * later one wins and nobody waits.
 */
#include "net/tls/tls_private.h"

#include "base/clock.h"
#include "base/map.h"

#include <stdlib.h>

enum { ENTRIES_MAX = 512, SELF_SIGNED_DAYS_USED = 30 };

struct entry {
	struct entry *next;
	char *key;
	uint32_t key_len;
	uint64_t hash;
	struct tls_context *ctx;
	struct tls_files
	    bad_files; /* as they were when they could not be loaded; arena NULL: they could */
	int64_t looked_us, used_us;
};

struct tls_contexts {
	/* const after publication */
	struct tls_resume *resume;
	/* guarded */
	struct mutex lock;
	struct entry *first GUARDED_BY(lk_tls_contexts);
	unsigned count GUARDED_BY(lk_tls_contexts);
};
LOCK_FNS(cache, struct tls_contexts, lock, lk_tls_contexts)

enum rc tls_contexts_new(struct tls_contexts **out, struct error *err)
{
	enum rc rc = tls_memory_init(err);
	if (rc != RC_OK)
		return rc;
	struct tls_contexts *c = calloc(1, sizeof *c);
	MUST(c);
	mutex_init(&c->lock, LOCK_tls_contexts);
	c->resume = tls_resume_new();
	*out = c;
	return RC_OK;
}

static void entry_free(struct entry *e)
{
	tls_context_unref(&e->ctx);
	arena_free(&e->bad_files.arena);
	free(e->key);
	free(e);
}

/* The last user is gone: no lock is needed, which the analysis cannot know. */
void tls_contexts_free(struct tls_contexts **cp) NO_TSA
{
	struct tls_contexts *c = *cp;
	*cp = NULL;
	if (!c)
		return;
	for (struct entry *e = c->first, *next; e; e = next) {
		next = e->next;
		entry_free(e);
	}
	tls_resume_free(&c->resume);
	mutex_fini(&c->lock);
	free(c);
}

struct tls_resume *tls_contexts_resume(struct tls_contexts *c)
{
	return c->resume;
}

static slice_t key_of(struct arena *a, const struct tls_settings *s)
{
	const slice_t *each[] = {&s->certificate, &s->privatekey, &s->self_signed_for, &s->trust,
	    &s->crl, &s->ciphers, &s->groups, &s->alpn, &s->dhparam, &s->ocsp_file};
	struct strbuf sb;
	strbuf_init(&sb, a, 0);
	strbuf_printf(&sb, "%d%u%d", s->server, (unsigned)s->verify, s->resumption);
	for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
		strbuf_printf(&sb, "|%d%u:", slice_is_absent(*each[i]), each[i]->len);
		strbuf_add(&sb, *each[i]);
	}
	return strbuf_slice(&sb);
}

static struct entry *find_locked(struct tls_contexts *c, slice_t key, uint64_t hash)
    REQUIRES(lk_tls_contexts)
{
	struct entry *e = c->first;
	while (e &&
	       !(e->hash == hash && e->key_len == key.len && memcmp(e->key, key.ptr, key.len) == 0))
		e = e->next;
	return e;
}

/* An older context with the same trust, whose files have not changed: roots are shared, not read
 * again. */
static struct tls_trust *shared_trust(struct tls_contexts *c, const struct tls_settings *s)
{
	struct tls_trust *found = NULL;
	if (s->verify == TLS_VERIFY_NONE)
		return NULL;
	cache_lock(c);
	for (struct entry *e = c->first; e && !found; e = e->next)
		if (e->ctx && e->ctx->trust && tls_trust_matches(e->ctx->trust, s))
			found = tls_trust_ref(e->ctx->trust);
	cache_unlock(c);
	if (found && tls_files_changed(tls_trust_files(found)))
		tls_trust_unref(&found);
	return found;
}

static bool is_fresh(const struct tls_context *ctx, int64_t now)
{
	if (slice_trim(ctx->settings.certificate).len == 0 && ctx->settings.server &&
	    now - ctx->made_us > (int64_t)SELF_SIGNED_DAYS_USED * 86400 * US_PER_SEC)
		return false;
	return !tls_files_changed(&ctx->files) &&
	       !(ctx->trust && tls_files_changed(tls_trust_files(ctx->trust)));
}

static void drop_oldest_locked(struct tls_contexts *c) REQUIRES(lk_tls_contexts)
{
	struct entry **oldest = &c->first;
	for (struct entry **p = &c->first; *p; p = &(*p)->next)
		if ((*p)->used_us < (*oldest)->used_us)
			oldest = p;
	struct entry *e = *oldest;
	if (!e)
		return;
	*oldest = e->next;
	c->count--;
	entry_free(e);
}

static void store(
    struct tls_contexts *c, slice_t key, uint64_t hash, struct tls_context *ctx, int64_t now)
{
	atomic_fetch_add(&ctx->refs, 1);
	ctx->identity = hash;
	cache_lock(c);
	struct entry *e = find_locked(c, key, hash);
	if (!e) {
		if (c->count >= ENTRIES_MAX)
			drop_oldest_locked(c);
		e = calloc(1, sizeof *e);
		MUST(e && (e->key = malloc(key.len)));
		memcpy(e->key, key.ptr, key.len);
		e->key_len = key.len;
		e->hash = hash;
		e->next = c->first;
		c->first = e;
		c->count++;
	}
	struct tls_context *old = e->ctx;
	e->ctx = ctx;
	e->looked_us = e->used_us = now;
	arena_free(&e->bad_files.arena);
	e->bad_files = (struct tls_files){0};
	cache_unlock(c);
	tls_context_unref(&old);
}

/* The present files of a context whose successor could not be loaded; true: this is news. */
static bool remember_bad(
    struct tls_contexts *c, slice_t key, uint64_t hash, const struct tls_context *old)
{
	struct tls_files bad = {.arena = arena_new(0)};
	VEC_FOREACH(&old->files.list, struct tls_file, f)
	{
		tls_files_note(&bad, f->path);
	}
	if (old->trust) {
		VEC_FOREACH(&tls_trust_files(old->trust)->list, struct tls_file, f)
		{
			tls_files_note(&bad, f->path);
		}
	}
	cache_lock(c);
	struct entry *e = find_locked(c, key, hash);
	bool news = e && !(e->bad_files.arena && tls_files_same(&e->bad_files, &bad));
	if (news) {
		struct arena *before = e->bad_files.arena;
		e->bad_files = bad;
		bad.arena = before;
	}
	cache_unlock(c);
	arena_free(&bad.arena);
	return news;
}

/* What is there, with a reference; *out_look: it is time to look at the files. */
static struct tls_context *lookup(
    struct tls_contexts *c, slice_t key, uint64_t hash, int64_t now, bool *out_look)
{
	struct tls_context *ctx = NULL;
	*out_look = false;
	cache_lock(c);
	struct entry *e = find_locked(c, key, hash);
	if (e) {
		ctx = e->ctx;
		atomic_fetch_add(&ctx->refs, 1);
		e->used_us = now;
		if (now - e->looked_us >= US_PER_SEC) {
			e->looked_us = now;
			*out_look = true;
		}
	}
	cache_unlock(c);
	return ctx;
}

enum rc tls_context_get(struct tls_contexts *c, const struct tls_settings *s, struct arena *scratch,
    struct tls_context **out, const char **out_stale, struct error *err)
{
	int64_t now = clock_mono_us();
	slice_t key = key_of(scratch, s);
	uint64_t hash = hash_bytes(key);
	bool look;
	struct tls_context *old = lookup(c, key, hash, now, &look), *fresh = NULL;
	if (out_stale)
		*out_stale = NULL;
	if (old && (!look || is_fresh(old, now))) {
		*out = old;
		return RC_OK;
	}
	struct error e = {0};
	struct tls_trust *trust = shared_trust(c, s);
	enum rc rc = tls_context_build(s, trust, scratch, &fresh, &e);
	tls_trust_unref(&trust);
	if (rc == RC_OK) {
		store(c, key, hash, fresh, now);
		tls_context_unref(&old);
		*out = fresh;
		return RC_OK;
	}
	if (!old) {
		if (err)
			*err = e;
		return rc;
	}
	if (remember_bad(c, key, hash, old) && out_stale)
		*out_stale = arena_cstr(scratch, slice_cstr(e.text));
	*out = old;
	return RC_OK;
}
