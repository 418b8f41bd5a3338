# SPDX-License-Identifier: GPL-3.0-or-later
# cram_md5 needs no library: the digest is a service of the kernel's.
$(B)/tests/unit/driver/test_cram_md5: | $(B)/drivers/auth/cram_md5.so
