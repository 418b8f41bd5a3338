/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Exim's drivers and their private options: what is known though it may not be there.  A section
 * whose driver is known and not installed loads with a warning and defers when it is met; an
 * unknown name is refused.
 */
#include "config/config_private.h"

static const struct known_driver drivers[] = {
    {HEDDLE_ROUTER, true, "accept"},
    {HEDDLE_ROUTER, true, "dnslookup"},
    {HEDDLE_ROUTER, true, "ipliteral"},
    {HEDDLE_ROUTER, false, "iplookup"},
    {HEDDLE_ROUTER, false, "manualroute"}, /* each route may name its transport */
    {HEDDLE_ROUTER, false, "queryprogram"},
    {HEDDLE_ROUTER, false, "redirect"},
    {HEDDLE_TRANSPORT, false, "appendfile"},
    {HEDDLE_TRANSPORT, false, "autoreply"},
    {HEDDLE_TRANSPORT, false, "lmtp"},
    {HEDDLE_TRANSPORT, false, "pipe"},
    {HEDDLE_TRANSPORT, false, "queuefile"},
    {HEDDLE_TRANSPORT, false, "smtp"},
    {HEDDLE_AUTH, false, "cram_md5"},
    {HEDDLE_AUTH, false, "cyrus_sasl"},
    {HEDDLE_AUTH, false, "dovecot"},
    {HEDDLE_AUTH, false, "external"},
    {HEDDLE_AUTH, false, "gsasl"},
    {HEDDLE_AUTH, false, "heimdal_gssapi"},
    {HEDDLE_AUTH, false, "plaintext"},
    {HEDDLE_AUTH, false, "spa"},
    {HEDDLE_AUTH, false, "tls"},
};
#define DRIVER_COUNT (sizeof drivers / sizeof drivers[0])

const struct known_driver *known_driver_find(uint16_t driver_class, slice_t name)
{
	for (size_t i = 0; i < DRIVER_COUNT; i++)
		if (drivers[i].driver_class == driver_class && slice_eqs(name, drivers[i].name))
			return &drivers[i];
	return NULL;
}

const char *known_driver_near(uint16_t driver_class, slice_t name)
{
	const char *near = NULL;
	unsigned best = 3;
	for (size_t i = 0; i < DRIVER_COUNT; i++) {
		unsigned d = drivers[i].driver_class == driver_class
		                 ? lex_distance(name, slice_cstr(drivers[i].name), best)
		                 : best;
		if (d < best) {
			best = d;
			near = drivers[i].name;
		}
	}
	return near;
}

#define LATER_OPTION(class, driver, name, type, initial, support) \
	{#name, initial, NULL, #driver, type, 0, 1, 0, 0},
static const struct heddle_option rows[] = {
#include "config/known_options.def"
};
#undef LATER_OPTION
#define LATER_OPTION(class, driver, name, type, initial, support) support,
static const uint8_t supports[] = {
#include "config/known_options.def"
};
#undef LATER_OPTION
#define LATER_OPTION(class, driver, name, type, initial, support) HEDDLE_##class,
static const uint8_t classes[] = {
#include "config/known_options.def"
};
#undef LATER_OPTION
#define ROW_COUNT (sizeof rows / sizeof rows[0])

bool known_options(uint16_t driver_class, slice_t driver, struct option_table *out)
{
	uint32_t first = 0, n = 0;
	while (first < ROW_COUNT &&
	       (classes[first] != driver_class || !slice_eqs(driver, rows[first].doc)))
		first++;
	while (first + n < ROW_COUNT && classes[first + n] == driver_class &&
	       slice_eqs(driver, rows[first + n].doc))
		n++;
	if (!n)
		return false;
	*out = (struct option_table){.rows = &rows[first],
	    .support = &supports[first],
	    .count = n}; /* rows of one driver stand together */
	return true;
}
