/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tap.h"
#include "message/body.h"

#include <stdlib.h>

/* A file that is memory. */
struct file {
	char *bytes;
	size_t len;
	int begun, finished, aborted, fail_after;
};
static enum rc f_begin(void *ctx, const char *id, void **out, struct error *err)
{
	struct file *f = ctx;
	(void)id;
	f->begun++;
	if (f->fail_after < 0)
		return error_set(err, RC_DEFER, "no space");
	*out = f;
	return RC_OK;
}
static enum rc f_write(void *file, const struct iovec *iov, size_t n, struct error *err)
{
	struct file *f = file;
	for (size_t i = 0; i < n; i++) {
		if (f->fail_after && f->len + iov[i].iov_len > (size_t)f->fail_after)
			return error_set(err, RC_DEFER, "disk full");
		f->bytes = realloc(f->bytes, f->len + iov[i].iov_len + 1);
		memcpy(f->bytes + f->len, iov[i].iov_base, iov[i].iov_len);
		f->len += iov[i].iov_len;
	}
	return RC_OK;
}
static enum rc f_finish(void **file, uint32_t *crc, struct error *err)
{
	struct file *f = *file;
	(void)err;
	*file = NULL;
	*crc = 42;
	f->finished++;
	return RC_OK;
}
static void f_abort(void **file)
{
	struct file *f = *file;
	*file = NULL;
	f->aborted++;
}
static const struct body_spill spill = {f_begin, f_write, f_finish, f_abort};

static void fill(struct body_builder *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = (char)('a' + i % 26);
		body_builder_add(b, &c, 1);
	}
}

/* Every write to the file was foreseen, and not each piece was taken for one. */
TEST(says_before_when_it_may_write)
{
	static const struct {
		size_t threshold, limit;
	} cases[] = {{50000, 1 << 20}, {1000000, 40000}};
	static const char piece[700];
	for (size_t k = 0; k < 2; k++) {
		struct body_budget budget = {.limit = (int64_t)cases[k].limit};
		struct file f = {0};
		struct body_builder b;
		int foreseen = 0, unforeseen = 0;
		body_builder_init(&b, &budget, &spill, &f, cases[k].threshold, "id");
		for (int i = 0; i < 500; i++) {
			size_t before = f.len;
			int begun = f.begun;
			bool may = body_builder_may_write(&b, sizeof piece);
			body_builder_add(&b, piece, sizeof piece);
			foreseen += may;
			unforeseen += !may && (f.len != before || f.begun != begun);
		}
		CHECK_EQ_INT(f.begun, 1);
		CHECK_EQ_INT(unforeseen, 0);
		CHECK(foreseen > 10 && foreseen < 100);
		body_builder_drop(&b);
		free(f.bytes);
	}
}

TEST(small_stays_in_memory)
{
	struct body_budget budget = {.limit = 1 << 20};
	struct file f = {0};
	struct body_builder b;
	struct message *m = message_new();
	body_builder_init(&b, &budget, &spill, &f, 100000, "id");
	fill(&b, 20000);
	CHECK(!body_builder_blocks(&b));
	CHECK_EQ_INT(body_builder_finish(&b, m, NULL), RC_OK);
	CHECK_EQ_INT(m->body.bytes, 20000);
	CHECK_EQ_INT(m->body.chunk_count, 3);
	CHECK(atomic_load(&budget.used) >= 20000);
	body_builder_drop(&b);
	CHECK_EQ_INT(m->body.chunks[0].ptr[27], 'b');
	message_unref(&m);
	CHECK_EQ_INT(atomic_load(&budget.used), 0);
	CHECK_EQ_INT(f.begun, 0);
}

TEST(large_goes_to_a_file)
{
	struct body_budget budget = {.limit = 1 << 20};
	struct file f = {0};
	struct body_builder b;
	struct message *m = message_new();
	body_builder_init(&b, &budget, &spill, &f, 50000, "id");
	fill(&b, 200001);
	CHECK(body_builder_blocks(&b));
	CHECK(atomic_load(&budget.used) < 20000);
	CHECK_EQ_INT(body_builder_finish(&b, m, NULL), RC_OK);
	CHECK(m->body.in_file);
	CHECK_EQ_INT(m->body.crc, 42);
	CHECK_EQ_INT(f.len, 200001);
	bool same = true;
	for (size_t i = 0; i < f.len; i++)
		same = same && f.bytes[i] == (char)('a' + i % 26);
	CHECK(same);
	CHECK_EQ_INT(atomic_load(&budget.used), 0);
	CHECK_EQ_INT(f.finished, 1);
	message_unref(&m);
	free(f.bytes);
}

