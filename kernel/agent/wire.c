/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/wire.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* ---- fields
 * ------------------------------------------------------------------------------------------- */

void wire_out_init(struct wire_out *o, struct arena *a)
{
	*o = (struct wire_out){.bad = false};
	strbuf_init(&o->sb, a, WIRE_MAX);
}

void wire_put_u64(struct wire_out *o, uint64_t v)
{
	strbuf_add(&o->sb, slice_of(&v, sizeof v, 0));
}

void wire_put_slice(struct wire_out *o, slice_t s)
{
	struct {
		uint32_t len;
		uint16_t flags, quoter;
	} head = {s.len, s.flags, s.quoter};
	if (s.len == UINT32_MAX || (!s.ptr && s.len)) {
		o->bad = true;
		return;
	}
	strbuf_add(&o->sb, slice_of(&head, sizeof head, 0));
	strbuf_add(&o->sb, slice_of(s.ptr, s.len, 0));
}

void wire_put_chars(struct wire_out *o, const char *text, size_t cap)
{
	wire_put_slice(o, slice_of(text, strnlen(text, cap), 0));
}

static const char *take(struct wire_in *in, size_t n)
{
	if (in->bad || n > in->left) {
		in->bad = true;
		return NULL;
	}
	const char *p = in->p;
	in->p += n;
	in->left -= n;
	return p;
}

static uint64_t get_u64(struct wire_in *in)
{
	uint64_t v = 0;
	const char *p = take(in, sizeof v);
	if (p)
		memcpy(&v, p, sizeof v);
	return v;
}

uint64_t wire_get_uint(struct wire_in *in, uint64_t max)
{
	uint64_t v = get_u64(in);
	if (v > max) {
		in->bad = true;
		return 0;
	}
	return v;
}

int64_t wire_get_int(struct wire_in *in, int64_t min, int64_t max)
{
	int64_t v = (int64_t)get_u64(in);
	if (v < min || v > max) {
		in->bad = true;
		return 0;
	}
	return v;
}

slice_t wire_get_slice(struct wire_in *in)
{
	struct {
		uint32_t len;
		uint16_t flags, quoter;
	} head;
	const uint16_t known = HEDDLE_CLEAN | HEDDLE_SECRET | HEDDLE_ABSENT;
	const char *p = take(in, sizeof head);
	if (!p)
		return slice_tainted(NULL, 0);
	memcpy(&head, p, sizeof head);
	p = take(in, head.len);
	if (!p || (head.flags & ~known) || ((head.flags & HEDDLE_ABSENT) && head.len)) {
		in->bad = true;
		return slice_tainted(NULL, 0);
	}
	return (slice_t){head.flags & HEDDLE_ABSENT ? NULL : p, head.len, head.flags, head.quoter};
}

void wire_get_chars(struct wire_in *in, char *text, size_t cap)
{
	slice_t s = wire_get_slice(in);
	if (s.len >= cap || (s.len && memchr(s.ptr, '\0', s.len))) {
		in->bad = true;
		s.len = 0;
	}
	memset(text, 0, cap);
	if (s.len)
		memcpy(text, s.ptr, s.len);
}

bool wire_take_struct(void *ours, size_t size, const void *theirs)
{
	uint32_t theirs_size = 0, full = (uint32_t)size;
	if (!theirs)
		return false;
	memcpy(&theirs_size, theirs, sizeof theirs_size);
	if (theirs_size < sizeof theirs_size)
		return false;
	memcpy(ours, theirs, theirs_size < size ? theirs_size : size);
	memcpy(ours, &full, sizeof full);
	return true;
}

void wire_give_struct(void *theirs, const void *ours, size_t size)
{
	uint32_t theirs_size = 0;
	memcpy(&theirs_size, theirs, sizeof theirs_size);
	size_t n = theirs_size < size ? theirs_size : size;
	if (n > sizeof theirs_size)
		memcpy((char *)theirs + sizeof theirs_size, (const char *)ours + sizeof theirs_size,
		    n - sizeof theirs_size);
}

