# SPDX-License-Identifier: GPL-3.0-or-later
# lmtp needs no library.
