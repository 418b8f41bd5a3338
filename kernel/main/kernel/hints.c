/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hints: opened behind the greeting, looked after from then on. */
#include "hints/hints.h"
#include "main/kernel/kernel.h"

#define EXPIRE_EVERY (3600 * US_PER_SEC)

void kernel_make_hints(struct kernel *k)
{
	struct error err = {.text = ""};
	const struct hints_config hc = {.name = "retry",
	    .log = k->services.log,
	    .folder =
	        arena_printf(k->process.arena, "%.*s/db", SL_ARG(k->process.facts.spool_directory))
	            .ptr};

	struct hints_config of_drivers = hc;
	of_drivers.name = "drivers";
	if (hints_new(&hc, &k->hints, &err) != RC_OK ||
	    hints_new(&of_drivers, &k->driver_hints, &err) != RC_OK)
		log_panic(k->services.log, slice_absent(), "%s", err.text); /* it goes without */
}

void kernel_open_hints(struct kernel *k)
{
	if (!k->hints || !k->driver_hints)
		return;
	(void)hints_open(k->driver_hints);
	(void)hints_open(k->hints); /* says itself what is wrong; kernel_tend_hints tries again */
	k->hints_ready = true;
}

/* retry_data_expire is how old a hint may become. */
static void expire(struct kernel *k)
{
	struct config *cfg = kernel_snapshot(k);
	uint64_t gone = 0;
	struct error err;

	if (!cfg)
		return;
	int64_t before = clock_wall_us() - config_int(cfg, MO_retry_data_expire) * 1000;
	if (hints_expire(k->hints, before, &gone, &err) == RC_OK && gone)
		log_debug(k->services.log, LOG_D_RETRY, "%llu hints have expired",
		    (unsigned long long)gone);
	config_unref(&cfg);
}

void kernel_tend_hints(struct kernel *k)
{
	int64_t now = clock_mono_us();

	if (!k->hints_ready)
		return;
	hints_tend(k->hints);
	hints_tend(k->driver_hints);
	if (now < k->hints_expire_us)
		return;
	k->hints_expire_us = now + EXPIRE_EVERY;
	expire(k);
	deliver_expire_driver_hints(k->driver_hints);
}