/* ---- frames
 * ------------------------------------------------------------------------------------------- */

int wire_send(int sock, struct wire_head head, const struct wire_out *o, int fd)
{
	slice_t payload = strbuf_slice(&o->sb);
	NOT_CLEARED char buf[sizeof head + WIRE_INLINE];
	int fds[2];
	size_t n_fds = 0, n = sizeof head;
	int memfd = -1;

	if (o->bad || strbuf_is_overfull(&o->sb)) {
		errno = EMSGSIZE;
		return -1;
	}
	head.version = WIRE_VERSION;
	head.length = payload.len;
	head.is_memfd = payload.len > WIRE_INLINE;
	head.fds = fd >= 0;
	if (head.is_memfd) {
		memfd = io_sealed_memfd("heddle-frame", payload);
		if (memfd < 0)
			return -1;
		fds[n_fds++] = memfd;
	} else if (payload.len) {
		memcpy(buf + n, payload.ptr, payload.len);
		n += payload.len;
	}
	if (fd >= 0)
		fds[n_fds++] = fd;
	memcpy(buf, &head, sizeof head);
	ssize_t sent = io_send_fds(sock, buf, n, fds, n_fds);
	int saved = errno;
	if (memfd >= 0)
		(void)close(memfd);
	errno = saved;
	return sent == (ssize_t)n ? 0 : -1;
}

static bool is_ours(const struct wire_head *h, size_t payload, size_t n_fds)
{
	return h->version == WIRE_VERSION && h->type >= WIRE_OP && h->type < WIRE_TYPES &&
	       h->is_memfd <= 1 && h->fds <= 1 && n_fds == h->is_memfd + h->fds &&
	       h->length <= WIRE_MAX &&
	       (h->is_memfd ? payload == 0 && h->length > WIRE_INLINE : payload == h->length);
}

/* A memfd that nobody can change or shorten any more: reading it neither blocks nor surprises. */
static bool read_memfd(struct arena *a, int fd, size_t length, struct wire_in *in)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) != 0 ||
	    st.st_size != (off_t)length)
		return false;
	char *p = arena_bytes(a, length);
	in->p = p;
	in->left = length;
	return io_pread_full(fd, p, length, 0) == (ssize_t)length;
}

int wire_parse(
    struct arena *a, const void *bytes, size_t n, int *fds, size_t n_fds, struct wire_frame *out)
{
	struct wire_frame f = {.fd = -1};
	bool ok = n >= sizeof f.head;
	if (ok) {
		memcpy(&f.head, bytes, sizeof f.head);
		ok = is_ours(&f.head, n - sizeof f.head, n_fds);
	}
	if (ok && f.head.is_memfd) {
		ok = read_memfd(a, fds[0], f.head.length, &f.in);
	} else if (ok) {
		char *p = arena_bytes(a, f.head.length);
		if (f.head.length)
			memcpy(p, (const char *)bytes + sizeof f.head, f.head.length);
		f.in = (struct wire_in){p, f.head.length, false};
	}
	for (size_t i = 0; i < n_fds; i++) {
		if (ok && f.head.fds && i == n_fds - 1)
			f.fd = fds[i];
		else
			(void)close(fds[i]);
	}
	if (!ok) {
		errno = EPROTO;
		return -1;
	}
	*out = f;
	return 1;
}

int wire_receive(int sock, struct arena *a, struct wire_frame *out)
{
	NOT_CLEARED char buf[sizeof(struct wire_head) + WIRE_INLINE];
	int fds[IO_MAX_FDS];
	size_t n_fds = IO_MAX_FDS;
	ssize_t n = io_recv_fds(sock, buf, sizeof buf, fds, &n_fds);
	if (n <= 0) {
		if (n < 0 && errno == EMSGSIZE)
			errno = EPROTO;
		return n == 0 || errno == ECONNRESET ? 0 : -1;
	}
	return wire_parse(a, buf, (size_t)n, fds, n_fds, out);
}
