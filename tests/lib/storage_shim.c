/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Contents are shared and copied when they are changed, so that a crash image costs little: it can
 * be taken after every write of a long run.
 */
#include "lib/storage_shim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR   512u
#define NAME_LEN 64

struct blob {
	unsigned refs;
	size_t size, cap;
	uint8_t *data;
};

struct inode {
	unsigned refs;
	struct blob *now, *stable;
	bool lost; /* a sync failed: nothing more becomes stable */
};

struct entry {
	char name[NAME_LEN];
	struct inode *inode;
};

struct dir {
	struct entry *entries;
	size_t n, cap;
};

/* from or to empty: creation or removal. */
struct change {
	char from[NAME_LEN], to[NAME_LEN];
	struct inode *inode;
};

struct shim {
	struct storage_io io;
	struct dir now, stable;
	struct change *changes; /* since the last sync_dir */
	size_t n_changes, cap_changes;
	struct inode **fds;
	size_t n_fds;
	void (*on_write)(void *arg);
	void *on_write_arg;
	struct {
		unsigned calls, from, times;
		int errnum;
	} ops[SHIM_OPS];
	size_t short_max;
	uint64_t capacity;
};

/* ---- contents ---- */
static struct blob *blob_new(size_t size)
{
	struct blob *b = calloc(1, sizeof *b);
	b->refs = 1;
	b->size = size;
	b->cap = size ? size : 1;
	b->data = calloc(1, b->cap);
	return b;
}

static struct blob *blob_ref(struct blob *b)
{
	b->refs++;
	return b;
}

static void blob_unref(struct blob *b)
{
	if (--b->refs)
		return;
	free(b->data);
	free(b);
}

/* *b, changeable and of that size. */
static void blob_own(struct blob **b, size_t size)
{
	if ((*b)->refs > 1) {
		struct blob *copy = blob_new((*b)->size > size ? (*b)->size : size);
		memcpy(copy->data, (*b)->data, (*b)->size);
		blob_unref(*b);
		*b = copy;
	} else if (size > (*b)->cap) {
		(*b)->cap = size * 2;
		(*b)->data = realloc((*b)->data, (*b)->cap);
	}
	if (size > (*b)->size)
		memset((*b)->data + (*b)->size, 0, size - (*b)->size);
	(*b)->size = size;
}

static struct inode *inode_new(struct blob *content)
{
	struct inode *i = calloc(1, sizeof *i);
	i->refs = 1;
	i->now = content;
	i->stable = blob_ref(content);
	return i;
}

static struct inode *inode_ref(struct inode *i)
{
	i->refs++;
	return i;
}

static void inode_unref(struct inode *i)
{
	if (--i->refs)
		return;
	blob_unref(i->now);
	blob_unref(i->stable);
	free(i);
}

/* ---- names ---- */
static struct entry *dir_find(const struct dir *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->entries[i].name, name) == 0)
			return &d->entries[i];
	return NULL;
}

static void dir_remove(struct dir *d, const char *name)
{
	struct entry *e = dir_find(d, name);

	if (!e)
		return;
	inode_unref(e->inode);
	*e = d->entries[--d->n];
}

static void dir_put(struct dir *d, const char *name, struct inode *inode)
{
	(void)inode_ref(inode);
	dir_remove(d, name);
	if (d->n == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 16;
		d->entries = reallocarray(d->entries, d->cap, sizeof *d->entries);
	}
	struct entry *e = &d->entries[d->n++];
	(void)snprintf(e->name, sizeof e->name, "%s", name);
	e->inode = inode;
}

static void dir_free(struct dir *d)
{
	while (d->n)
		dir_remove(d, d->entries[0].name);
	free(d->entries);
}

static void apply(struct dir *d, const struct change *c)
{
	if (c->from[0])
		dir_remove(d, c->from);
	if (c->to[0])
		dir_put(d, c->to, c->inode);
}

