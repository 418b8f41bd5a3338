# SPDX-License-Identifier: GPL-3.0-or-later
# main is no archive: what is tested of it is named here.
$(B)/tests/unit/main/test_cli: $(B)/obj/kernel/main/cli.o $(B)/obj/kernel/main/cli_options.o $(B)/lib/queue.a $(B)/lib/base.a
