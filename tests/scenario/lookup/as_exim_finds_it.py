#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookups in files, directories and among users, and addresses in brackets: asked of Heddle and of Debian's exim4."""
import os
import re

import exim
from heddle import Site, equal

exim.enter()
NETWORKS = """1.2.3.4:           data for 1.2.3.4
192.168.0.0/16:    data for 192.168.0.0/16
"abcd::cdab":      data for abcd::cdab
"abcd:abcd::/32"   data for abcd:abcd::/32
notanip: zzz
10.0.0.0/33: too many bits
0.0.0.0/0 all the rest
"""
PATTERNS = r"""*.a.b.c:       data for anything.a.b.c
*fish         data for anythingfish
^\d+\.a\.b    digits
^\N^x\d+\.a\.b\N expanded digits
^(?-i)Case\.x  case
"^has space:x" quoted
lit.Eral: literal
lsearch;DIR/inner: nested
$primary_hostname: host
"${if eq{1}{2}{x}fail}": forced
@: at
plain
  continued
*: rest
"""
KEYS = {"iplsearch": ("1.2.3.4", "192.168.7.8", "abcd::cdab", "ABCD::CDAB", "abcd:abcd::1", "9.9.9.9", "::ffff:1.2.3.4", "abcd::1", ""),
        "wildlsearch": ("q.a.b.c", "starfish", "12.a.b", "x12.a.b", "Case.x", "case.x", "has space:xyz", "LIT.eral", "inkey",
                        "mx.test.example", "@", "plain", "other", "")}
KEYS["nwildlsearch"] = KEYS["wildlsearch"]
ROUTERS = """lit:
  driver = ipliteral
  ignore_target_hosts = 10.0.0.0/8
  transport = smtp
rest:
  driver = accept
  transport = smtp
"""
TRANSPORTS = "smtp:\n  driver = smtp\n  hosts = 192.0.2.99\n"
with Site("allow_domain_literals\n", start=False, routers=ROUTERS, transports=TRANSPORTS) as site:
    site.write("networks", NETWORKS)
    site.write("patterns", PATTERNS)
    site.write("inner", "inkey: x\n")
    os.makedirs(site.path("d/sub"))
    site.write("d/file", "")
    os.symlink("file", site.path("d/link"))
    texts = []
    for kind, keys in KEYS.items():
        name = "networks" if kind == "iplsearch" else "patterns"
        texts += [f"${{lookup{{{key}}}{kind}{option}{{{site.path(name)}}}{{<$value>}}{{none}}}}" for key in keys for option in ("", ",ret=full")]
    for option in ("", ",ret=full", ",filter=file", ",filter=dir", ",filter=subdir", ",ret=full,filter=file", ",foo=bar"):
        texts += [f"${{lookup{{{key}}}dsearch{option}{{{site.path('d')}}}{{<$value>}}{{none}}}}" for key in
                  ("file", "sub", "link", ".", "..", "none", "")]
    texts += ["${lookup passwd{root}{<$value>}{none}}", "${lookup passwd{nosuch}{<$value>}{none}}", "${lookup passwd{}{x}{none}}",
              f"${{lookup{{10.1.2.3}}net24-iplsearch{{{site.path('networks')}}}{{<$value>}}{{none}}}}",
              f"${{lookup{{x.q}}partial-nwildlsearch{{{site.path('patterns')}}}{{<$value>}}{{none}}}}"]
    peer = exim.Exim(site, "primary_hostname = mx.test.example\nallow_domain_literals\ndomainlist local_domains = test.example\n"
                     f"begin routers\n{ROUTERS}begin transports\n{TRANSPORTS}")
    wanted = peer.run("-be", *texts).stdout.splitlines()
    got = site.cli("-be", *texts).stdout.splitlines()
    for text, want, have in zip(texts, wanted, got):
        if not want.startswith("Failed"):
            equal(have, want, text.replace(site.dir, ""))
        else:
            equal(have[:6], "Failed", text.replace(site.dir, ""))
    equal(len(got), len(wanted), "an answer to each")
    said = site.cli("-be", f"${{lookup{{a/b}}dsearch{{{site.path('d')}}}}}")
    equal(re.findall(r"key for dsearch lookup.*", said.stdout + said.stderr)[:1], ["key for dsearch lookup contains a slash: a/b"],
          "a slash in a name")
    for address in ("x@[192.0.2.1]", "x@[IPv6:2001:db8::1]", "x@[ipv6:2001:DB8::2]", "x@[10.1.2.3]", "x@[127.0.0.1]",
                    "x@plain.example"):
        equal(site.cli("-bt", address).stdout, peer.run("-bt", address).stdout, f"-bt {address}")
