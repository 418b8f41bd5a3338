# SPDX-License-Identifier: GPL-3.0-or-later
# A remote transport that does what its options say, for whole deliveries in one process.
DELIVER_PROBE := $(B)/tests/unit/deliver/drivers/transport/probe.so
$(DELIVER_PROBE): tests/unit/deliver/probe/probe.c $(wildcard abi/heddle/*.h)
	@mkdir -p $(@D)
	$(call say,DRIVER probe)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -Iabi -Wall -Wextra -Werror $(SAN) -fPIC -shared -fvisibility=hidden -Wl,-z,now \
		-o $@.tmp $<
	$(Q)chmod 644 $@.tmp && mv $@.tmp $@
unit-programs: $(DELIVER_PROBE)
$(B)/tests/unit/deliver/test_attempt $(B)/tests/unit/deliver/test_retry $(B)/tests/unit/deliver/test_retry_hints: | $(DELIVER_PROBE)
$(patsubst %,$(B)/tests/unit/deliver/test_%,attempt local retry retry_hints route): | $(patsubst %,$(B)/drivers/%.so,router/accept \
	router/manualroute router/redirect transport/appendfile transport/pipe lookup/lsearch)
