# SPDX-License-Identifier: GPL-3.0-or-later
# The agent's tests start the real heddle-agent, with a transport that does whatever its first option says.
AGENT_PROBE := $(B)/tests/unit/agent/drivers/transport/probe.so
$(AGENT_PROBE): tests/unit/agent/probe/probe.c $(wildcard abi/heddle/*.h)
	@mkdir -p $(@D)
	$(call say,DRIVER probe)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -Iabi -Wall -Wextra -Werror $(SAN) -fPIC -shared -fvisibility=hidden -Wl,-z,now \
		-o $@.tmp $<
	$(Q)chmod 644 $@.tmp && mv $@.tmp $@
unit-programs: $(AGENT_PROBE)
$(B)/tests/unit/agent/test_agents $(B)/tests/unit/agent/test_operations: | $(AGENT_PROBE) $(B)/libexec/heddle-agent
