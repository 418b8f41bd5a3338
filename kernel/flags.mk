# SPDX-License-Identifier: GPL-3.0-or-later
# Compilers and flags.  CFLAGS, CPPFLAGS and LDFLAGS are the caller's (distributors'): never set here.

CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
IS_CLANG := $(findstring clang,$(shell $(CC) --version | head -1))

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
	-Wformat=2 -Wwrite-strings -Wcast-qual -Wpointer-arith -Wundef -Wredundant-decls -Wswitch-enum \
	-Wnull-dereference -Wdouble-promotion -Wsign-conversion -Wconversion
ifeq ($(IS_CLANG),)
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wformat-signedness -Wformat-overflow=2 \
	-Wformat-truncation=2 -Wcast-align=strict -Wimplicit-fallthrough=5 -Warith-conversion
else
WARN += -Wthread-safety -Wthread-safety-beta -Wcomma -Wassign-enum -Wunreachable-code \
	-Wconditional-uninitialized -Wshorten-64-to-32 -Wimplicit-fallthrough
endif
WERROR ?= -Werror

#: V=1              show whole command lines
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1)';)

ifeq ($(VARIANT),asan)
SAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g
else ifeq ($(VARIANT),tsan)
SAN := -fsanitize=thread -fno-omit-frame-pointer -O1 -g
else ifeq ($(VARIANT),debug)
SAN := -O0 -g3
else ifeq ($(VARIANT),fuzz)
SAN := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -O1 -g
else
SAN := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
ifeq ($(shell uname -m),x86_64)
SAN += -fcf-protection
endif
ifeq ($(IS_CLANG),)
SAN += -fstack-clash-protection -ftrivial-auto-var-init=zero
endif
endif
ifeq ($(ARENA),malloc)
SAN += -DARENA_MALLOC
endif

STD := -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -pthread -fvisibility=hidden
H_CPPFLAGS := -Ikernel -Iabi -I$(B)/gen
H_CFLAGS = $(STD) $(WARN) $(WERROR) $(SAN)
H_LDFLAGS = $(SAN) -pthread -Wl,-z,relro,-z,now -Wl,-z,defs -Wl,--as-needed
ifneq ($(filter asan tsan fuzz,$(VARIANT)),)
# clang leaves the sanitizer's symbols undefined in shared objects
H_LDFLAGS := $(filter-out -Wl$(comma)-z$(comma)defs,$(H_LDFLAGS))
endif
