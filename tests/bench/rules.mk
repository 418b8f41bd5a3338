# SPDX-License-Identifier: GPL-3.0-or-later
# Programs that measure; tests/bench/README.md says how.  PEERS=DIR (see setup-peers) puts Exim and Postfix beside Heddle.
#: make bench [PEERS=DIR]         measure everything; takes about half an hour with the peers
BENCH_ALONE := $(patsubst %,$(B)/tests/bench/%,load limit)

$(BENCH_ALONE): $(B)/tests/bench/%: $(B)/obj/tests/bench/%.o
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(H_LDFLAGS) $(LDFLAGS) -o $@ $^

# OpenSSL's headers are wanted for this one alone: without them tls.py cannot be run
BENCH_TLS := $(if $(wildcard /usr/include/openssl/ssl.h),$(patsubst %,$(B)/tests/bench/%,load_tls limit_tls))
$(B)/tests/bench/load_tls $(B)/tests/bench/limit_tls: $(B)/tests/bench/%: $(B)/obj/tests/bench/%.o
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(H_LDFLAGS) $(LDFLAGS) -o $@ $^ -lssl -lcrypto

$(B)/tests/bench/store_bench: $(B)/obj/tests/bench/store_bench.o $(call archives_for,$(call deps_of,queue))
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(H_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(call link_group,$(filter %.a,$^)) $(LIBS_KERNEL)

.PHONY: bench bench-programs
bench-programs: $(BENCH_ALONE) $(BENCH_TLS) $(B)/tests/bench/store_bench
bench: all bench-programs
	BUILD=$(B) tests/bench/run

-include $(patsubst %,$(B)/obj/tests/bench/%.d,load load_tls limit limit_tls store_bench)
