# SPDX-License-Identifier: GPL-3.0-or-later
# pipe needs no library.
