# SPDX-License-Identifier: GPL-3.0-or-later
# accept needs no library.
