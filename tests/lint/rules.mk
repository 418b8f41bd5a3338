# SPDX-License-Identifier: GPL-3.0-or-later
#: make lint                      layers, sizes, banned calls, globals, locks, words; how far the format is off

.PHONY: lint
# globals are looked for in what the compiler made
lint: programs
	tests/lint/run $(B)
