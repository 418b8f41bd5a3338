/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files that are items of lists.  A file is read again when it is another one than last time
 * (device, inode, size, times); its compiled form is kept in the cache of the list that names it.
 */
#include "base/io.h"
#include "match/match_private.h"

#include <errno.h>
#include <sys/stat.h>

enum { FILE_MAX = 64 << 20 };

/* For domains and hosts '#' begins a comment anywhere, for addresses and local parts only behind
 * white space. */
static slice_t without_comment(slice_t line, enum match_kind kind)
{
	bool anywhere = kind == MATCH_DOMAINS || kind == MATCH_HOSTS;
	for (uint32_t i = 0; i < line.len; i++)
		if (line.ptr[i] == '#' && (anywhere || i == 0 || ascii_isspace(line.ptr[i - 1])))
			return slice_sub(line, 0, i);
	return line;
}

static enum rc compile_lines(
    struct compile *c, slice_t content, struct match_list *l, struct error *err)
{
	struct vec items = {0};
	slice_t line;
	while (slice_next(&content, '\n', &line)) {
		struct item it;
		bool is_flag = false;
		line = slice_trim(without_comment(line, c->kind));
		if (!line.len)
			continue;
		enum rc rc = match_compile_item(c, line, &it, &is_flag, err);
		if (rc != RC_OK)
			return rc;
		if (!is_flag)
			*VEC_PUSH(c->arena, &items, struct item) = it;
	}
	l->kind = c->kind;
	l->items = items.items;
	l->count = (uint32_t)items.count;
	match_index(c->arena, l);
	return RC_OK;
}

static enum rc load(
    struct run *r, const char *path, const struct item *it, struct text_entry *e, struct error *err)
{
	slice_t content;
	enum rc rc = io_read_file(e->arena, path, FILE_MAX, &content, err);
	if (rc != RC_OK)
		return rc == RC_FAIL ? RC_DEFER : rc;
	content.flags |= HEDDLE_CLEAN; /* the site's own, named by its configuration */
	struct match_list *l = ARENA_NEW(e->arena, struct match_list);
	struct compile c = {.arena = e->arena, .kind = r->kind, .cfg = r->ev->cfg, .in_file = true};
	c.flags = it->flags & (uint8_t)~ITEM_NEGATED;
	e->object = l;
	rc = compile_lines(&c, content, l, err);
	return rc == RC_OK ? rc : error_wrap(err, rc, "%s", path);
}

enum rc match_file_list(struct run *r, struct match_list *owner, const struct item *it,
    struct text_entry **out_entry, struct error *err)
{
	struct stat st;
	if (!slice_is_clean(it->text))
		return error_set(err, RC_ERROR, "Tainted filename '%.*s'", SL_ARG(it->text));
	const char *path = arena_cstr(r->ev->arena, it->text);
	if (stat(path, &st) < 0)
		return error_errno(err, RC_DEFER, errno,
		    "failed to open %s when checking a %s list", path, match_kind_name(r->kind));
	slice_t key = arena_printf(r->ev->arena, "%d %llx %llx %lld %lld.%09ld %lld.%09ld %s",
	    it->flags, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
	    (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
	    (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec, path);
	struct text_entry *e = text_cache_get(owner->cache, key);
	if (!e) {
		e = text_entry_new(0);
		enum rc rc = load(r, path, it, e, err);
		if (rc != RC_OK) {
			text_entry_unref(&e);
			return rc;
		}
		text_cache_put(owner->cache, key, e);
	}
	*out_entry = e;
	return RC_OK;
}
