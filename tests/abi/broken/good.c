/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Nothing wrong: what the others are compared with.  load() gives a state, so that a test sees it
 * ran once. */
#define LOAD    load
#define UNLOAD  unload
#define ALIASES "good_alias second_alias"
#include "broken.h"

static int loads;

static int32_t load(struct heddle_call *call, const struct heddle_host *host, void **state)
{
	(void)call, (void)host;
	loads++;
	*state = &loads;
	return HEDDLE_OK;
}
static void unload(void *state)
{
	*(int *)state -= 1;
}
static const struct heddle_option table[] = {
    {.name = "count",
        .initial = "16",
        .type = HEDDLE_T_INT,
        .flags = HEDDLE_O_MAIN,
        .doc = "How many.",
        .since_major = 1},
    {.name = "wait",
        .initial = "1d2h3m4s",
        .type = HEDDLE_T_TIME,
        .doc = "How\tlong,\nat \\ most.",
        .since_major = 1},
    {.name = "mode", .initial = "0600", .type = HEDDLE_T_OCTAL, .doc = "Mode."},
    {.name = "way", .initial = "up", .type = HEDDLE_T_ENUM, .type_arg = "down|up", .doc = "Way."},
    {.name = "text",
        .type = HEDDLE_T_STRING,
        .flags = HEDDLE_O_EXPAND | HEDDLE_O_UNTAINTED,
        .doc = "Text."},
    {.name = "tls_client", .type = HEDDLE_T_GROUP, .doc = ""},
};
DRIVER_OPTIONS("good");
