# SPDX-License-Identifier: GPL-3.0-or-later
# dnslookup needs no library.