static void note_change(struct shim *s, const char *from, const char *to, struct inode *inode)
{
	if (s->n_changes == s->cap_changes) {
		s->cap_changes = s->cap_changes ? s->cap_changes * 2 : 16;
		s->changes = reallocarray(s->changes, s->cap_changes, sizeof *s->changes);
	}
	struct change *c = &s->changes[s->n_changes++];
	memset(c, 0, sizeof *c);
	(void)snprintf(c->from, sizeof c->from, "%s", from);
	(void)snprintf(c->to, sizeof c->to, "%s", to);
	c->inode = inode_ref(inode);
	apply(&s->now, c);
}

/* ---- faults ---- */
static int fault(struct shim *s, enum shim_op op)
{
	unsigned n = ++s->ops[op].calls;

	if (s->ops[op].times && n >= s->ops[op].from && n < s->ops[op].from + s->ops[op].times)
		return -s->ops[op].errnum;
	return 0;
}

static int changed(struct shim *s, int result)
{
	if (result >= 0 && s->on_write)
		s->on_write(s->on_write_arg);
	return result;
}

static uint64_t used(const struct shim *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->now.n; i++)
		n += s->now.entries[i].inode->now->size;
	return n;
}

/* ---- the table ---- */
static int shim_open(void *ctx, const char *name, enum storage_mode mode)
{
	struct shim *s = ctx;
	struct entry *e = dir_find(&s->now, name);
	struct inode *inode;

	if (mode == STORAGE_CREATE) {
		int r = fault(s, SHIM_CREATE);
		if (r)
			return r;
		if (e)
			return -EEXIST;
		inode = inode_new(blob_new(0));
		note_change(s, "", name, inode);
	} else {
		if (!e)
			return -ENOENT;
		inode = inode_ref(e->inode);
	}
	size_t fd = 0;
	while (fd < s->n_fds && s->fds[fd])
		fd++;
	if (fd == s->n_fds) {
		s->fds = reallocarray(s->fds, ++s->n_fds, sizeof(struct inode *));
	}
	s->fds[fd] = inode;
	return mode == STORAGE_CREATE ? changed(s, (int)fd) : (int)fd;
}

static void shim_close(void *ctx, int fd)
{
	struct shim *s = ctx;

	inode_unref(s->fds[fd]);
	s->fds[fd] = NULL;
}

static ssize_t shim_pread(void *ctx, int fd, void *buf, size_t n, uint64_t at)
{
	struct shim *s = ctx;
	const struct blob *b = s->fds[fd]->now;
	int r = fault(s, SHIM_PREAD);

	if (r)
		return r;
	if (at >= b->size)
		return 0;
	if (n > b->size - at)
		n = b->size - at;
	memcpy(buf, b->data + at, n);
	return (ssize_t)n;
}

static ssize_t shim_pwritev(void *ctx, int fd, const struct iovec *iov, int n, uint64_t at)
{
	struct shim *s = ctx;
	struct inode *inode = s->fds[fd];
	size_t total = 0;
	int r = fault(s, SHIM_PWRITEV);

	if (r)
		return r;
	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (s->short_max && total > s->short_max)
		total = s->short_max;
	if (s->capacity && at + total > inode->now->size) {
		uint64_t have = used(s), grow = at + total - inode->now->size;

		/* as real ones do: what fits is written */
		if (have >= s->capacity)
			return -ENOSPC;
		if (have + grow > s->capacity)
			total -= (size_t)(have + grow - s->capacity);
	}
	blob_own(&inode->now, at + total > inode->now->size ? at + total : inode->now->size);
	size_t done = 0;
	for (int i = 0; i < n && done < total; i++) {
		size_t part = iov[i].iov_len < total - done ? iov[i].iov_len : total - done;

		if (part)
			memcpy(inode->now->data + at + done, iov[i].iov_base, part);
		done += part;
	}
	(void)changed(s, 0);
	return (ssize_t)total;
}

