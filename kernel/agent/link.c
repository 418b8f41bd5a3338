/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/link.h"

#include "base/io.h"
#include "base/strbuf.h"

#include <errno.h>
#include <unistd.h>

bool link_set_text(struct link_message *m, unsigned i, slice_t s)
{
	if (s.len > LINK_TEXT)
		return false;
	m->text[i].len = s.len;
	if (s.len)
		memcpy(m->text[i].bytes, s.ptr, s.len);
	return true;
}

void link_put_text(struct link_message *m, unsigned i, slice_t s)
{
	MUST(link_set_text(m, i, slice_sub(s, 0, LINK_TEXT)));
}

slice_t link_get_text(const struct link_message *m, unsigned i)
{
	return slice_tainted(m->text[i].bytes, m->text[i].len);
}

int link_send(int sock, const struct link_message *m, int fd)
{
	struct link_message copy = *m;

	copy.version = LINK_VERSION;
	return io_send_fds(sock, &copy, sizeof copy, &fd, fd >= 0 ? 1 : 0) == (ssize_t)sizeof copy
	           ? 0
	           : -1;
}

static bool is_well_formed(const struct link_message *m)
{
	if (m->version != LINK_VERSION || m->type == 0 || m->type >= LINK_TYPES)
		return false;
	for (unsigned i = 0; i < sizeof m->text / sizeof *m->text; i++)
		if (m->text[i].len > LINK_TEXT)
			return false;
	return true;
}

int link_receive(int sock, struct link_message *out, int *out_fd)
{
	int fds[IO_MAX_FDS];
	size_t n_fds = IO_MAX_FDS;
	ssize_t n = io_recv_fds(sock, out, sizeof *out, fds, &n_fds);

	*out_fd = -1;
	if (n <= 0)
		return n == 0 ? 0 : -1;
	if (n != (ssize_t)sizeof *out || n_fds > 1 || !is_well_formed(out)) {
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]);
		errno = EPROTO;
		return -1;
	}
	if (n_fds == 1)
		*out_fd = fds[0];
	return 1;
}

void link_bundle_add(struct strbuf *sb, const char *path, slice_t content)
{
	strbuf_printf(sb, "%s %u\n", path, content.len);
	strbuf_add(sb, content);
	strbuf_char(sb, '\n');
}

bool link_bundle_find(slice_t bundle, slice_t path, slice_t *out_content)
{
	while (bundle.len) {
		size_t nl = slice_find(bundle, '\n');
		if (nl == SIZE_MAX)
			return false;
		slice_t head = slice_sub(bundle, 0, nl);
		size_t space = slice_rfind(head, ' ');
		int64_t len;
		if (space == SIZE_MAX ||
		    !slice_to_i64(slice_sub(head, space + 1, head.len), 10, false, &len))
			return false;
		slice_t rest = slice_sub(bundle, nl + 1, bundle.len);
		if (len < 0 || (uint64_t)len + 1 > rest.len)
			return false;
		if (slice_eq(slice_sub(head, 0, space), path)) {
			*out_content = slice_sub(rest, 0, (size_t)len);
			return true;
		}
		bundle = slice_sub(rest, (size_t)len + 1, rest.len);
	}
	return false;
}
