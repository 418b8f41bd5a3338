#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's default configuration, unmodified: it loads, with warnings where it permits what is not there yet."""
import os

from heddle import Site, equal, like, skip, unlike

EXAMPLE = next((p for p in ("/usr/share/doc/exim4-base/examples/example.conf",
                            "/usr/share/doc/exim4/examples/example.conf") if os.path.exists(p)), None)
if not EXAMPLE:
    skip("exim4-base's example.conf is not installed")
with open(EXAMPLE, encoding="utf-8") as file:
    text = file.read()
with Site(whole=text, start=False) as site:
    done = site.cli("-bV")
    equal(done.returncode, 0, "it loads")
    unlike(done.stderr, "error")
    like(done.stdout, "^Configuration file is ")
    like(site.cli("-bP", "acl_smtp_rcpt").stdout, "^acl_smtp_rcpt = acl_check_rcpt$")
    like(site.cli("-bP", "router_list").stdout, "^dnslookup$")
