/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The message itself: by DATA (RFC 5321, 4.1.1.4) or BDAT (RFC 3030), and what the server says of
 * it: one answer, one for each recipient (LMTP), or both (PRDR, draft-hall-prdr).
 */
#include "smtp/client_private.h"

#include <stdio.h>

#define COMMAND_ROOM    40U /* before the block: "BDAT 65536 LAST\r\n" */
#define BLOCK_TAIL      8U  /* behind it: the last line's end and the final dot */
#define READ_MIN        1024U
#define CHUNKS_UNDERWAY 4U /* whose answers are still to come */

/* ---- reading
 * -------------------------------------------------------------------------------------------- */

static enum rc unreadable(const struct transaction *t, const struct error *err)
{
	t->s->conn->broken =
	    true; /* only this keeps the server from taking half a message for the whole */
	return outcome_set(t->s, t->why, RC_DEFER, HEDDLE_X_MESSAGE,
	    "the message could not be read: %s", err->text);
}

static enum rc source_open(struct transaction *t, bool dotted)
{
	struct error err = {.text = ""};

	if (!t->block)
		t->block =
		    arena_bytes(t->s->arena, COMMAND_ROOM + BLOCK + BLOCK_TAIL) + COMMAND_ROOM;
	t->whole = false;
	t->line_end = true;
	t->ahead = 0;
	return t->m->open(t->m->ctx, dotted, &err) == RC_OK ? RC_OK : unreadable(t, &err);
}

/* A full block, or what is left; the last line has its end. */
static enum rc source_fill(struct transaction *t)
{
	struct error err = {.text = ""};
	size_t got = 1;

	t->ahead = 0;
	while (got && BLOCK - t->ahead >= READ_MIN) {
		if (t->m->read(t->m->ctx, t->block + t->ahead, BLOCK - t->ahead, &got, &err) !=
		    RC_OK)
			return unreadable(t, &err);
		t->ahead += got;
		if (got)
			t->line_end = t->block[t->ahead - 1] == '\n';
	}
	t->whole = got == 0;
	if (t->whole && !t->line_end) {
		memcpy(t->block + t->ahead, "\r\n", 2);
		t->ahead += 2;
	}
	return RC_OK;
}

enum rc data_read_ahead(struct transaction *t)
{
	enum rc rc = source_open(t, false);

	if (rc == RC_OK)
		rc = source_fill(t);
	if (rc != RC_OK)
		t->s->conn->broken = false; /* nothing was sent yet */
	return rc;
}

/* ---- sending
 * -------------------------------------------------------------------------------------------- */

/* The connection broke in the middle of the data.  Perhaps the server has said why. */
static enum rc data_broken(const struct transaction *t, enum io io)
{
	struct client_session *s = t->s;

	s->conn->broken = true;
	if (io == IO_CLOSED && reply_read(s, 1000) == IO_OK && s->reply.code >= 400)
		return outcome_reply(s, t->why, HEDDLE_X_MESSAGE, false, "sending data block");
	return outcome_io(s, t->why, io, HEDDLE_X_HOST, false, "sending data block");
}

/* The final dot leaves in the same write as the last bytes, so that a small message is one segment.
 */
static enum rc send_dotted(struct transaction *t)
{
	struct client_session *s = t->s;
	enum rc rc = source_open(t, true);

	while (rc == RC_OK && !t->whole) {
		rc = source_fill(t);
		if (rc != RC_OK)
			break;
		if (t->whole) {
			memcpy(t->block + t->ahead, ".\r\n", 3);
			t->ahead += 3;
		}
		enum io io = io_send(s, t->block, t->ahead, s->t.data_ms);
		if (io != IO_OK)
			return data_broken(t, io);
	}
	return rc;
}

static int chunk_command(const struct transaction *t, char *buf, size_t size)
{
	return snprintf(buf, size, "BDAT %zu%s\r\n", t->ahead, t->whole ? " LAST" : "");
}

void data_queue_whole(struct transaction *t)
{
	char command[COMMAND_ROOM];
	int n = chunk_command(t, command, sizeof command);

	strbuf_add(&t->s->out, slice_tainted(command, (size_t)n));
	strbuf_add(&t->s->out, slice_tainted(t->block, t->ahead));
	t->sent = true;
}

/* Command and bytes in one write. */
static enum io send_chunk(const struct transaction *t)
{
	char command[COMMAND_ROOM];
	size_t n = (size_t)chunk_command(t, command, sizeof command);

	memcpy(t->block - n, command, n);
	return io_send(t->s, t->block - n, n + t->ahead, t->s->t.data_ms);
}

/* The answer to a chunk that is not the last.  A refusal ends the transaction, and with it the
 * connection, as more chunks may be under way. */
static enum rc chunk_answer(const struct transaction *t)
{
	struct client_session *s = t->s;
	enum io io = reply_read(s, s->t.data_ms);

	if (io == IO_OK && s->reply.code / 100 == 2)
		return RC_OK;
	s->conn->broken = true;
	if (io != IO_OK)
		return outcome_io(s, t->why, io, HEDDLE_X_HOST, false, "sending data block");
	return outcome_reply(s, t->why, HEDDLE_X_MESSAGE, false, "sending data block");
}

static enum rc send_chunks(struct transaction *t)
{
	unsigned under_way = 0, most = t->pipelined ? CHUNKS_UNDERWAY : 0;
	enum rc rc = RC_OK;

	while (rc == RC_OK) {
		bool last = t->whole;
		enum io io = send_chunk(t);
		if (io != IO_OK)
			return data_broken(t, io);
		if (last)
			break;
		under_way++;
		for (; rc == RC_OK && under_way > most; under_way--)
			rc = chunk_answer(t);
		if (rc == RC_OK)
			rc = source_fill(t);
	}
	for (; rc == RC_OK && under_way; under_way--)
		rc = chunk_answer(t);
	return rc;
}

