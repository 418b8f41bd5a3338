/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What one process of ours believes of another: a frame between kernel and agent (first byte even),
 * and, through a socket as it comes, a message between master and kernel with a bundle of
 * configuration files behind it (odd).
 */
#include "agent/link.h"
#include "agent/wire.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_frame(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct wire_frame f;
	char text[32];

	if (wire_parse(a, data, size, NULL, 0, &f) == 1) {
		MUST(f.head.version == WIRE_VERSION && f.fd == -1);
		/* fields in an order that the bytes choose */
		for (unsigned i = 0; i < 64 && !f.in.bad && f.in.left; i++) {
			size_t before = f.in.left;
			switch (f.in.p[0] & 3) {
			case 0:
				MUST(wire_get_uint(&f.in, 1000) <= 1000);
				break;
			case 1: {
				int64_t n = wire_get_int(&f.in, -5, 5);
				MUST(n >= -5 && n <= 5);
				break;
			}
			case 2: {
				slice_t s = wire_get_slice(&f.in);
				MUST(s.len <= before);
				MUST(s.len == 0 || slice_rfind(s, s.ptr[s.len - 1]) == s.len - 1);
				break;
			}
			default:
				wire_get_chars(&f.in, text, sizeof text);
				MUST(strnlen(text, sizeof text) < sizeof text);
				break;
			}
			MUST(f.in.left < before || f.in.bad);
		}
	}
	arena_free(&a);
}

static void as_link(const uint8_t *data, size_t size)
{
	struct link_message m;
	int pair[2], fd;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	size_t first = size < sizeof m ? size : sizeof m;
	if (first && send(pair[0], data, first, 0) == (ssize_t)first &&
	    link_receive(pair[1], &m, &fd) == 1) {
		MUST(m.type > 0 && m.type < LINK_TYPES && fd == -1);
		for (unsigned i = 0; i < 4; i++)
			MUST(link_get_text(&m, i).len <= LINK_TEXT);
	}
	close(pair[0]);
	close(pair[1]);
	slice_t bundle = slice_tainted(data + first, size - first), content;
	if (link_bundle_find(bundle, SL("/etc/heddle/heddle.conf"), &content))
		MUST(content.ptr >= bundle.ptr &&
		     content.ptr + content.len <= bundle.ptr + bundle.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > (1U << 17))
		return 0;
	if (data[0] & 1)
		as_link(data + 1, size - 1);
	else
		as_frame(data + 1, size - 1);
	return 0;
}
