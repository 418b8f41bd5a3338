/* SPDX-License-Identifier: GPL-3.0-or-later */
/* agent/wire: what is put in comes out, and what is no frame of ours is refused with its
 * descriptors closed. */
#include "agent/wire.h"
#include "base/io.h"
#include "lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(fields_come_out_as_they_went_in)
{
	struct arena *a = arena_new(0);
	struct wire_out o;
	char chars[6] = "x";
	wire_out_init(&o, a);
	wire_put_u64(&o, UINT64_MAX);
	wire_put_u64(&o, (uint64_t)-5);
	wire_put_slice(&o, slice_of("a\0b", 3, HEDDLE_CLEAN | HEDDLE_SECRET));
	wire_put_slice(&o, slice_absent());
	wire_put_chars(&o, "5.1.1", 12);
	CHECK(!o.bad);
	slice_t all = strbuf_slice(&o.sb);
	struct wire_in in = {all.ptr, all.len, false};
	CHECK(wire_get_uint(&in, UINT64_MAX) == UINT64_MAX);
	CHECK_EQ_INT(wire_get_int(&in, INT32_MIN, INT32_MAX), -5);
	slice_t s = wire_get_slice(&in);
	CHECK(s.len == 3 && memcmp(s.ptr, "a\0b", 3) == 0 &&
	      s.flags == (HEDDLE_CLEAN | HEDDLE_SECRET));
	s = wire_get_slice(&in);
	CHECK(slice_is_absent(s) && !s.ptr);
	wire_get_chars(&in, chars, sizeof chars);
	CHECK_EQ_STR(slice_cstr(chars), "5.1.1");
	CHECK(wire_is_done(&in));
	CHECK(wire_get_uint(&in, 5) == 0 && in.bad);
	wire_put_slice(&o, (slice_t){NULL, 4, 0, 0});
	CHECK(o.bad);
	arena_free(&a);
}

TEST(fields_out_of_range_are_bad)
{
	static const struct {
		uint32_t len;
		uint16_t flags, quoter;
		char text[8];
	} absent_with_text = {1, HEDDLE_ABSENT, 0, "x"}, unknown_flag = {1, 64, 0, "x"},
	  too_long = {9, 0, 0, "x"}, chars = {6, 0, 0, "abcdef"};
	const void *slices[] = {&absent_with_text, &unknown_flag, &too_long};
	char out[6];
	int64_t number = 70000;
	for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
		struct wire_in in = {slices[i], 16, false};
		(void)wire_get_slice(&in);
		CHECK(in.bad);
	}
	struct wire_in in = {(const char *)&chars, sizeof chars, false};
	wire_get_chars(&in, out, sizeof out); /* no room for the NUL */
	CHECK(in.bad);
	in = (struct wire_in){(const char *)&number, sizeof number, false};
	CHECK_EQ_INT(wire_get_uint(&in, UINT16_MAX), 0);
	CHECK(in.bad);
}

TEST(structs_of_other_sizes_are_cut_and_filled)
{
	struct older {
		uint32_t struct_size, a;
	} small = {sizeof small, 7};
	struct newer {
		uint32_t struct_size, a, b;
	} full = {0, 1, 2}, back = {sizeof back, 8, 9};
	CHECK(wire_take_struct(&full, sizeof full, &small));
	CHECK(full.struct_size == sizeof full && full.a == 7 && full.b == 2);
	wire_give_struct(&small, &back, sizeof back);
	CHECK(small.struct_size == sizeof small && small.a == 8);
	small.struct_size = 3;
	CHECK(!wire_take_struct(&full, sizeof full, &small));
	CHECK(!wire_take_struct(&full, sizeof full, NULL));
}

TEST(frames_cross_a_socket_small_and_large)
{
	static const size_t sizes[] = {0, 1, WIRE_INLINE, WIRE_INLINE + 1, (size_t)3 << 20};
	struct arena *a = arena_new(0);
	int pair[2];
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct wire_out o;
		struct wire_frame f;
		char *p = arena_bytes(a, sizes[i] + 1);
		memset(p, 'q', sizes[i]);
		wire_out_init(&o, a);
		strbuf_add(&o.sb, slice_tainted(p, sizes[i]));
		const struct wire_head head = {.type = WIRE_SERVICE, .fn = 3, .serial = 9};
		CHECK_EQ_INT(wire_send(pair[0], head, &o, i == 2 ? pair[0] : -1), 0);
		CHECK_EQ_INT(wire_receive(pair[1], a, &f), 1);
		CHECK(
		    f.in.left == sizes[i] && (f.in.left == 0 || memcmp(f.in.p, p, sizes[i]) == 0));
		CHECK(f.head.type == WIRE_SERVICE && f.head.fn == 3 && f.head.serial == 9);
		CHECK((f.fd >= 0) == (i == 2));
		if (f.fd >= 0)
			close(f.fd);
	}
	close(pair[0]);
	CHECK_EQ_INT(wire_receive(pair[1], a, &(struct wire_frame){.fd = -1}), 0);
	close(pair[1]);
	arena_free(&a);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int unsealed(size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	MUST(fd >= 0 && ftruncate(fd, (off_t)n) == 0);
	return fd;
}

TEST(what_is_no_frame_of_ours_is_refused)
{
	const uint32_t large = (uint32_t)WIRE_INLINE + 1;
	const struct wire_head good = {.version = WIRE_VERSION, .type = WIRE_OP};
	struct arena *a = arena_new(0);
	struct wire_frame f;
	struct {
		struct wire_head head;
		int fds[2];
		size_t n_fds, bytes;
	} cases[9];
	for (size_t i = 0; i < 9; i++) {
		cases[i].head = good;
		cases[i].n_fds = 0;
		cases[i].bytes = sizeof good;
	}
	cases[0].bytes = sizeof good - 1;
	cases[1].head.version++;
	cases[2].head.type = WIRE_TYPES;
	cases[3].head.length = 1;
	cases[4].head.fds = 1; /* none came */
	cases[5].fds[0] = unsealed(1);
	cases[5].n_fds = 1; /* none announced */
	for (size_t i = 6; i < 9; i++) {
		cases[i].head.is_memfd = 1;
		cases[i].head.length = large;
		cases[i].n_fds = 1;
	}
	cases[6].fds[0] = unsealed(large); /* could shrink under its reader */
	cases[7].fds[0] = io_sealed_memfd("short", SL("short"));
	cases[8].fds[0] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < 9; i++) {
		errno = 0;
		CHECK_EQ_INT(
		    wire_parse(a, &cases[i].head, cases[i].bytes, cases[i].fds, cases[i].n_fds, &f),
		    -1);
		CHECK_EQ_INT(errno, EPROTO);
		CHECK(cases[i].n_fds == 0 || !is_open(cases[i].fds[0]));
	}
	CHECK_EQ_INT(wire_parse(a, &good, sizeof good, NULL, 0, &f), 1);
	arena_free(&a);
}

TAP_MAIN()
