# SPDX-License-Identifier: GPL-3.0-or-later
# external needs no library.
$(B)/tests/unit/driver/test_external: | $(B)/drivers/auth/external.so
