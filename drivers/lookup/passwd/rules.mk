# SPDX-License-Identifier: GPL-3.0-or-later
# passwd needs no library.
