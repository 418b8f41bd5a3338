#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers take a local part in lower case, unless caseful_local_part: then its case counts, in local_parts too.  As exim4 answers."""
from heddle import Site, equal

ROUTERS = """caseful:
  driver = redirect
  caseful_local_part
  local_parts = Joe : ^Abc
  data = one@z.example
caseless:
  driver = redirect
  domains = test.example
  local_parts = ^abc : Fred
  data = two-$local_part@z.example
"""

with Site(routers=ROUTERS, start=False) as site:
    for name, goes in {"Joe": "one", "joe": None, "Abcd": "one", "ABcd": "two-abcd", "abcd": "two-abcd", "FRED": "two-fred"}.items():
        first = site.cli("-bt", f"{name}@test.example").stdout.splitlines()[0]
        equal(first, f"{goes}@z.example is undeliverable: Unrouteable address" if goes
              else f"{name}@test.example is undeliverable: Unrouteable address", f"{name} goes to {goes}")
