/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/scan: what records a sealed segment holds.  Normally its sidecar says so and the segment is
 * not read at all. Without one it is read and every CRC is checked; where something is broken the
 * next record is looked for by the segment's random mark, which no sender can know and so no body
 * can contain.
 *
 * Broken bytes behind the last known sync are the torn tail of a batch that nobody was told about;
 * before it they are damage.
 */
#include "queue/store_private.h"

#include "base/codec.h"
#include "base/strbuf.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW      ((size_t)1 << 20)
#define SIDECAR_MAX ((int64_t)1 << 30)
#define BAD_SECTOR  4096u /* skipped when it cannot be read */

struct scan {
	struct store *s;
	struct store_segment *seg;
	struct arena *a;
	uint64_t end;       /* where records can be */
	uint64_t known_end; /* damage before this is real */
	uint64_t first_bad; /* UINT64_MAX: none */
	uint64_t data_end;
	uint8_t *window;
	uint64_t window_at;
	size_t window_len;
	struct strbuf entries;
	uint32_t count;
};

/* Bytes at `at`, at least one and at most what the window holds; NULL: cannot be read. */
static const uint8_t *view(struct scan *sc, uint64_t at, size_t want, size_t *out_n)
{
	uint64_t left = at < sc->end ? sc->end - at : 0;

	if (want > left)
		want = (size_t)left;
	if (want > WINDOW)
		want = WINDOW;
	if (!want)
		return NULL;
	if (at < sc->window_at || at + want > sc->window_at + sc->window_len) {
		size_t n = left < WINDOW ? (size_t)left : WINDOW;
		ssize_t r = sc->s->io->pread(sc->s->io->ctx, sc->seg->fd, sc->window, n, at);

		sc->window_at = at;
		sc->window_len = r > 0 ? (size_t)r : 0;
		if (sc->window_len < want)
			want = sc->window_len;
		if (!want)
			return NULL;
	}
	*out_n = want;
	return sc->window + (at - sc->window_at);
}

static bool crc_matches(struct scan *sc, uint64_t at, uint64_t n, uint32_t want)
{
	uint32_t crc = 0;

	while (n) {
		size_t got;
		const uint8_t *p = view(sc, at, n < WINDOW ? (size_t)n : WINDOW, &got);

		if (!p)
			return false;
		crc = crc32c(crc, p, got);
		at += got;
		n -= got;
	}
	return crc == want;
}

static bool whole_record(struct scan *sc, uint64_t at, struct record_header *out)
{
	size_t n;
	const uint8_t *p = view(sc, at, RECORD_HEADER_BYTES, &n);
	struct record_header h;

	if (!p || !record_header_decode(p, n, sc->seg->mark, sc->seg->number, &h) ||
	    record_size(&h) > sc->end - at)
		return false;
	if (!crc_matches(sc, at + RECORD_HEADER_BYTES, h.meta_len, h.meta_crc) ||
	    !crc_matches(sc, at + RECORD_HEADER_BYTES + h.meta_len, h.body_len, h.body_crc))
		return false;
	*out = h;
	return true;
}

/* The next place behind `at` where the mark stands; the end if there is none. */
static uint64_t next_mark(struct scan *sc, uint64_t at)
{
	uint8_t mark[8];

	put_le64(mark, sc->seg->mark);
	while (at + RECORD_HEADER_BYTES <= sc->end) {
		size_t n;
		const uint8_t *p = view(sc, at, WINDOW, &n);

		if (!p || n < sizeof mark) {
			at += BAD_SECTOR - at % BAD_SECTOR;
			continue;
		}
		const uint8_t *hit = memmem(p, n, mark, sizeof mark);
		if (hit)
			return at + (uint64_t)(hit - p);
		at += n - sizeof mark + 1;
	}
	return sc->end;
}

static bool add_entry(struct scan *sc, const struct record_header *h, uint64_t at)
{
	struct sidecar_entry e = {
	    .h = *h, .offset = (uint32_t)at, .envelope = slice_tainted("", 0)};
	uint8_t head[8];
	uint32_t len;

	if (h->type == RECORD_MESSAGE) {
		if (segment_read(sc->s, sc->seg->fd, head, sizeof head, at + RECORD_HEADER_BYTES) ||
		    !record_envelope_len(head, sizeof head, &len) || len > h->meta_len)
			return false;
		char *p = arena_bytes(sc->a, len);
		if (segment_read(sc->s, sc->seg->fd, p, len, at + RECORD_HEADER_BYTES))
			return false;
		e.envelope = slice_tainted(p, len);
	}
	size_t n = sidecar_entry_encode(&e, NULL);
	char *out = arena_bytes(sc->a, n);
	(void)sidecar_entry_encode(&e, out);
	strbuf_add(&sc->entries, slice_tainted(out, n));
	sc->count++;
	return true;
}