static int shim_fdatasync(void *ctx, int fd)
{
	struct shim *s = ctx;
	struct inode *inode = s->fds[fd];
	int r = fault(s, SHIM_FDATASYNC);

	if (r) {
		inode->lost = true;
		return r;
	}
	if (!inode->lost) {
		blob_unref(inode->stable);
		inode->stable = blob_ref(inode->now);
	}
	return changed(s, 0);
}

static int64_t shim_fd_size(void *ctx, int fd)
{
	struct shim *s = ctx;

	return (int64_t)s->fds[fd]->now->size;
}

static int shim_truncate(void *ctx, int fd, uint64_t size)
{
	struct shim *s = ctx;
	int r = fault(s, SHIM_TRUNCATE);

	if (r)
		return r;
	blob_own(&s->fds[fd]->now, size);
	return changed(s, 0);
}

static bool in_dir(const char *name, const char *dir)
{
	size_t n = strlen(dir);

	return n ? strncmp(name, dir, n) == 0 && name[n] == '/' : !strchr(name, '/');
}

static int shim_sync_dir(void *ctx, const char *dir)
{
	struct shim *s = ctx;
	size_t kept = 0;
	int r = fault(s, SHIM_SYNC_DIR);

	if (r)
		return r;
	for (size_t i = 0; i < s->n_changes; i++) {
		struct change *c = &s->changes[i];

		if (!in_dir(c->to[0] ? c->to : c->from, dir)) {
			s->changes[kept++] = *c;
			continue;
		}
		apply(&s->stable, c);
		inode_unref(c->inode);
	}
	s->n_changes = kept;
	return changed(s, 0);
}

static int shim_make_dir(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return 0;
}

static int shim_rename(void *ctx, const char *from, const char *to)
{
	struct shim *s = ctx;
	struct entry *e = dir_find(&s->now, from);
	int r = fault(s, SHIM_RENAME);

	if (r)
		return r;
	if (!e)
		return -ENOENT;
	note_change(s, from, to, e->inode);
	return changed(s, 0);
}

static int shim_unlink(void *ctx, const char *name)
{
	struct shim *s = ctx;
	struct entry *e = dir_find(&s->now, name);
	int r = fault(s, SHIM_UNLINK);

	if (r)
		return r;
	if (!e)
		return -ENOENT;
	note_change(s, name, "", e->inode);
	return changed(s, 0);
}

static int shim_list(
    void *ctx, const char *dir, void (*each)(void *arg, const char *name), void *arg)
{
	struct shim *s = ctx;
	size_t skip = dir[0] ? strlen(dir) + 1 : 0;

	for (size_t i = 0; i < s->now.n; i++)
		if (in_dir(s->now.entries[i].name, dir))
			each(arg, s->now.entries[i].name + skip);
	return 0;
}

static int shim_space(void *ctx, struct storage_space *out)
{
	struct shim *s = ctx;
	uint64_t total = s->capacity ? s->capacity : UINT64_C(1) << 40, have = used(s);

	*out = (struct storage_space){have < total ? total - have : 0, total, 1000, 1000};
	return 0;
}

/* ---- for tests ---- */
struct shim *shim_new(void)
{
	struct shim *s = calloc(1, sizeof *s);

	s->io = (struct storage_io){s, shim_open, shim_close, shim_pread, shim_pwritev,
	    shim_fdatasync, shim_fd_size, shim_truncate, shim_sync_dir, shim_make_dir, shim_rename,
	    shim_unlink, shim_list, shim_space};
	return s;
}

void shim_free(struct shim **shim)
{
	struct shim *s = *shim;

	if (!s)
		return;
	dir_free(&s->now);
	dir_free(&s->stable);
	for (size_t i = 0; i < s->n_changes; i++)
		inode_unref(s->changes[i].inode);
	for (size_t i = 0; i < s->n_fds; i++)
		if (s->fds[i])
			inode_unref(s->fds[i]);
	free(s->changes);
	free(s->fds);
	free(s);
	*shim = NULL;
}

const struct storage_io *shim_io(struct shim *s)
{
	return &s->io;
}