/* ---- what the server says
 * ------------------------------------------------------------------------------- */

static void delivered(const struct transaction *t, struct client_recipient *r)
{
	struct client_session *s = t->s;

	r->has_outcome = true;
	r->outcome = (struct client_outcome){.result = RC_OK,
	    .smtp = s->reply.code,
	    .text = arena_dup(s->arena, slice_tainted(s->reply.text, s->reply.len))};
	memcpy(r->outcome.enhanced, s->reply.enhanced, sizeof r->outcome.enhanced);
}

/* One answer for each recipient that was taken; those that are refused are good no more. */
static enum rc final_each(const struct transaction *t, bool are_final)
{
	struct client_session *s = t->s;

	for (size_t i = 0; i < t->n; i++) {
		struct client_recipient *r = &t->r[i];
		if (!r->chosen || !r->good)
			continue;
		enum io io = reply_read(s, s->t.final_ms);
		if (io != IO_OK)
			return outcome_io(s, t->why, io, HEDDLE_X_MESSAGE, false, "end of data");
		if (s->reply.code == 421)
			return outcome_reply(s, t->why, HEDDLE_X_HOST, false, "end of data");
		if (s->reply.code / 100 == 2) {
			if (are_final)
				delivered(t, r);
			continue;
		}
		r->good = false;
		r->has_outcome = true;
		(void)outcome_reply(s, &r->outcome, HEDDLE_X_RECIPIENT, false, "end of data");
	}
	return RC_OK;
}

static enum rc final(struct transaction *t)
{
	struct client_session *s = t->s;

	s->conn->messages++;
	if (s->t.lmtp)
		return final_each(t, true);
	enum io io = reply_read(s, s->t.final_ms);
	if (io == IO_OK && t->prdr && s->reply.code == 353) {
		enum rc rc = final_each(t, false);
		if (rc != RC_OK)
			return rc;
		io = reply_read(s, s->t.final_ms);
	} else {
		s->used &= ~(uint32_t)CLIENT_USED_PRDR; /* it did not want to */
	}
	if (io != IO_OK)
		return outcome_io(s, t->why, io, HEDDLE_X_MESSAGE, false, "end of data");
	if (s->reply.code / 100 != 2)
		return outcome_reply(s, t->why, HEDDLE_X_MESSAGE, false, "end of data");
	for (size_t i = 0; i < t->n; i++)
		if (t->r[i].chosen && t->r[i].good)
			delivered(t, &t->r[i]);
	return RC_OK;
}

/* ---- the phases
 * ----------------------------------------------------------------------------------------- */

/* The server took DATA though it has no recipients: an empty message, whose answer means nothing.
 */
static void end_empty_data(const struct transaction *t)
{
	struct client_session *s = t->s;

	if (s->reply.code / 100 == 3 && session_command(s, ".", s->t.final_ms) != IO_OK)
		s->conn->broken = true;
}

void data_drain(struct transaction *t)
{
	struct client_session *s = t->s;
	size_t left = !t->chunking || t->sent; /* DATA, BDAT */

	s->conn->needs_rset = true;
	if (!t->pipelined || s->conn->broken)
		return;
	if (t->sent) { /* whether it took the bytes for commands nobody can know */
		s->conn->broken = true;
		return;
	}
	struct client_outcome mine = *t->why;
	for (size_t i = 0; i < t->n; i++)
		left += t->r[i].chosen;
	while (left-- && !s->conn->broken)
		if (reply_read(s, s->t.command_ms) != IO_OK)
			s->conn->broken = true;
	if (!s->conn->broken && !t->chunking)
		end_empty_data(t);
	*t->why = mine;
}

/* DATA and its answer.  Without good recipients it was sent only where it had to be. */
static enum rc ask_for_data(const struct transaction *t)
{
	struct client_session *s = t->s;
	bool wanted = t->good > 0;

	if (!wanted && !t->pipelined) {
		s->conn->needs_rset = true;
		return RC_OK;
	}
	enum io io = t->pipelined ? reply_read(s, s->t.command_ms)
	                          : session_command(s, "DATA", s->t.command_ms);
	if (!wanted) {
		s->conn->needs_rset = true;
		if (io == IO_OK)
			end_empty_data(t);
		return RC_OK;
	}
	if (io != IO_OK)
		return outcome_io(s, t->why, io, HEDDLE_X_HOST, t->pipelined, "DATA");
	if (s->reply.code / 100 == 3)
		return RC_OK;
	s->conn->needs_rset = true;
	return outcome_reply(s, t->why, HEDDLE_X_MESSAGE, t->pipelined, "DATA");
}

static enum rc by_bdat(struct transaction *t)
{
	struct client_session *s = t->s;
	enum rc rc = RC_OK;

	if (t->good == 0) {
		s->conn->needs_rset = true;
		/* the message is there already; should the server like it, there is nobody that it
		 * is for */
		if (t->sent && reply_read(s, s->t.final_ms) != IO_OK)
			s->conn->broken = true;
		return RC_OK;
	}
	if (!t->sent)
		rc = send_chunks(t);
	rc = rc == RC_OK ? final(t) : rc;
	if (rc != RC_OK)
		s->conn->needs_rset =
		    true; /* RFC 3030, 2: after a failure nothing but RSET makes sense */
	return rc;
}

enum rc data_phase(struct transaction *t)
{
	if (t->chunking)
		return by_bdat(t);
	enum rc rc = ask_for_data(t);

	if (rc != RC_OK || t->good == 0)
		return rc;
	rc = send_dotted(t);
	return rc == RC_OK ? final(t) : rc;
}
