# SPDX-License-Identifier: GPL-3.0-or-later
#: make check-mutants [T=name]   faults put in on purpose: each must turn its tests red
.PHONY: check-mutants
check-mutants: check-build
	tests/mutants/run --build $(B) $(if $(T),--only '$(T)')
