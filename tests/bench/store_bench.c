/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How many 4 KiB messages a second the store makes stable, with 1, 16, 64 and 128 threads that each
 *wait for theirs, and how many syncs that took; beside it one thread that does write and fdatasync
 *and nothing else. Then the queue is opened again: how long until the index is whole, what a
 *message takes in memory, how long a listing takes. store_bench DIRECTORY [SECONDS_EACH]
 */
#include "queue/queue.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BODY_BYTES 4096u

struct work {
	struct store *store;
	_Atomic bool stop;
	_Atomic uint64_t done;
};

static void *sender(void *arg)
{
	struct work *w = arg;
	struct arena *a = arena_new(0);
	char body[BODY_BYTES];
	struct iovec iov = {body, sizeof body};
	slice_t headers = SL("From: a@example\r\nTo: b@example\r\nSubject: bench\r\n");
	struct error err;

	memset(body, 'x', sizeof body);
	while (!atomic_load(&w->stop)) {
		struct queue_recipient r = {.address = SL("user@destination.example")};
		struct queue_message m = {.id = store_next_id(w->store),
		    .sender = SL("sender@source.example"),
		    .recipients = &r,
		    .n_recipients = 1,
		    .headers = &headers,
		    .n_headers = 1,
		    .body = &iov,
		    .n_body = 1};

		if (store_append_wait(w->store, a, &m, &err) != RC_OK) {
			(void)fprintf(stderr, "append: %s\n", err.text);
			break;
		}
		atomic_fetch_add(&w->done, 1);
		arena_reset(a);
	}
	arena_free(&a);
	return NULL;
}

static void bench(struct store *s, unsigned threads, int64_t us)
{
	struct work w = {.store = s};
	pthread_t *t = calloc(threads, sizeof *t);
	struct store_stats before, after;

	store_stats(s, &before);
	int64_t from = clock_mono_us();
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, sender, &w) != 0)
			exit(1);
	(void)usleep((useconds_t)us);
	atomic_store(&w.stop, true);
	for (unsigned i = 0; i < threads; i++)
		(void)pthread_join(t[i], NULL);
	double seconds = (double)(clock_mono_us() - from) / 1e6;
	store_stats(s, &after);
	(void)printf("%4u threads: %8.0f messages/s, %6.0f syncs/s, %5.1f messages a sync\n",
	    threads, (double)w.done / seconds, (double)(after.batches - before.batches) / seconds,
	    (double)w.done / (double)(after.batches - before.batches));
	free(t);
}

static void plain(const char *dir, int64_t us)
{
	char path[4096], buf[BODY_BYTES + 300];
	uint64_t n = 0;

	(void)snprintf(path, sizeof path, "%s/plain", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	memset(buf, 'x', sizeof buf);
	int64_t from = clock_mono_us();
	while (clock_mono_us() - from < us) {
		if (write(fd, buf, sizeof buf) != (ssize_t)sizeof buf || fdatasync(fd) != 0)
			exit(1);
		n++;
	}
	(void)printf("write + fdatasync: %6.0f/s\n", (double)n * 1e6 / (double)us);
	(void)close(fd);
	(void)unlink(path);
}

static size_t pss_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char line[200];
	size_t kib = 0;

	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "Pss:", 4) == 0)
			kib = strtoul(line + 4, NULL, 10);
	if (f)
		(void)fclose(f);
	return kib * 1024;
}

static void into_index(void *ctx, const struct queue_message *m)
{
	if (queue_index_insert(ctx, m, false, NULL, NULL) != RC_OK)
		exit(1);
}

static void recovery(const struct storage_io *io, const struct store_options *o)
{
	struct queue_index *idx = queue_index_new();
	struct queue_counts c;
	struct queue_list l;
	struct error err;
	struct store *s;
	size_t before = pss_bytes();
	int64_t from = clock_mono_us();

	if (store_open(io, o, &s, &err) != RC_OK)
		exit(1);
	int64_t open = clock_mono_us() - from;
	if (store_recover(s, into_index, idx, &err) != RC_OK)
		exit(1);
	int64_t recovered = clock_mono_us() - from;
	(void)malloc_trim(0);
	queue_index_counts(idx, &c);
	(void)printf("open again: %.1f ms; %zu messages in the index after %.2f s\n",
	    (double)open / 1e3, c.messages, (double)recovered / 1e6);
	size_t now = pss_bytes();
	if (now > before && c.messages) /* the second time memory is used again */
		(void)printf("memory: %zu bytes a message\n", (now - before) / c.messages);
	from = clock_mono_us();
	queue_index_list(idx, QUEUE_BY_ID, &l);
	(void)printf("list: %.1f ms\n", (double)(clock_mono_us() - from) / 1e3);
	queue_list_free(&l);
	store_close(&s);
	queue_index_free(&idx);
}

int main(int argc, char **argv)
{
	static const unsigned threads[] = {1, 16, 64, 128};
	struct storage_io *io;
	struct store *s;
	struct store_options o = {0};
	struct error err;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: store_bench DIRECTORY [SECONDS_EACH]\n");
		return 2;
	}
	int64_t us = (argc > 2 ? strtol(argv[2], NULL, 10) : 3) * US_PER_SEC;
	if (storage_real_new(argv[1], &io, &err) != RC_OK ||
	    store_open(io, &o, &s, &err) != RC_OK || store_recover(s, NULL, NULL, &err) != RC_OK) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	plain(argv[1], us);
	for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++)
		bench(s, threads[i], us);
	store_close(&s);
	recovery(io, &o);
	recovery(io, &o);
	storage_real_free(&io);
	return 0;
}
