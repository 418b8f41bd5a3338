# SPDX-License-Identifier: GPL-3.0-or-later
driver_pkgs_lookup/json := json-c
