#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration with anything wrong in it never starts: file and line are named, and nothing listens."""
from heddle import Site, check, equal, like

WRONG = [
    ("no such option", dict(main="no_such_option = 1\n"), r"heddle\.conf:7: .*no_such_option"),
    ("a near name", dict(main="smtp_accept_maxx = 1\n"), r"smtp_accept_max\b"),
    ("a bad number", dict(main="smtp_accept_max = lots\n"), r"heddle\.conf:7: .*smtp_accept_max"),
    ("an unknown variable", dict(main="smtp_banner = $no_such_variable\n"), r"no_such_variable"),
    ("a brace too few", dict(main="smtp_banner = ${if def:sender_host_name{a}{b}\n"), r"heddle\.conf:7: .*smtp_banner"),
    ("an unknown driver", dict(routers="x:\n  driver = teleport\n"), r"heddle\.conf:\d+: .*teleport"),
    ("an unknown transport", dict(routers="x:\n  driver = accept\n  transport = nowhere\n"), r"nowhere"),
    ("an unknown named list", dict(routers="x:\n  driver = accept\n  domains = +nolist\n  transport = maildir\n"), "nolist"),
    ("an unknown ACL condition", dict(acl="check_rcpt:\n  accept\n    moonphase = full\n"), r"heddle\.conf:\d+: .*moonphase"),
    ("what is not built", dict(main="system_filter = /x\n"), r"not supported yet: system_filter"),
]

with Site(start=False) as site:
    for what, parts, said in WRONG:
        site.write("heddle.conf", site.text(**parts))
        done = site.cli("-bdf")
        check(done.returncode != 0, f"{what}: it does not start", done.stdout)
        like(done.stderr, said, f"{what}: it says where")
    site.write("heddle.conf", site.text("no_such_option = 1\nno_other_option = 2\n"))
    done = site.cli("-bV")
    like(done.stderr, r"heddle\.conf:7: .*no_such_option", "several errors in one go: the first")
    like(done.stderr, r"heddle\.conf:8: .*no_other_option", "several errors in one go: the second")
    site.write("heddle.conf", site.text("acl_smtp_mail = nowhere\n"))
    done = site.cli("-bV")
    check(done.returncode != 0, "-bV refuses an ACL that does not exist", done.stdout)
    like(done.stderr, r"heddle\.conf:7: .*nowhere", "and says where it is asked for")
    equal(site.mainlog(), "", "nothing was logged as started")
