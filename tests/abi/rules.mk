# SPDX-License-Identifier: GPL-3.0-or-later
# Broken drivers for the loader's tests, one for each refusal, and the ABI's own checks.
#: make check-abi                 headers alone in C and C++, layout, exported symbols, the baseline

BROKEN_DIR := $(B)/tests/abi/drivers
BROKEN := $(patsubst tests/abi/broken/%.c,$(BROKEN_DIR)/lookup/%.so,$(wildcard tests/abi/broken/*.c))

# as a stranger builds: no flag of the house but the sanitizer's, which a process cannot mix; no -z defs, since one of
# them is there to be refused by dlopen
$(BROKEN_DIR)/lookup/%.so: tests/abi/broken/%.c tests/abi/broken/broken.h $(wildcard abi/heddle/*.h)
	@mkdir -p $(@D)
	$(call say,DRIVER $@)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -Iabi -Wall -Wextra -Werror $(SAN) -fPIC -shared -fvisibility=hidden -Wl,-z,now \
		-o $@.tmp $<
	$(Q)chmod 644 $@.tmp && mv $@.tmp $@

.PHONY: broken-drivers
broken-drivers: $(BROKEN)
unit-programs: broken-drivers
$(B)/tests/unit/driver/test_loader $(B)/tests/unit/driver/test_describe: | $(BROKEN)

# A probe object that uses every type of the headers; abidiff compares it with the baseline.
ABI_VERSION := 1.0-draft
ABI_BASELINE := abi/baseline/heddle-$(ABI_VERSION).abi
ABI_PROBE := $(B)/tests/abi/probe.so
$(ABI_PROBE): tests/abi/probe.c $(wildcard abi/heddle/*.h)
	@mkdir -p $(@D)
	gcc -std=c11 -Iabi -g -O0 -fPIC -shared -fno-eliminate-unused-debug-types -o $@ $<

.PHONY: check-abi abi-baseline
check-abi: $(ABI_PROBE) programs drivers broken-drivers
	tests/abi/run --build $(B) --baseline $(ABI_BASELINE)
# a change of the ABI renews this in a commit of its own
abi-baseline: $(ABI_PROBE)
	@mkdir -p $(dir $(ABI_BASELINE))
	abidw --no-comp-dir-path --no-corpus-path --drop-private-types --out-file $(ABI_BASELINE) $(ABI_PROBE)
