/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Apart from process.c: programs that read no configuration do not link config/. */
#include "config/config.h"
#include "main/process.h"

void process_adopt(struct process *p, const struct config *cfg)
{
	slice_t s = config_text(cfg, MO_primary_hostname);
	if (!slice_is_absent(s) && s.len)
		p->facts.primary_hostname = arena_dup(p->arena, s);
	s = config_text(cfg, MO_spool_directory);
	if (!slice_is_absent(s) && s.len)
		p->facts.spool_directory = arena_dup(p->arena, s);
}
