/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/body: large bodies in files of their own, body/ID.  Written and synced by the thread that
 * received them; the committer syncs the directory before it writes the record that refers to them,
 * so a record that is there never lacks its file.
 */
#include "queue/store_private.h"

#include "base/codec.h"

#include <stdio.h>
#include <stdlib.h>

struct store_body {
	struct store *store;
	struct queue_id id;
	uint64_t size;
	uint32_t crc;
	int fd;
};

void body_name(struct queue_id id, char out[NAME_MAX_BYTES])
{
	char text[QUEUE_ID_LEN + 1];

	queue_id_text(id, text);
	(void)snprintf(out, NAME_MAX_BYTES, BODY_DIR "/%s", text);
}

enum rc store_body_begin(
    struct store *s, struct queue_id id, struct store_body **out, struct error *err)
{
	char name[NAME_MAX_BYTES];

	body_name(id, name);
	int fd = s->io->open(s->io->ctx, name, STORAGE_CREATE);
	if (fd < 0)
		return error_errno(err, RC_DEFER, -fd, "make %s", name);
	struct store_body *b = malloc(sizeof *b);
	MUST(b);
	*b = (struct store_body){s, id, 0, 0, fd};
	*out = b;
	return RC_OK;
}

enum rc store_body_write(struct store_body *b, const struct iovec *iov, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		struct iovec piece = iov[i];

		if (!piece.iov_len)
			continue;
		int e = segment_writev(b->store, b->fd, &piece, 1, b->size);
		if (e)
			return error_errno(err, RC_DEFER, -e, "write a large body");
		b->crc = crc32c(b->crc, iov[i].iov_base, iov[i].iov_len);
		b->size += iov[i].iov_len;
	}
	return RC_OK;
}

uint64_t store_body_written(const struct store_body *b)
{
	return b->size;
}

void store_body_discard(struct store *s, struct queue_id id)
{
	char name[NAME_MAX_BYTES];

	body_name(id, name);
	(void)s->io->unlink(
	    s->io->ctx, name); /* what stays is an orphan, removed by the next recovery */
}

void store_body_abort(struct store_body **b)
{
	if (!*b)
		return;
	(*b)->store->io->close((*b)->store->io->ctx, (*b)->fd);
	store_body_discard((*b)->store, (*b)->id);
	free(*b);
	*b = NULL;
}

enum rc store_body_finish(struct store_body **body, struct queue_message *m, struct error *err)
{
	struct store_body *b = *body;
	const struct storage_io *io = b->store->io;
	int e = io->fdatasync(io->ctx, b->fd);

	if (e) {
		store_body_abort(body);
		return error_errno(err, RC_DEFER, -e, "sync a large body");
	}
	m->flags |= QUEUE_MSG_BODY_FILE;
	m->body_size = b->size;
	m->body_crc = b->crc;
	io->close(io->ctx, b->fd);
	free(b);
	*body = NULL;
	return RC_OK;
}
