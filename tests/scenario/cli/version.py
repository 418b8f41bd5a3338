#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""heddle -bV: the version, the drivers there are, and the configuration's errors and warnings with their lines."""
from heddle import Site, equal, like

with Site(start=False) as site:
    done = site.cli("-bV")
    equal(done.returncode, 0, "a good configuration")
    like(done.stdout, r"^Heddle version \d+\.\d+")
    like(done.stdout, r"^Lookups:.* json\b.* lsearch\b")
    like(done.stdout, r"^Routers: accept dnslookup ipliteral manualroute redirect$")
    like(done.stdout, r"^Transports:.* appendfile\b")
    like(done.stdout, r"^Configuration file is .*/heddle\.conf$")
    site.write("heddle.conf", site.text("smtp_banner = ${nosuchop:x}\n"))
    done = site.cli("-bV")
    equal(done.returncode, 1, "a bad configuration")
    like(done.stderr, r"heddle\.conf:7: .*nosuchop")
