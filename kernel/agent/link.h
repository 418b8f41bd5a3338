/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * agent/link: the messages between master and kernel, over one SOCK_SEQPACKET pair.  Every message
 * has the same fixed size and is checked before it is believed: master runs as root and must
 * survive a kernel that was taken over.
 *
 * Start:   master sends LINK_HELLO, a LINK_LISTENER with a descriptor for each listening socket,
 * LINK_CONFIG with a sealed memfd (link_bundle), LINK_GO.  The kernel answers LINK_READY, or
 * LINK_FAILED with a text. Later:   kernel -> master  LINK_USER (text[0] login), LINK_GROUP
 * (text[0] name), LINK_AGENT
 * (text[0] user, text[1] group, text[2] purpose): each is answered by LINK_ANSWER with the same
 * serial: number[0] = rc, text[0] = why not; or the facts of the user or group, or one descriptor,
 * the agent's socket (AGENT). kernel -> master  LINK_RELOAD: please read the configuration again.
 *          master -> kernel  LINK_CONFIG: a new one, answered by LINK_READY or LINK_FAILED;
 * LINK_STOP. Threads: the two functions, any thread; a message is one datagram.
 */
#ifndef HEDDLE_AGENT_LINK_H
#define HEDDLE_AGENT_LINK_H
#include "base/arena.h"

#define LINK_VERSION 1u
#define LINK_FD      3 /* in the kernel */
#define LINK_TEXT    252

enum link_type {
	LINK_HELLO = 1,
	LINK_LISTENER,
	LINK_CONFIG,
	LINK_GO,
	LINK_READY,
	LINK_FAILED,
	LINK_USER,
	LINK_AGENT,
	LINK_ANSWER,
	LINK_RELOAD,
	LINK_STOP,
	LINK_GROUP,
	LINK_TYPES,
};
enum { /* HELLO: number[0] */
	LINK_FOREGROUND = 1,
	LINK_ORDINARY_USER = 2,
	LINK_DEBUG = 4,
	LINK_QUEUE_ONLY = 8, /* -odq */
	LINK_TLS_ON_CONNECT = 16,
};
enum { /* AGENT: number[0] */
	LINK_AGENT_INITGROUPS = 1,
	LINK_AGENT_CONSTANT = 2,
};
struct link_text {
	uint32_t len;
	char bytes[LINK_TEXT];
};
struct link_message {
	uint32_t version, type;
	uint64_t serial;
	int64_t number[4]; /* HELLO: flags, queue interval in ms, snapshot; CONFIG: snapshot;
	                    * LISTENER: port; ANSWER to USER: rc, uid, gid; to GROUP: rc, -1,
	                    * gid */
	struct link_text
	    text[4]; /* HELLO: configuration file; ANSWER to USER: name, home, shell, gecos */
};

/* false: it does not fit. */
MUST_USE bool link_set_text(struct link_message *m, unsigned i, slice_t s);
/* The same, cut to what fits: for people to read. */
void link_put_text(struct link_message *m, unsigned i, slice_t s);
slice_t link_get_text(const struct link_message *m, unsigned i); /* TAINTED; borrowed */
/* fd: -1 for none.  -1 with errno. */
int link_send(int sock, const struct link_message *m, int fd);
/* 1: a whole, well-formed message, *out_fd is -1 or the caller's; 0: the other side is gone; -1
 * with errno (EPROTO: not one of ours). */
int link_receive(int sock, struct link_message *out, int *out_fd);

/* The configuration's files as one text: for each a line "PATH LENGTH\n", then its bytes and a
 * newline. */
struct strbuf;
void link_bundle_add(struct strbuf *sb, const char *path, slice_t content);
/* The content of path in a bundle; false: it is not there, or the bundle is malformed. */
MUST_USE bool link_bundle_find(slice_t bundle, slice_t path, slice_t *out_content);
#endif
