# SPDX-License-Identifier: GPL-3.0-or-later
# What single modules' tests need beside their programs.
-include $(wildcard tests/unit/*/rules.mk)
