# SPDX-License-Identifier: GPL-3.0-or-later
# main is no archive: what is tested of it is named here.
$(B)/tests/unit/main/test_cli: $(B)/obj/kernel/main/cli.o $(B)/lib/base.a
