/* SPDX-License-Identifier: GPL-3.0-or-later */
/* driver/list: what is installed, by reading heads only; no code of a driver runs. */
#include "driver/loader_parts.h"

#include "base/map.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void add(
    struct drivers *d, uint16_t driver_class, slice_t name, struct arena *a, struct vec *out)
{
	struct driver_listing *l = VEC_PUSH(a, out, struct driver_listing);
	struct driver_file f = {.fd = -1};
	l->name = arena_dup(a, name);
	enum rc rc = driver_file_open(&d->cfg, driver_class, name, &f, &l->problem);
	if (rc == RC_OK) {
		rc = driver_read_head(f.fd, &l->head, &l->problem);
		(void)close(f.fd);
		l->readable = rc == RC_OK;
		if (rc == RC_OK)
			rc = driver_check_head(&l->head, driver_class, name, &l->problem);
		if (rc != RC_OK)
			(void)error_wrap(&l->problem, rc, "%s", f.path);
	}
	l->path = arena_cstr(a, slice_cstr(f.path));
	/* people print these: terminate them whatever the file says */
	l->head.name[sizeof l->head.name - 1] = '\0';
	l->head.aliases[sizeof l->head.aliases - 1] = '\0';
	l->head.version[sizeof l->head.version - 1] = '\0';
	l->head.licence[sizeof l->head.licence - 1] = '\0';
	l->head.author[sizeof l->head.author - 1] = '\0';
}

static int by_name(const void *a, const void *b)
{
	const struct driver_listing *x = a, *y = b;
	return slice_cmp(x->name, y->name);
}

void drivers_list(struct drivers *d, uint16_t driver_class, struct arena *a, struct vec *out)
{
	struct map *seen = map_new(a, MAP_EXACT); /* an earlier folder hides a later one */
	size_t first = out->count;
	for (const char *const *folder = d->cfg.folders; folder && *folder; folder++) {
		slice_t path = arena_printf(a, "%s/%s", *folder, driver_class_name(driver_class));
		DIR *dir = opendir(arena_cstr(a, path));
		if (!dir)
			continue;
		for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
			size_t n = strlen(e->d_name);
			if (n < 4 || strcmp(e->d_name + n - 3, ".so") != 0)
				continue;
			slice_t name = arena_dup(a, slice_of(e->d_name, n - 3, HEDDLE_CLEAN));
			if (!driver_name_is_valid(name) || map_get(seen, name))
				continue;
			(void)map_put(seen, name, seen);
			add(d, driver_class, name, a, out);
		}
		(void)closedir(dir);
	}
	if (out->count - first > 1)
		qsort(VEC_AT(out, struct driver_listing, first), out->count - first,
		    sizeof(struct driver_listing), by_name);
}
