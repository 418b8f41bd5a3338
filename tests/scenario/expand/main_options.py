#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""headers_charset, check_rfc2047_length, print_topbitchars and strict_acl_vars; the answers are exim4's."""
from heddle import Site, equal, like, unlike

LONG = "=?utf-8?Q?" + "a" * 70 + "=C3=A4?="
ASKED = ("${rfc2047:\xc3\xa4bc def}", "${rfc2047:abc=def}", "${rfc2047d:=?iso-8859-1?Q?a=E4b?=}", "${rfc2047d:=?utf-8?Q?a=C3=A4b?=}",
         "${rfc2047d:=?utf-8?B?w6TDtg==?= =?iso-8859-15?Q?=A4?=}", "${rfc2047d:=?utf-8*de?Q?=C3=A4?=}",
         "${rfc2047d:=?nonsense?Q?=C1?=}", "${rfc2047d:=?utf-8?Q?=E2=82=AE?=}", "${rfc2047d:" + LONG + "}", "${escape:a\xc3\xa4\x01}")
UTF8 = ("=?UTF-8?Q?=C3=A4bc_def?=", "=?UTF-8?Q?abc=3Ddef?=", "a\xc3\xa4b", "a\xc3\xa4b", "\xc3\xa4\xc3\xb6\xe2\x82\xac", "\xc3\xa4",
        'Failed: iconv_open("UTF-8", "nonsense") failed: Invalid argument (maybe unsupported conversion)', "\xe2\x82\xae", LONG, "a\\303\\244\\001")
LATIN9 = ("=?ISO-8859-15?Q?=C3=A4bc_def?=", "=?ISO-8859-15?Q?abc=3Ddef?=", "a\xe4b", "a\xe4b", "\xe4\xf6\xa4", "\xe4",
          'Failed: iconv_open("ISO-8859-15", "nonsense") failed: Invalid argument (maybe unsupported conversion)', "\xe2\x82\xae", "a" * 70 + "\xe4",
          "a\xc3\xa4\\001")
OPTIONS = "headers_charset = ISO-8859-15\ncheck_rfc2047_length = false\nprint_topbitchars\n"
STRICT = "strict_acl_vars\nacl_smtp_mail = m\nacl_smtp_vrfy = v\nacl_smtp_expn = e\n"
ACL = """m:
  accept set acl_m_set =
         set acl_c0 = x
check_rcpt:
  accept logwrite = \xc3\xbc [$acl_m_set] $acl_c0 ${if def:acl_m_set{d}{n}}
v:
  accept logwrite = never $acl_m_unset
e:
  accept condition = ${if def:acl_c_unset}
"""


def ask(site, wanted, what):
    got = site.cli("-be", stdin="\n".join(ASKED) + "\n").stdout.replace("> ", "").split("\n")
    for question, answer, want in zip(ASKED, got, wanted):
        equal(answer, want, f"{what}: {question[:50]}")


with Site(start=False) as site:
    ask(site, UTF8, "by default")
    site.write("heddle.conf", site.text(OPTIONS))
    ask(site, LATIN9, "with the options")

with Site(main=OPTIONS + STRICT, acl=ACL) as site:
    client = site.connect(helo="me")
    equal(client.ask("MAIL FROM:<a@b.example>"), "250 OK")
    equal(client.ask("RCPT TO:<a@b.example>"), "250 Accepted")
    like(site.mainlog(), r" \xc3\xbc \[\] x n$", "set to nothing is set, and the log has what is beyond ASCII")
    like(client.ask("VRFY a@b.example"), "^451 ")
    like(site.mainlog(), r'temporarily rejected VRFY .*unknown variable name "acl_m_unset" \(strict_acl_vars is set\)$')
    like(client.ask("EXPN a@b.example"), "^451 ")
    like(site.mainlog(), r'temporarily rejected EXPN .*unknown variable "acl_c_unset" after "def:" \(strict_acl_vars is set\)$')
    site.send("alice@test.example", headers="X: =?nonsense?Q?=C1?=\n")
    unlike(site.mainlog(), r" (?<!\")never( |$)")

with Site(main=STRICT.replace("strict_acl_vars\n", ""), acl=ACL) as site:
    client = site.connect(helo="me")
    like(client.ask("VRFY alice@test.example"), "^25")
    like(site.mainlog(), r" never $", "without the option it is empty")
