#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ACL option that expands to nothing is an ACL without statements, which denies; one whose expansion is forced to fail is unset."""
from heddle import Site, equal

with Site("acl_smtp_mail = ${if eq{$sender_helo_name}{none.example}{}{${if eq{$sender_helo_name}{yes.example}{yes}fail}}}\n",
          acl="yes:\n  accept\ncheck_rcpt:\n  accept\n") as site:
    for name, code in (("none.example", "550"), ("yes.example", "250"), ("unset.example", "250")):
        client = site.connect(helo=name)
        equal(client.code("MAIL FROM:<a@client.example>"), code, name)
        client.close()
