# SPDX-License-Identifier: GPL-3.0-or-later
# for quota_size_regex
driver_pkgs_transport/appendfile := libpcre2-8
