/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * driver/generic: the options that all sections of a class share, by name, from config's tables.
 * Lookups have none: their options stand in the main section, where those of known lookup types
 * have rows already.
 */
#include "driver/loader_parts.h"

#define SECTION_OPTION(name, ...) #name,
static const char *const auth_names[] = {
#include "config/auth_options.def"
    NULL};
static const char *const router_names[] = {
#include "config/router_options.def"
    NULL};
static const char *const transport_names[] = {
#include "config/transport_options.def"
    NULL};
#undef SECTION_OPTION

const char *const *driver_generic_names(uint16_t driver_class)
{
	switch (driver_class) {
	case HEDDLE_AUTH:
		return auth_names;
	case HEDDLE_ROUTER:
		return router_names;
	case HEDDLE_TRANSPORT:
		return transport_names;
	default:
		return NULL;
	}
}
