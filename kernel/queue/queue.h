/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue: the mail that we have answered for.  The one header that other modules include.
 *	storage_io.h   the few system calls underneath, behind a table (fault injection)
 *	message.h      what a queued message is: envelope, state, outcomes, edits; its id
 *	record.h       the bytes on disk (pure encoders and decoders)
 *	store.h        the durable log: append, progress, edit, done, load, recover, compact
 *	index.h        the messages in memory: by next attempt, by id, by destination
 * README.md tells the life of a message, the format on disk and the locks.
 */
#ifndef HEDDLE_QUEUE_QUEUE_H
#define HEDDLE_QUEUE_QUEUE_H
#include "queue/index.h"
#include "queue/message.h"
#include "queue/record.h"
#include "queue/storage_io.h"
#include "queue/store.h"
#endif
