/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * queue/store_private: what the store's parts share.
 *	store.c    open, close, giving records to the committer     commit.c   the committer
 *	segment.c  files                                            table.c    where each message's
 *records lie scan.c     reading a segment, sidecars                      recover.c  what earlier
 *runs left load.c     reading messages                                 compact.c  housekeeping
 *body.c  large bodies
 *
 * Locks: lk_store_queue guards what waits for the committer; lk_store_table the table and the
 *segments' book-keeping. Neither is held during I/O or a callback.  The active segment's size,
 *synced and output belong to the writer: whoever set `writing` under lk_store_queue.
 */
#ifndef HEDDLE_QUEUE_STORE_PRIVATE_H
#define HEDDLE_QUEUE_STORE_PRIVATE_H
#include "queue/record.h"
#include "queue/store.h"

#include <stdatomic.h>

/* Ids: serial = segment * 62^3 + counter. */
#define IDS_PER_SEGMENT UINT64_C(238328)
/* A new run begins this far behind the last segment: ids of the last run may have spilled over into
 * these numbers. */
#define RUN_GAP 1024u
/* Where segments end at the latest: offsets have 32 bits. */
#define SEGMENT_HARD_BYTES (UINT64_C(3) << 30)
#define BODY_DIR           "body"
#define NAME_MAX_BYTES     64

enum segment_state { SEGMENT_ACTIVE, SEGMENT_SEALED, SEGMENT_OUTPUT, SEGMENT_GONE };

struct store_segment {
	/* const after publication */
	uint32_t number, generation;
	uint64_t mark;
	int fd;
	/* the writer's while it is active or an output, then const */
	uint64_t size;   /* end of the records */
	uint64_t synced; /* stable up to here */
	uint64_t
	    zeroed; /* and zeros are, up to here: writing there changes no length and no extent */
	bool zero_off; /* there was no room for them */
	/* guarded by lk_store_table */
	enum segment_state state;
	bool damaged; /* set aside instead of unlinked */
	bool voided;  /* its tail is void: to be emptied soon */
	bool has_sidecar;
	uint32_t
	    note_for; /* it says where that segment ended: must stay while that one is voided */
	uint32_t
	    end_note; /* recovery: where the next segment says that this one ended; 0: nowhere */
	int64_t sealed_us;     /* monotonic */
	uint64_t needed;       /* records that must not be lost */
	uint64_t needed_bytes; /* and their size */
	unsigned pins;         /* readers */
	uint64_t *serials;     /* messages of which it holds a MESSAGE record */
	size_t n_serials, cap_serials;
};

/* Where a PROGRESS or EDIT record lies. */
struct change {
	uint64_t sequence;
	uint32_t segment, offset, size;
	uint8_t type;
};

/* What most messages do not have. */
struct live_extra {
	struct change *changes; /* after the MESSAGE record, by sequence */
	uint32_t n_changes, cap_changes;
	uint32_t *copies; /* other segments with a MESSAGE record of it */
	uint32_t n_copies, cap_copies;
};

enum live_state {
	LIVE_UNKNOWN, /* recovery has met a change, but no MESSAGE yet */
	LIVE_QUEUED,
	LIVE_DONE, /* kept until every segment with a MESSAGE record of it is gone */
};

struct live {
	struct live *next; /* in its bucket */
	struct queue_id id;
	uint64_t sequence; /* of the MESSAGE record: newest record folded into it */
	struct live_extra *extra;
	uint32_t segment, offset, size; /* MESSAGE record, or DONE record */
	uint8_t state;
	bool body_file;
	bool needed; /* this DONE record is counted in its segment */
};

struct store_record {
	struct record_header h;
	uint8_t raw[RECORD_HEADER_BYTES];
	slice_t meta; /* first piece; then pieces */
	slice_t facts;
	const slice_t *headers;
	size_t n_headers;
	const struct iovec *body;
	size_t n_body;
	uint32_t offset; /* once it is written */
};

struct store_op {
	struct store_op *next;
	store_done_fn *fn;
	void *arg;
	size_t n_records;
	bool body_file;
	struct store_record records[];
};

struct body_gone {
	struct body_gone *next;
	struct queue_id id;
};

struct store {
	/* const */
	const struct storage_io *io;
	struct store_options opt;
	uint32_t first_number; /* of this run */
	bool has_threads, has_house;
	pthread_t committer, housekeeper;
	struct mutex queue_lock, table_lock;
	struct condvar queue_cv, house_cv;

	struct store_op *pending GUARDED_BY(lk_store_queue);
	struct store_op **pending_tail GUARDED_BY(lk_store_queue);
	uint64_t next_sequence GUARDED_BY(lk_store_queue);
	uint64_t next_serial GUARDED_BY(lk_store_queue);
	uint64_t id_seconds GUARDED_BY(lk_store_queue);
	uint32_t next_number GUARDED_BY(lk_store_queue);
	bool closing GUARDED_BY(lk_store_queue);
	bool roll_wanted GUARDED_BY(lk_store_queue);
	bool writing GUARDED_BY(lk_store_queue); /* somebody is the writer */
	bool chores GUARDED_BY(lk_store_queue);  /* something for the committer when nobody waits */

	struct live **buckets GUARDED_BY(lk_store_table);
	size_t n_buckets GUARDED_BY(lk_store_table);
	size_t n_entries GUARDED_BY(lk_store_table);
	struct store_segment **segments GUARDED_BY(lk_store_table); /* by number */
	size_t n_segments GUARDED_BY(lk_store_table);
	size_t cap_segments GUARDED_BY(lk_store_table);
	struct body_gone *bodies_gone GUARDED_BY(lk_store_table);
	int64_t house_after_us GUARDED_BY(lk_store_table); /* monotonic: rest after a failure */
	bool house_stop GUARDED_BY(lk_store_table);
	struct store_stats stats GUARDED_BY(lk_store_table);

