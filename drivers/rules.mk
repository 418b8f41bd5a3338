# SPDX-License-Identifier: GPL-3.0-or-later
# One shared object for each folder drivers/CLASS/NAME that has NAME.c and a rules.mk.
#: make drivers                    every driver whose library is there; those left out are named
#: make DRIVERS='lookup/json ...'  exactly these; one that cannot be built is an error
#
# A driver's rules.mk may set, with CLASS/NAME in the variable's name:
#   driver_pkgs_CLASS/NAME := pkg-config names it needs
#   driver_libs_CLASS/NAME := further linker words
#   driver_aliases_CLASS/NAME := its further names, as in its head: links beside it

DRIVER_ALL := $(patsubst drivers/%/rules.mk,%,$(wildcard drivers/*/*/rules.mk))
include $(wildcard drivers/*/*/rules.mk)

driver_missing = $(strip $(foreach p,$(driver_pkgs_$(1)),$(if $(shell pkg-config --exists $(p) || echo no),$(p))))
ifdef DRIVERS
DRIVER_BUILD := $(DRIVERS)
$(foreach d,$(DRIVERS),$(if $(filter $(d),$(DRIVER_ALL)),,$(error no such driver: $(d)))\
	$(if $(call driver_missing,$(d)),$(error driver $(d) needs $(call driver_missing,$(d)))))
else
DRIVER_BUILD := $(foreach d,$(DRIVER_ALL),$(if $(call driver_missing,$(d)),\
	$(info driver $(d) left out: needs $(call driver_missing,$(d))),$(d)))
endif

# A driver sees abi/ and nothing of the kernel: that is what makes it a stranger's equal.
define driver_rule
$(B)/drivers/$(1).so: $$(wildcard drivers/$(1)/*.c drivers/$(1)/*.h abi/heddle/*.h)
	@mkdir -p $$(@D)
	$$(call say,DRIVER $(1))
	$$(Q)$$(CC) -Iabi $$(CPPFLAGS) $$(H_CFLAGS) $$(CFLAGS) $$(if $$(driver_pkgs_$(1)),$$(call PCC,$$(driver_pkgs_$(1)))) \
		-fPIC -shared -Wl,-z,nodelete $$(H_LDFLAGS) $$(LDFLAGS) -o $$@.tmp $$(wildcard drivers/$(1)/*.c) \
		$$(if $$(driver_pkgs_$(1)),$$(call PC,$$(driver_pkgs_$(1)))) $$(driver_libs_$(1))
	$$(Q)mv $$@.tmp $$@
	$$(Q)for a in $$(driver_aliases_$(1)); do ln -sf $$(notdir $$@) $$(@D)/$$$$a.so; done
drivers: $(B)/drivers/$(1).so
endef
.PHONY: drivers
drivers:
$(foreach d,$(DRIVER_BUILD),$(eval $(call driver_rule,$(d))))
