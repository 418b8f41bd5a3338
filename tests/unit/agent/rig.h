/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the agent's tests run on: real heddle-agent processes over a socket pair, started by a
 * thread that stands for master; and a site that answers for the kernel's modules above: options, a
 * message, recipients, variables.
 */
#ifndef HEDDLE_TESTS_AGENT_RIG_H
#define HEDDLE_TESTS_AGENT_RIG_H
#include "agent/agent.h"
#include "config/config.h"
#include "lib/tap.h"

#include <pthread.h>
#include <stdatomic.h>

struct rig {
	struct agents *agents;
	int kernel_fd, master_fd;
	pthread_t reader, master;
	_Atomic int refusals; /* how many times yet master says "too many agents" */
	_Atomic int started, user_requests;
	_Atomic bool silent; /* master answers nothing */
};
void rig_start(struct rig *r, unsigned per_identity, unsigned total);
void rig_stop(struct rig *r);

#define SITE_VARS 8
struct site {
	struct services services; /* first */
	struct heddle_call call;
	struct arena *arena;
	struct driver driver;
	struct heddle_instance instance;
	struct option_value own[3];
	unsigned asked;         /* options */
	const char *act, *text; /* the probe's options; text NULL: unset */
	int64_t number;
	slice_t message; /* LF form */
	uint32_t recipients;
	slice_t path;
	struct {
		int32_t result, smtp;
		slice_t text;
		char enhanced[12];
		unsigned count;
	} outcomes[4];
	struct {
		slice_t name, value;
	} vars[SITE_VARS];
	unsigned var_count, lines;
};
void site_init(struct site *s, const char *name, const char *act, const char *text, int64_t number);
void site_fini(struct site *s);
enum rc site_deliver(struct rig *r, struct site *s, struct error *err);
#endif
