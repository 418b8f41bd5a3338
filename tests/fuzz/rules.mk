# SPDX-License-Identifier: GPL-3.0-or-later
# tests/fuzz/fuzz_NAME.c has LLVMFuzzerTestOneInput, corpus/NAME/ its seeds (one of them for each thing ever found), and
# fuzz_NAME.dict, if there, its words.  Any compiler builds replay_NAME, which `make check` runs over the corpus.
#: make check-fuzz [T=config] [SECONDS_EACH=60]   clang's libFuzzer over every target; findings in build-fuzz/findings

FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_LIBS := $(call PC,json-c)
FUZZ_OBJ := $(patsubst %,$(B)/obj/tests/fuzz/fuzz_%.o,$(FUZZ_NAMES))
ifeq ($(FUZZ_LIBS),)
FUZZ_NAMES := $(filter-out json,$(FUZZ_NAMES))
endif
SECONDS_EACH ?= 60

define fuzz_rule
$(B)/tests/fuzz/$(1)_$(2): $(B)/obj/tests/fuzz/fuzz_$(2).o $(3) $(ALL_ARCHIVES)
	@mkdir -p $$(@D)
	$$(call say,LD $$@)
	$$(Q)$$(CC) $$(H_LDFLAGS) $(4) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $$(call link_group,$$(filter %.a,$$^)) \
		$$(LIBS_KERNEL) $$(FUZZ_LIBS)
endef
$(foreach n,$(FUZZ_NAMES),$(eval $(call fuzz_rule,replay,$(n),$(B)/obj/tests/fuzz/replay.o,)))
$(foreach n,$(FUZZ_NAMES),$(eval $(call fuzz_rule,fuzz,$(n),,-fsanitize=fuzzer)))

# A session is one with authenticators.  clang links its sanitizers' names into programs only, so these drivers find them there.
$(foreach k,replay fuzz,$(B)/tests/fuzz/$(k)_smtp_session): | $(B)/drivers/auth/plaintext.so $(B)/drivers/auth/external.so
ifeq ($(VARIANT),fuzz)
$(B)/drivers/auth/%.so: LDFLAGS += -Wl,-z,undefs
endif

.PHONY: fuzz-programs check-fuzz
unit-programs: $(patsubst %,$(B)/tests/fuzz/replay_%,$(FUZZ_NAMES))
fuzz-programs: $(patsubst %,$(B)/tests/fuzz/fuzz_%,$(FUZZ_NAMES))
check-fuzz:
	$(MAKE) VARIANT=fuzz CC=clang WERROR= fuzz-programs
	tests/fuzz/run build-fuzz $(SECONDS_EACH) $(T)

-include $(FUZZ_OBJ:.o=.d)
