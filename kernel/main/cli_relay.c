/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "main/cli_relay.h"

#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 16384

struct relay {
	int sock;
	bool after_cr; /* the last byte that went up was CR */
	bool stdin_open;
};

/* What was typed, with CRLF at the end of each line.  false: the other side is gone. */
static bool up(struct relay *r)
{
	char in[PIECE], out[2 * PIECE];
	size_t n_out = 0;
	ssize_t n = read(STDIN_FILENO, in, sizeof in);

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		r->stdin_open = false;
		(void)shutdown(r->sock, SHUT_WR);
		return true;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (in[i] == '\n' && !r->after_cr)
			out[n_out++] = '\r';
		out[n_out++] = in[i];
		r->after_cr = in[i] == '\r';
	}
	return io_write_full(r->sock, out, n_out) >= 0;
}

static bool down(struct relay *r)
{
	char buf[PIECE];
	ssize_t n = read(r->sock, buf, sizeof buf);

	if (n < 0 && errno == EINTR)
		return true;
	return n > 0 && io_write_full(STDOUT_FILENO, buf, (size_t)n) >= 0;
}

void cli_relay(int sock)
{
	struct relay r = {.sock = sock, .stdin_open = true};

	for (bool on = true; on;) {
		struct pollfd f[2] = {{.fd = sock, .events = POLLIN},
		    {.fd = r.stdin_open ? STDIN_FILENO : -1, .events = POLLIN}};
		if (poll(f, 2, -1) < 0 && errno != EINTR)
			break;
		if (f[0].revents)
			on = down(&r);
		else if (f[1].revents)
			on = up(&r);
	}
}
