/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Finding an ACL by what an option gave: a name, a file, or the text itself.  What is met at run
 * time is compiled once. */
#include "acl/acl_private.h"

#include "base/io.h"

enum { FILE_MAX = 4 << 20 };

static enum rc compile_entry(
    struct eval *ev, const struct acls *acls, slice_t text, struct text_entry *e, struct error *err)
{
	struct vec lines = {0};
	slice_t content = arena_dup(e->arena, text);
	const char *file = NULL;
	enum rc rc = RC_OK;
	if (text.ptr[0] == '/') {
		if (memchr(text.ptr, '\0', text.len))
			return error_set(err, RC_ERROR, "NUL character in the name of an ACL file");
		file = arena_cstr(e->arena, text);
		rc = io_read_file(e->arena, file, FILE_MAX, &content, err);
		content.flags |= HEDDLE_CLEAN; /* the site's own: its name is clean */
	}
	if (rc != RC_OK)
		return error_wrap(err, RC_ERROR, "failed to open ACL file");
	struct acl *acl = ARENA_NEW(e->arena, struct acl);
	union {
		const struct acls *in;
		struct acls *out;
	} u = {.in = acls}; /* names are only read */
	struct acl_compile c = {.arena = e->arena, .cfg = ev->cfg, .acls = u.out};
	acl->name = file ? slice_cstr(file) : SL("inline ACL");
	rc = acl_split_lines(e->arena, content, file, &lines, err);
	if (rc == RC_OK)
		rc = acl_compile_lines(&c, &lines, acl, err);
	e->object = acl;
	if (rc != RC_OK)
		return error_wrap(
		    err, RC_ERROR, "error in ACL \"%.*s\"", SL_ARG(slice_sub(text, 0, 100)));
	return RC_OK;
}

enum rc acl_find(struct eval *ev, const struct acls *acls, slice_t text, const struct acl **out,
    struct text_entry **out_entry, struct error *err)
{
	text = slice_trim(text);
	*out_entry = NULL;
	const struct acl *known = map_get(acls->named, text);
	if (!slice_is_clean(text))
		return error_set(err, RC_ERROR, "attempt to use tainted ACL text \"%.*s\"",
		    SL_ARG(slice_sub(text, 0, 100)));
	if (!known)
		known = map_get(acls->inlined, text);
	if (!known && !text.len)
		return error_set(err, RC_ERROR, "an ACL's name is empty");
	if (!known) {
		struct text_entry *e = text_cache_get(acls->texts, text);
		if (!e) {
			e = text_entry_new(0);
			enum rc rc = compile_entry(ev, acls, text, e, err);
			if (rc != RC_OK) {
				text_entry_unref(&e);
				return rc;
			}
			text_cache_put(acls->texts, text, e);
		}
		known = e->object;
		*out_entry = e;
	}
	*out = known;
	return RC_OK;
}