TEST(spills_when_the_budget_is_used_up)
{
	struct body_budget budget = {.limit = 40000};
	struct file f = {0};
	struct body_builder b;
	body_builder_init(&b, &budget, &spill, &f, 1000000, "id");
	fill(&b, 100000);
	CHECK(body_builder_blocks(&b));
	CHECK_EQ_INT(b.failed, RC_OK);
	body_builder_drop(&b);
	CHECK_EQ_INT(f.aborted, 1);
	CHECK_EQ_INT(atomic_load(&budget.used), 0);
	free(f.bytes);
}

TEST(large_ones_leave_room_for_small_ones)
{
	struct body_budget budget = {.limit = 20 * BODY_CHUNK};
	struct file f = {0}, g = {0};
	struct body_builder large[3], small[5];
	for (int i = 0; i < 3; i++) {
		body_builder_init(&large[i], &budget, &spill, &f, 1000000, "large");
		fill(&large[i], 30 * BODY_CHUNK);
	}
	for (int i = 0; i < 5; i++) {
		body_builder_init(&small[i], &budget, &spill, &g, 1000000, "small");
		fill(&small[i], 1000);
		CHECK_EQ_INT(small[i].failed, RC_OK);
	}
	CHECK_EQ_INT(g.begun, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ_INT(large[i].failed, RC_OK);
		body_builder_drop(&large[i]);
	}
	for (int i = 0; i < 5; i++)
		body_builder_drop(&small[i]);
	CHECK_EQ_INT(atomic_load(&budget.used), 0);
	free(f.bytes);
}

TEST(full_disk_is_told_at_the_end)
{
	struct body_budget budget = {.limit = 1 << 20};
	struct file f = {.fail_after = 60000};
	struct body_builder b;
	struct message *m = message_new();
	struct error err = {0};
	body_builder_init(&b, &budget, &spill, &f, 50000, "id");
	fill(&b, 200000);
	CHECK_EQ_INT(b.bytes, 200000);
	CHECK_EQ_INT(body_builder_finish(&b, m, &err), RC_DEFER);
	CHECK_EQ_STR(slice_cstr(err.text), "disk full");
	CHECK_EQ_INT(f.aborted, 1);
	CHECK_EQ_INT(atomic_load(&budget.used), 0);
	message_unref(&m);
	free(f.bytes);
}

TEST(no_memory_at_all)
{
	struct body_budget budget = {.limit = 10};
	struct file f = {0};
	struct body_builder b;
	body_builder_init(&b, &budget, &spill, &f, 50000, "id");
	fill(&b, 10);
	CHECK_EQ_INT(b.failed, RC_DEFER);
	CHECK_EQ_INT(f.aborted, f.begun);
	body_builder_drop(&b);
}

TEST(visible_parts)
{
	struct body_budget budget = {.limit = 1 << 20};
	struct body_builder b;
	struct arena *a = arena_new(0);
	body_builder_init(&b, &budget, NULL, NULL, 50000, "id");
	body_builder_add(&b, "one\ntwo\n", 8);
	CHECK_EQ_STR(body_builder_start(a, &b, 5), "one t");
	CHECK_EQ_STR(body_builder_end(a, &b, 5), " two ");
	CHECK_EQ_STR(body_builder_start(a, &b, 500), "one two ");
	body_builder_drop(&b);
	arena_free(&a);
}

static void dots(const char *in, const char *want, size_t cap, size_t step)
{
	struct dot_writer w;
	char out[256];
	size_t n = 0, at = 0, len = strlen(in);
	dot_writer_init(&w);
	while (at < len) {
		size_t used, k = len - at < step ? len - at : step;
		n += dot_writer_put(&w, slice_tainted(in + at, k), &used, out + n, cap);
		at += used;
	}
	CHECK_EQ_STR(slice_tainted(out, n), want);
}

TEST(dot_stuffing)
{
	for (size_t cap = 4; cap < 40; cap += 7)
		for (size_t step = 1; step < 20; step += 3) {
			dots("a\n.b\n..\nc", "a\r\n..b\r\n...\r\nc", cap, step);
			dots(".\n", "..\r\n", cap, step);
			dots("\n\n.\n", "\r\n\r\n..\r\n", cap, step);
		}
}

TAP_MAIN()
