# SPDX-License-Identifier: GPL-3.0-or-later
# plaintext needs no library.
$(B)/tests/unit/driver/test_plaintext: | $(B)/drivers/auth/plaintext.so