void shim_on_write(struct shim *s, void (*fn)(void *arg), void *arg)
{
	s->on_write = fn;
	s->on_write_arg = arg;
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

/* Each sector that was not synced as it is now or as it was; its length likewise. */
static struct blob *torn(const struct inode *i, uint64_t *random)
{
	size_t low = i->stable->size, high = i->now->size, size = high;

	if (i->lost || i->now == i->stable)
		return blob_ref(i->stable);
	if (high > low && next_random(random) % 4 == 0)
		size = low + (size_t)(next_random(random) % (high - low + 1));
	if (high < low && next_random(random) % 2)
		size = low;
	struct blob *b = blob_new(size);
	for (size_t at = 0; at < size; at += SECTOR) {
		size_t n = size - at < SECTOR ? size - at : SECTOR;
		const struct blob *from = next_random(random) % 2 ? i->now : i->stable;

		if (from->size > at)
			memcpy(b->data + at, from->data + at,
			    from->size - at < n ? from->size - at : n);
	}
	return b;
}

struct shim *shim_crash(const struct shim *s, enum shim_loss loss, uint64_t seed)
{
	struct shim *after = shim_new();
	struct dir names = {0};
	uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) + 88172645463325252u;

	for (size_t i = 0; i < s->stable.n; i++)
		dir_put(&names, s->stable.entries[i].name, s->stable.entries[i].inode);
	for (size_t i = 0; loss == SHIM_TEAR && i < s->n_changes; i++)
		if (next_random(&random) % 2)
			apply(&names, &s->changes[i]);
	for (size_t i = 0; i < names.n; i++) {
		struct inode *old = names.entries[i].inode;
		struct blob *content =
		    loss == SHIM_TEAR ? torn(old, &random) : blob_ref(old->stable);
		struct inode *inode = inode_new(content);

		dir_put(&after->now, names.entries[i].name, inode);
		dir_put(&after->stable, names.entries[i].name, inode);
		inode_unref(inode);
	}
	dir_free(&names);
	return after;
}

void shim_fail(struct shim *s, enum shim_op op, unsigned nth, unsigned times, int errnum)
{
	s->ops[op].from = s->ops[op].calls + nth;
	s->ops[op].times = times;
	s->ops[op].errnum = errnum;
}

void shim_short_writes(struct shim *s, size_t max)
{
	s->short_max = max;
}

void shim_capacity(struct shim *s, uint64_t bytes)
{
	s->capacity = bytes;
}

void shim_damage(struct shim *s, const char *name, uint64_t at, size_t n)
{
	struct entry *e = dir_find(&s->now, name);

	if (!e)
		return;
	struct inode *i = e->inode;
	blob_own(&i->now, i->now->size);
	for (; n && at < i->now->size; n--, at++)
		i->now->data[at] ^= 0x5a;
	blob_unref(i->stable);
	i->stable = blob_ref(i->now);
}

bool shim_exists(const struct shim *s, const char *name)
{
	return dir_find(&s->now, name) != NULL;
}

uint64_t shim_size(const struct shim *s, const char *name)
{
	const struct entry *e = dir_find(&s->now, name);

	return e ? e->inode->now->size : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

bool shim_nth(const struct shim *s, const char *suffix, size_t nth, char out[64])
{
	struct entry *copy = calloc(s->now.n + 1, sizeof *copy);
	size_t len = strlen(suffix);
	bool found = false;

	memcpy(copy, s->now.entries, s->now.n * sizeof *copy);
	qsort(copy, s->now.n, sizeof *copy, by_name);
	for (size_t i = 0; i < s->now.n && !found; i++) {
		size_t n = strlen(copy[i].name);

		if (n < len || strcmp(copy[i].name + n - len, suffix) != 0 || nth--)
			continue;
		(void)snprintf(out, 64, "%s", copy[i].name);
		found = true;
	}
	free(copy);
	return found;
}

unsigned shim_calls(const struct shim *s, enum shim_op op)
{
	return s->ops[op].calls;
}
