# SPDX-License-Identifier: GPL-3.0-or-later
# The kernel's modules, one archive each, and the programs that are linked from them.
#: make              build everything: programs and all drivers whose library is there
#: make programs     only the programs

comma := ,
# Layers, lowest last; a module may use what stands in a later group, and its own group.
LAYER_TOP  := smtp deliver control
LAYER_MID  := acl queue message agent
LAYER_LANG := config expand match driver
LAYER_LOW  := net thread hints log
LAYER_BASE := base
MODULES := $(LAYER_TOP) $(LAYER_MID) $(LAYER_LANG) $(LAYER_LOW) $(LAYER_BASE)

module_src = $(wildcard kernel/$(1)/*.c kernel/$(1)/*/*.c)
module_obj = $(patsubst %.c,$(B)/obj/%.o,$(call module_src,$(1)))
archive = $(B)/lib/$(1).a

# archives that a module of each layer links against, itself included
deps_of = $(strip \
	$(if $(filter $(1),$(LAYER_TOP)),$(LAYER_TOP) $(LAYER_MID) $(LAYER_LANG) $(LAYER_LOW) $(LAYER_BASE)) \
	$(if $(filter $(1),$(LAYER_MID)),$(LAYER_MID) $(LAYER_LANG) $(LAYER_LOW) $(LAYER_BASE)) \
	$(if $(filter $(1),$(LAYER_LANG)),$(LAYER_LANG) $(LAYER_LOW) $(LAYER_BASE)) \
	$(if $(filter $(1),$(LAYER_LOW)),$(LAYER_LOW) $(LAYER_BASE)) \
	$(if $(filter $(1),$(LAYER_BASE)),$(LAYER_BASE)))
archives_for = $(foreach m,$(1),$(if $(call module_src,$(m)),$(call archive,$(m))))
# members of one layer refer to each other: group them
link_group = -Wl,--start-group $(1) -Wl,--end-group

PC = $(shell pkg-config --libs $(1) 2>/dev/null)
PCC = $(shell pkg-config --cflags $(1) 2>/dev/null)
LIBS_KERNEL := -lpcre2-8 -lkyotocabinet -lunbound -lidn2 -lwolfssl -lcrypt -ldl

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC $<)
	$(Q)$(CC) $(H_CPPFLAGS) $(CPPFLAGS) $(H_CFLAGS) $(or $(H_PIC),-fPIE) $(CFLAGS) -MMD -MP -c -o $@ $<

# Kyoto Cabinet has constants of its own that are data: addressed directly they would be copied into the program and exported
$(B)/obj/kernel/hints/%.o: H_PIC := -fPIC

define module_rule
$(call archive,$(1)): $(call module_obj,$(1))
	@mkdir -p $$(@D)
	$$(Q)rm -f $$@ && ar rcsD $$@ $$^
endef
$(foreach m,$(MODULES),$(if $(call module_src,$(m)),$(eval $(call module_rule,$(m)))))

# Programs: kernel/main/prog_NAME.c is NAME's main(); kernel/main/*.c otherwise is shared by them.
MAIN_SHARED := $(patsubst %.c,$(B)/obj/%.o,$(filter-out kernel/main/prog_%.c,$(wildcard kernel/main/*.c)))
MAIN_PROCESS := $(B)/obj/kernel/main/process.o $(B)/obj/kernel/main/process_adopt.o
PROGRAMS_TOP := heddle heddlectl sendmail heddle-driver-check
PROGRAMS_LIBEXEC := heddle-master heddle-kernel heddle-agent heddle-nss
prog_src = kernel/main/prog_$(subst heddle-,,$(1)).c
have_prog = $(wildcard $(call prog_src,$(1)))
ALL_ARCHIVES = $(call archives_for,$(MODULES))
# small programs link only what they name here: less in the process, less to trust
prog_links_heddle-agent := agent driver thread log base
prog_links_heddle-nss := base
prog_links_heddle-driver-check := driver thread log base
prog_links_sendmail := base
prog_links_heddlectl := control base
prog_archives = $(call archives_for,$(or $(prog_links_$(1)),$(MODULES)))
# main's shared objects belong to the two programs that run the configuration
sub_obj = $(patsubst %.c,$(B)/obj/%.o,$(wildcard kernel/main/$(1)/*.c))
prog_shared = $(if $(filter heddle,$(1)),$(MAIN_SHARED)) $(if $(filter heddle-kernel,$(1)),$(MAIN_PROCESS) $(call sub_obj,kernel)) \
	$(if $(filter heddle-master,$(1)),$(MAIN_PROCESS) $(B)/obj/kernel/main/environment.o $(call sub_obj,master))
prog_libs = $(if $(prog_links_$(1)),$(if $(filter heddle-agent,$(1)),-lwolfssl -ldl)$(if $(filter heddle-driver-check,$(1)),-lwolfssl -ldl),$(LIBS_KERNEL))

define program_rule
$(2): $(patsubst %.c,$(B)/obj/%.o,$(call prog_src,$(1))) $(call prog_shared,$(1)) $(call prog_archives,$(1))
	@mkdir -p $$(@D)
	$$(call say,LD $$@)
	$$(Q)$$(CC) $$(H_LDFLAGS) -pie $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) \
		$$(call link_group,$$(filter %.a,$$^)) $$(call prog_libs,$(1))
programs: $(2)
endef
.PHONY: programs
programs:
$(foreach p,$(PROGRAMS_TOP),$(if $(call have_prog,$(p)),$(eval $(call program_rule,$(p),$(B)/$(p)))))
$(foreach p,$(PROGRAMS_LIBEXEC),$(if $(call have_prog,$(p)),$(eval $(call program_rule,$(p),$(B)/libexec/$(p)))))

# Rows that become code: the proxy's two halves (see kernel/agent/README.md)
-include kernel/*/module.mk

-include $(foreach m,$(MODULES) main,$(patsubst %.c,$(B)/obj/%.d,$(call module_src,$(m))))