	_Atomic bool stopped;   /* relaxed: a flag by itself */
	_Atomic bool recovered; /* release after the table is whole, acquire by its readers */

	/* the writer's: who set `writing` (in manual mode: the caller's thread) */
	struct store_segment *active;
	uint64_t last_batch; /* bytes */
	struct iovec *iov;   /* of one batch */
	size_t n_iov, cap_iov;
};

LOCK_FNS(store_queue, struct store, queue_lock, lk_store_queue)
LOCK_FNS(store_table, struct store, table_lock, lk_store_table)

/* ---- segment.c ---- */
void segment_name(uint32_t number, const char *suffix, char out[NAME_MAX_BYTES]);
/* Create, sync file and name, register.  Numbers are taken from next_number. */
MUST_USE int segment_create(struct store *s, enum segment_state state, uint32_t generation,
    const struct store_segment *before, struct store_segment **out);
void segment_register(struct store *s, struct store_segment *seg) EXCLUDES(lk_store_table);
struct store_segment *segment_find(struct store *s, uint32_t number) REQUIRES(lk_store_table);
void segment_unregister(struct store *s, struct store_segment *seg) REQUIRES(lk_store_table);
void segment_unpin(struct store *s, struct store_segment *seg) EXCLUDES(lk_store_table);
void segment_free(struct store *s, struct store_segment **seg);
/* All iovecs at `at`, short writes continued.  0 or -errno. */
MUST_USE int segment_writev(struct store *s, int fd, struct iovec *iov, size_t n, uint64_t at);
/* Exactly n bytes; -EIO when the file is shorter. */
MUST_USE int segment_read(struct store *s, int fd, void *buf, size_t n, uint64_t at);
void store_event(struct store *s, enum store_event_kind kind, const char *name, struct queue_id id,
    int errnum, const char *text) EXCLUDES(lk_store_table, lk_store_queue);
void *store_grow(void *array, size_t size, size_t *cap, size_t need);

/* ---- table.c ---- */
struct live *table_find(struct store *s, uint64_t serial) REQUIRES(lk_store_table);
/* A record is stable: take it into the table. */
void table_record(struct store *s, const struct record_header *h, struct store_segment *seg,
    uint32_t offset) REQUIRES(lk_store_table);
/* seg holds a copy of a MESSAGE that must not become the current one (an abandoned compaction). */
void table_copy_only(struct store *s, struct queue_id id, struct store_segment *seg)
    REQUIRES(lk_store_table);
/* seg's name is gone for good: forget the MESSAGE records in it, from the *pos-th on; true: more to
 * do. */
bool table_forget_segment(struct store *s, struct store_segment *seg, size_t *pos)
    REQUIRES(lk_store_table);
/* The message cannot be read any more. */
void table_lose(struct store *s, uint64_t serial) REQUIRES(lk_store_table);
/* Does the table need this record? */
bool table_needs(struct store *s, const struct record_header *h, uint32_t segment, uint32_t offset)
    REQUIRES(lk_store_table);
/* After recovery: drop what no MESSAGE belongs to. */
void table_purge(struct store *s) REQUIRES(lk_store_table);
void table_free(struct store *s) REQUIRES(lk_store_table);

/* ---- commit.c ---- */
/* Make a new active segment; the writer's. */
MUST_USE int commit_roll(struct store *s);
/* One batch by the thread that set `writing`, which is given back. */
void commit_lead(struct store *s) EXCLUDES(lk_store_queue);
/* Let go of `writing`; the committer is woken when there is more to do. */
void commit_release(struct store *s, bool chores) EXCLUDES(lk_store_queue);
/* No zeros are left behind the records. */
void commit_cut(struct store *s, struct store_segment *seg);
void *commit_thread(void *store);

/* ---- scan.c ---- */
struct sidecar {
	struct sidecar_header h;
	slice_t entries;
};
/* What is in a sealed segment: from its sidecar, or by reading all of it (the sidecar is then
 * written). */
void sidecar_get(struct store *s, struct store_segment *seg, struct arena *a, struct sidecar *out);

/* ---- load.c ---- */
struct load_plan {
	struct store_segment *seg; /* pinned */
	uint32_t offset, size;
	struct queue_id id;
	uint64_t sequence; /* of the newest change */
	struct change *changes;
	struct store_segment **change_segs; /* pinned */
	size_t n_changes;
};
/* Where the message lies now; RC_FAIL: not queued. */
MUST_USE enum rc load_plan(struct store *s, struct arena *a, uint64_t serial, struct load_plan *out,
    struct error *err) EXCLUDES(lk_store_table);
void load_plan_done(struct store *s, struct load_plan *p) EXCLUDES(lk_store_table);
/* Fold the changes into m.  A damaged one is left out (its segment is marked): a recipient may be
 * tried again. */
void load_changes(
    struct store *s, struct arena *a, const struct load_plan *p, struct queue_message *m);
/* Header and meta part, verified; and the body if out_body is not NULL. */
MUST_USE int load_record(struct store *s, struct arena *a, const struct load_plan *p,
    struct record_header *out_h, slice_t *out_meta, slice_t *out_body);
/* Its record is damaged: take it out of the table, mark the segment, tell. */
void load_lost(struct store *s, const struct load_plan *p, const char *text);
void segment_damaged(struct store *s, struct store_segment *seg, const char *text)
    EXCLUDES(lk_store_table);

/* ---- body.c ---- */
void body_name(struct queue_id id, char out[NAME_MAX_BYTES]);

/* ---- compact.c ---- */
void *house_thread(void *store);
#endif