static void scan_all(struct scan *sc)
{
	uint64_t at = SEGMENT_HEADER_BYTES;
	struct record_header h;

	while (at < sc->end) {
		if (whole_record(sc, at, &h) && add_entry(sc, &h, at)) {
			at += record_size(&h);
			sc->data_end = at;
			if (sc->known_end < h.synced)
				sc->known_end = h.synced;
			continue;
		}
		if (sc->first_bad > at)
			sc->first_bad = at;
		at = next_mark(sc, at + 1);
	}
}

/* ---- the sidecar's file ---- */
static int write_file(struct store *s, const char *name, struct iovec *iov, size_t n)
{
	(void)s->io->unlink(s->io->ctx, name); /* of an earlier try */
	int fd = s->io->open(s->io->ctx, name, STORAGE_CREATE);
	if (fd < 0)
		return fd;
	int e = segment_writev(s, fd, iov, n, 0);
	if (!e)
		e = s->io->fdatasync(s->io->ctx, fd);
	s->io->close(s->io->ctx, fd);
	return e;
}

/* Without it everything works, more slowly: failures are not reported. */
static void write_sidecar(struct store *s, struct store_segment *seg, struct sidecar *sc)
{
	char tmp[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
	uint8_t raw[SIDECAR_HEADER_BYTES];
	struct iovec iov[2] = {
	    {raw, sizeof raw}, {(void *)(uintptr_t)sc->entries.ptr, sc->entries.len}};

	sidecar_header_encode(&sc->h, raw);
	sc->h.crc = sidecar_crc(raw, sc->entries.ptr, sc->entries.len);
	sidecar_header_encode(&sc->h, raw);
	segment_name(seg->number, "tmp", tmp);
	segment_name(seg->number, "idx", name);
	int e = write_file(s, tmp, iov, sc->entries.len ? 2 : 1);
	if (!e)
		e = s->io->rename(s->io->ctx, tmp, name);
	if (e)
		(void)s->io->unlink(s->io->ctx, tmp);
}

static bool read_sidecar(
    struct store *s, struct store_segment *seg, struct arena *a, struct sidecar *out)
{
	char name[NAME_MAX_BYTES];
	bool good = false;

	segment_name(seg->number, "idx", name);
	int fd = s->io->open(s->io->ctx, name, STORAGE_READ);
	if (fd < 0)
		return false;
	int64_t size = s->io->size(s->io->ctx, fd);
	if (size >= (int64_t)SIDECAR_HEADER_BYTES && size <= SIDECAR_MAX) {
		char *p = arena_bytes(a, (size_t)size);

		good = segment_read(s, fd, p, (size_t)size, 0) == 0 &&
		       sidecar_header_decode(p, (size_t)size, &out->h) &&
		       out->h.mark == seg->mark && out->h.segment == seg->number;
		if (good)
			out->entries =
			    slice_tainted(p + SIDECAR_HEADER_BYTES, (size_t)out->h.bytes);
	}
	s->io->close(s->io->ctx, fd);
	return good;
}

static void read_segment(
    struct store *s, struct store_segment *seg, struct arena *a, struct sidecar *out)
{
	struct scan sc = {.s = s,
	    .seg = seg,
	    .a = a,
	    .end = seg->size,
	    .first_bad = UINT64_MAX,
	    .data_end = SEGMENT_HEADER_BYTES};

	store_table_lock(s);
	/* what this run has sealed ends where we know; of an older one the next segment may tell */
	sc.known_end = seg->number >= s->first_number ? seg->size : seg->end_note;
	bool damaged = seg->damaged;
	store_table_unlock(s);
	sc.window = malloc(WINDOW);
	MUST(sc.window);
	strbuf_init(&sc.entries, a, SIDECAR_MAX);
	scan_all(&sc);
	free(sc.window);
	damaged |= sc.first_bad < sc.known_end || sc.data_end < sc.known_end;
	out->entries = strbuf_slice(&sc.entries);
	out->h = (struct sidecar_header){.mark = seg->mark,
	    .segment = seg->number,
	    .flags = damaged ? SIDECAR_DAMAGED : 0,
	    .data_end = sc.data_end,
	    .count = sc.count,
	    .bytes = out->entries.len};
}

void sidecar_get(struct store *s, struct store_segment *seg, struct arena *a, struct sidecar *out)
{
	if (!read_sidecar(s, seg, a, out)) {
		read_segment(s, seg, a, out);
		write_sidecar(s, seg, out);
	}
	if (out->h.flags & SIDECAR_DAMAGED)
		segment_damaged(
		    s, seg, "damaged bytes; whole records are kept, the file will be set aside");
	store_table_lock(s);
	seg->has_sidecar = true;
	store_table_unlock(s);
}
