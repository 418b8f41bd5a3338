/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * BDAT: a message in chunks whose lengths the client says.  Source: RFC 3030.
 *
 * Whatever is wrong with a chunk, its bytes are taken off the input, kept or not, and never looked
 * at as commands; where that cannot be (no length that can be read, none announced, more than a
 * bound) the connection ends.  A chunk that fails ends the transaction.  Another command than BDAT,
 * NOOP, RSET or QUIT in a series spoils it: then only RSET helps.
 */
#include "smtp/server_private.h"

#define PASS_OVER_MIN                                                              \
	((uint64_t)64 << 20) /* bytes of a refused chunk that are read in any case \
	                      */

/* "1234" or "1234 LAST"; the size has at most 18 digits, so that sums do not overflow. */
static bool parse_size(slice_t arg, uint64_t *size, bool *last)
{
	size_t sp = slice_find(arg, ' ');
	slice_t digits = slice_sub(arg, 0, sp == SIZE_MAX ? arg.len : sp);
	slice_t word = sp == SIZE_MAX ? SL("") : slice_trim(slice_sub(arg, sp, arg.len));
	uint64_t n = 0;
	if (!digits.len || digits.len > 18)
		return false;
	for (uint32_t i = 0; i < digits.len; i++) {
		if (!ascii_isdigit(digits.ptr[i]))
			return false;
		n = n * 10 + (uint64_t)(digits.ptr[i] - '0');
	}
	*last = slice_eqis(word, "LAST");
	*size = n;
	return *last || !word.len;
}

static uint64_t pass_over_max(const struct session *s)
{
	uint64_t limit = s->size_limit > 0 ? (uint64_t)s->size_limit * 2 : 0;
	return limit > PASS_OVER_MIN ? limit : PASS_OVER_MIN;
}

/* May its bytes be kept?  false: answered. */
static bool acceptable(struct run *r, uint64_t size, bool last)
{
	struct session *s = r->s;
	if (!size && !last && s->chunked) { /* as in Exim, where a series may begin with nothing */
		synprot_error(r, true, 504, SL("zero size for BDAT command"));
		s->chunk_spoilt = true;
		return false;
	}
	if (s->chunk_spoilt) {
		synprot_error(r, true, 503, SL("only RSET accepted now"));
		return false;
	}
	return s->chunked || data_allowed(r, "BDAT");
}

void serve_bdat(struct run *r)
{
	struct session *s = r->s;
	uint64_t size;
	bool last;
	if (!s->chunking_advertised) {
		synprot_error(r, true, 503, SL("BDAT command used when CHUNKING not advertised"));
		session_close(r, "bad-commands");
		return;
	}
	if (!parse_size(r->arg, &size, &last)) {
		synprot_error(r, true, 501,
		    r->arg.len ? SL("invalid size for BDAT command")
		               : SL("missing size for BDAT command"));
		session_close(r, "bad-commands");
		return;
	}
	s->chunk_refused = !acceptable(r, size, last);
	if (s->state == ST_CLOSING)
		return;
	if (size > pass_over_max(s)) { /* no message may have it, and nobody waits for its end */
		if (!s->chunk_refused)
			reply(r, 552, SL("Message size exceeds maximum permitted"));
		log_line(r, LOG_TO_MAIN | LOG_TO_REJECT,
		    "SMTP call from %.*s dropped: BDAT chunk of %llu bytes",
		    SL_ARG(host_for_text(r)), (unsigned long long)size);
		session_close(r, "bad-commands");
		return;
	}
	if (!s->chunk_refused && !s->chunked) {
		data_begin(s);
		data_heed_from_line(r);
		data_reader_set_chunked(s->reader);
		s->chunked = true;
	}
	s->chunk_left = s->chunk_size = size;
	s->chunk_last = last;
	s->state = ST_BDAT;
}

static enum step chunk_end(struct run *r)
{
	struct session *s = r->s;
	s->state = ST_COMMAND;
	s->deadline_us = 0;
	if (!s->pipelining_advertised) {
		r->line = SL("BDAT");
		if (sync_violated(r))
			return STEP_AGAIN;
	}
	if (s->chunk_refused)
		return STEP_AGAIN;
	s->chunk_total += s->chunk_size;
	if (s->reader->fault)
		return data_faulty(r);
	if (s->chunk_last) {
		data_reader_finish(s->reader);
		return data_end(r);
	}
	if (s->body->failed)
		return data_end(r); /* which says why, and forgets it */
	replyf(r, 250, "%llu byte chunk received", (unsigned long long)s->chunk_size);
	return STEP_AGAIN;
}

enum step serve_chunk(struct run *r)
{
	struct session *s = r->s;
	slice_t in = run_pending(r);
	size_t n = s->chunk_left < in.len ? (size_t)s->chunk_left : in.len;
	size_t used;
	bool end;
	if (n && !s->chunk_refused && !data_feed(r, slice_sub(in, 0, n), &used, &end))
		return STEP_WAIT;
	r->in_at += n;
	s->chunk_left -= n;
	return s->chunk_left ? STEP_INPUT : chunk_end(r);
}

bool chunks_forbid(struct run *r)
{
	struct session *s = r->s;
	if (!s->chunked || r->command == CMD_BDAT || r->command == CMD_RSET ||
	    r->command == CMD_QUIT)
		return false;
	if (s->chunk_spoilt) {
		synprot_error(r, true, 503, SL("only RSET accepted now"));
		return true;
	}
	if (r->command == CMD_NOOP)
		return false;
	s->chunk_spoilt = true;
	synprot_error(r, true, 503, SL("only BDAT permissible after non-LAST BDAT"));
	return true;
}
