# SPDX-License-Identifier: GPL-3.0-or-later
# The proxy's two halves are made from the ABI's headers.
PROXY_GEN := $(addprefix $(B)/gen/,proxy_ids.h proxy_client.h proxy_client.c proxy_server.h proxy_server.c)
PROXY_OBJ := $(B)/obj/gen/proxy_client.o $(B)/obj/gen/proxy_server.o

$(B)/gen/proxy.stamp: kernel/agent/proxygen.py kernel/agent/proxy.rows $(wildcard abi/heddle/*.h)
	@mkdir -p $(@D)
	$(call say,GEN proxy)
	$(Q)python3 kernel/agent/proxygen.py --rows kernel/agent/proxy.rows --out $(B)/gen $(filter %.h,$^)
	$(Q)touch $@
$(PROXY_GEN): $(B)/gen/proxy.stamp ;

$(PROXY_OBJ): $(B)/obj/gen/%.o: $(B)/gen/%.c $(B)/gen/proxy.stamp
	@mkdir -p $(@D)
	$(call say,CC $<)
	$(Q)$(CC) $(H_CPPFLAGS) $(CPPFLAGS) $(H_CFLAGS) -fPIE $(CFLAGS) -MMD -MP -c -o $@ $<

$(call module_obj,agent) $(B)/obj/kernel/main/prog_agent.o $(B)/obj/tests/fuzz/fuzz_proxy.o: | $(B)/gen/proxy.stamp
$(call archive,agent): $(PROXY_OBJ)

-include $(PROXY_OBJ:.o=.d)
