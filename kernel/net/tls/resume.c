/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sessions that this client may take up again: TLS 1.3 tickets by key, as bytes, so that no thread
 * shares wolfSSL's objects. A full table forgets the oldest.  What was proved about the peer stays
 * with the ticket, since a resumed handshake proves nothing anew; the key therefore names what was
 * demanded of it.
 */
#include "net/tls/tls_private.h"

#include <stdlib.h>

enum { TABLE = 256, LIFE_SECONDS = 7200, SESSION_MAX = 64 << 10 };

struct ticket {
	char *bytes; /* key, session, peer: one after the other; NULL: free */
	uint32_t key_len, session_len, peer_len;
	bool verified;
	int64_t put_us;
};
struct tls_resume {
	struct mutex lock;
	struct ticket table[TABLE] GUARDED_BY(lk_tls_resume);
};
LOCK_FNS(resume, struct tls_resume, lock, lk_tls_resume)

struct tls_resume *tls_resume_new(void)
{
	struct tls_resume *r = calloc(1, sizeof *r);
	MUST(r);
	mutex_init(&r->lock, LOCK_tls_resume);
	return r;
}

static void ticket_clear(struct ticket *t)
{
	if (t->bytes)
		explicit_bzero(t->bytes, (size_t)t->key_len + t->session_len + t->peer_len);
	free(t->bytes);
	*t = (struct ticket){0};
}

/* The last user is gone. */
void tls_resume_free(struct tls_resume **rp) NO_TSA
{
	struct tls_resume *r = *rp;
	*rp = NULL;
	if (!r)
		return;
	for (unsigned i = 0; i < TABLE; i++)
		ticket_clear(&r->table[i]);
	mutex_fini(&r->lock);
	free(r);
}

static bool is_of(const struct ticket *t, slice_t key)
{
	return t->bytes && t->key_len == key.len && memcmp(t->bytes, key.ptr, key.len) == 0;
}

bool tls_resume_take(struct tls_resume *r, struct arena *a, slice_t key, struct tls_resumable *out)
{
	bool found = false;
	int64_t oldest = clock_mono_us() - LIFE_SECONDS * US_PER_SEC;
	resume_lock(r);
	for (unsigned i = 0; i < TABLE && !found; i++) {
		struct ticket *t = &r->table[i];
		if (t->bytes && t->put_us < oldest)
			ticket_clear(t);
		if (!is_of(t, key))
			continue;
		found = true;
		const char *p = t->bytes + t->key_len;
		out->session = arena_dup(a, slice_of(p, t->session_len, 0));
		out->peer = arena_dup(a, slice_of(p + t->session_len, t->peer_len, 0));
		out->verified = t->verified;
		ticket_clear(t);
	}
	resume_unlock(r);
	return found;
}

void tls_resume_put(struct tls_resume *r, slice_t key, const struct tls_resumable *what)
{
	size_t n = (size_t)key.len + what->session.len + what->peer.len;
	if (what->session.len == 0 || n > SESSION_MAX)
		return;
	char *bytes = malloc(n);
	if (!bytes)
		return;
	memcpy(bytes, key.ptr, key.len);
	memcpy(bytes + key.len, what->session.ptr, what->session.len);
	if (what->peer.len)
		memcpy(bytes + key.len + what->session.len, what->peer.ptr, what->peer.len);
	resume_lock(r);
	struct ticket *to = &r->table[0];
	for (unsigned i = 0; i < TABLE; i++) {
		struct ticket *t = &r->table[i];
		if (is_of(t, key)) {
			to = t;
			break;
		}
		if (t->put_us < to->put_us)
			to = t;
	}
	ticket_clear(to);
	*to = (struct ticket){
	    bytes, key.len, what->session.len, what->peer.len, what->verified, clock_mono_us()};
	resume_unlock(r);
}
