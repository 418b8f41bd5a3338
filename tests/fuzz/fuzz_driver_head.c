/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The head of a driver from the bytes of a file, and the checks on it; and descriptions of drivers,
 * which come from a process that ran drivers' code.  Input that begins as a description does goes
 * to the one, all else to the other.
 */
#include "driver/call.h"
#include "driver/elf_facts.h"
#include "driver/loader_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_description(slice_t text)
{
	struct drivers *d = NULL;
	const struct driver *drv = NULL;
	if (drivers_from_description(text, &d, NULL) != RC_OK)
		return;
	for (uint16_t cls = HEDDLE_AUTH; cls <= HEDDLE_LOOKUP; cls++)
		if (driver_find(d, cls, SL("x"), &drv, NULL) == RC_OK) {
			MUST(drv->head.driver_class == cls && !drv->desc && !drv->ops);
			for (uint32_t i = 0; i < drv->option_count; i++)
				MUST(drv->options[i].name && strlen(drv->options[i].name) > 0);
		}
	drivers_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct heddle_driver head;
	if (size > (1U << 20))
		return 0;
	if (size && data[0] == 'h') {
		as_description(slice_tainted(data, size));
		return 0;
	}
	/* a copy at an odd address: nothing may be read in place */
	struct arena *a = arena_new(0);
	char *bytes = arena_bytes(a, size + 1);
	memcpy(bytes + 1, data, size);
	if (driver_head_from_elf(bytes + 1, size, &head, NULL) == RC_OK) {
		MUST(head.head_size == HEDDLE_HEAD_SIZE);
		(void)driver_head_is_named(&head, SL("x"));
		if (driver_check_head(&head, HEDDLE_LOOKUP, SL("x"), NULL) == RC_OK)
			MUST(head.abi_major == HEDDLE_ABI_MAJOR &&
			     driver_head_is_named(&head, SL("x")));
	}
	struct elf_facts facts;
	if (elf_facts(bytes + 1, size, &facts))
		MUST(strlen(facts.other_export) < sizeof facts.other_export);
	arena_free(&a);
	return 0;
}
