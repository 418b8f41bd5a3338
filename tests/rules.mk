# SPDX-License-Identifier: GPL-3.0-or-later
#: make check                     unit and scenario tests; the last line is 'N passed, N failed'
#: make check-unit [T=queue/store] [CASE=name]
#: make check-scenario [T=smtp/pipelining]
#: make check-asan, check-tsan    the same in a sanitizer build
#: make check-fuzz [SECONDS_EACH=60]  every fuzz target
#: make check-abi, check-mutants, lint, bench

# tests/unit/MODULE/test_PART.c links MODULE's archive and those below it
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(UNIT_SRC))
TESTLIB_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/lib/*.c))

define unit_rule
$(B)/tests/unit/$(1)/$(2): $(B)/obj/tests/unit/$(1)/$(2).o $(TESTLIB_OBJ) $(call archives_for,$(call deps_of,$(1)))
	@mkdir -p $$(@D)
	$$(call say,LD $$@)
	$$(Q)$$(CC) $$(H_LDFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $$(call link_group,$$(filter %.a,$$^)) $$(LIBS_KERNEL)
endef
$(foreach s,$(UNIT_SRC),$(eval $(call unit_rule,$(notdir $(patsubst %/,%,$(dir $(s)))),$(notdir $(basename $(s))))))

$(B)/obj/tests/%.o: H_CPPFLAGS += -Itests

.PHONY: check check-build check-unit check-scenario unit-programs
unit-programs: $(UNIT_BIN)
check-build: all unit-programs
# make reads the drivers' package lists before anything is installed: so the rest is a make of its own.  NO_INSTALL=1: as it is.
check:
	$(if $(NO_INSTALL),,pkg/install-deps)
	$(MAKE) check-installed
.PHONY: check-installed
check-installed: check-build
	tests/lib/run-tests --build $(B) $(if $(T),--only '$(T)')
check-unit: unit-programs drivers
	tests/lib/run-tests --build $(B) --unit $(if $(T),--only '$(T)') $(if $(CASE),--case '$(CASE)')
check-scenario: all
	tests/lib/run-tests --build $(B) --scenario $(if $(T),--only '$(T)')
.PHONY: check-asan check-tsan
check-asan:
	$(MAKE) VARIANT=asan CC=$(CC) check
check-tsan:
	$(MAKE) VARIANT=tsan CC=$(CC) check

-include $(patsubst %.c,$(B)/obj/%.d,$(UNIT_SRC) $(wildcard tests/lib/*.c))
-include tests/*/rules.mk
