/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The message as it is to be sent, for an agent: a sealed memfd, never a descriptor of the queue.
 */
#include "agent/exchange.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE ((size_t)32 << 10)

static int32_t copy_message(struct heddle_call *c, int fd)
{
	const struct heddle_message_service *m = c->services->message;
	struct heddle_reader *r = NULL;
	char *piece = arena_bytes(c->arena, PIECE);
	int32_t result = m->open(c, HEDDLE_WIRE_LF, slice_absent(), slice_absent(), &r);
	while (result == HEDDLE_OK) {
		uint64_t got = 0;
		result = m->read(c, r, piece, PIECE, &got);
		if (result != HEDDLE_OK || got == 0)
			break;
		if (io_write_full(fd, piece, (size_t)got) < 0)
			result = call_refuse(
			    c, HEDDLE_DEFER, "no memory for the message: errno %d", errno);
	}
	return result;
}

int exchange_body_fd(struct heddle_call *c, int32_t *out_result)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int fd = memfd_create("heddle-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0) {
		*out_result =
		    call_refuse(c, HEDDLE_DEFER, "no descriptor for the message: errno %d", errno);
		return -1;
	}
	int32_t result = copy_message(c, fd);
	if (result == HEDDLE_OK && fcntl(fd, F_ADD_SEALS, seals) != 0)
		result = call_refuse(
		    c, HEDDLE_DEFER, "the message's memory cannot be sealed: errno %d", errno);
	if (result == HEDDLE_OK)
		return fd;
	(void)close(fd);
	*out_result = result;
	return -1;
}
