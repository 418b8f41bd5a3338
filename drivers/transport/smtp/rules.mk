# SPDX-License-Identifier: GPL-3.0-or-later
# smtp needs no library: the sessions are the kernel's.
