# SPDX-License-Identifier: GPL-3.0-or-later
driver_aliases_lookup/lsearch := wildlsearch nwildlsearch iplsearch
driver_pkgs_lookup/lsearch := libpcre2-8
