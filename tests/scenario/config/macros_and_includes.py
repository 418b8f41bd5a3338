#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Macros, -D, .ifdef, .include and .include_if_exists together decide what -bP says is in force."""
from heddle import Site, equal, like

CONFIG = """.include DIR/common.conf
.include_if_exists DIR/not_there.conf
SPOOL = DIR/spool
primary_hostname = HOST
spool_directory = SPOOL
.ifdef BUSY
smtp_accept_max = 500
.elifdef QUIET
smtp_accept_max = 5
.else
smtp_accept_max = 50
.endif
hide smtp_banner = secret \\
   # a comment between continuation lines
   $tod_full
HOST == other.example
qualify_domain = HOST
"""

with Site(whole=CONFIG, start=False) as site:
    site.write("common.conf", "HOST = mx.test.example\nmessage_size_limit = 7M\n")
    def printed(*words):
        return site.cli(*words).stdout
    equal(printed("-bP", "primary_hostname"), "primary_hostname = mx.test.example\n")
    equal(printed("-bP", "qualify_domain"), "qualify_domain = other.example\n", "a macro that was defined again")
    equal(printed("-bP", "message_size_limit"), "message_size_limit = 7M\n", "what an included file says")
    equal(printed("-bP", "smtp_accept_max"), "smtp_accept_max = 50\n")
    equal(printed("-DBUSY", "-bP", "smtp_accept_max"), "smtp_accept_max = 500\n", "-D")
    equal(printed("-DQUIET=1", "-bP", "smtp_accept_max"), "smtp_accept_max = 5\n", "-D with a value")
    equal(printed("-DSPOOL=/elsewhere", "-bP", "spool_directory"), "spool_directory = /elsewhere\n", "-D wins")
    like(site.cli("-DHOST=x", "-bP", "nosuch").stdout, "^nosuch is not a known option$", "an option that there is not")
