/* SPDX-License-Identifier: GPL-3.0-or-later */
/* queue/id: a message's id as text.  Any thread; no state. */
#include "queue/message.h"

#include "base/codec.h"

#define SERIAL_LIMIT UINT64_C(218340105584896) /* 62^8 */
#define TIME_LIMIT   UINT64_C(56800235584)     /* 62^6 */

void queue_id_text(struct queue_id id, char out[QUEUE_ID_LEN + 1])
{
	char serial[8];

	base62_put(out, 6, id.seconds);
	base62_put(serial, 8, id.serial);
	out[6] = '-';
	memcpy(out + 7, serial, 6);
	out[13] = '-';
	memcpy(out + 14, serial + 6, 2);
	out[QUEUE_ID_LEN] = '\0';
}

bool queue_id_parse(slice_t s, struct queue_id *out)
{
	struct queue_id id;
	char serial[8];

	if (s.len != QUEUE_ID_LEN || s.ptr[6] != '-' || s.ptr[13] != '-')
		return false;
	memcpy(serial, s.ptr + 7, 6);
	memcpy(serial + 6, s.ptr + 14, 2);
	if (!base62_get(slice_sub(s, 0, 6), &id.seconds) ||
	    !base62_get(slice_tainted(serial, sizeof serial), &id.serial))
		return false;
	if (id.seconds >= TIME_LIMIT || id.serial >= SERIAL_LIMIT)
		return false;
	*out = id;
	return true;
}
