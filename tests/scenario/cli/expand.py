#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""heddle -be: words, lines from standard input, the site's own lists and macros, failures told apart."""
from heddle import Site, equal, like

LINES = r"""${uc:loud} $primary_hostname
${if match{abc}{^(.)(.*)\$}{$2$1}{no}}
${lookup{bob}lsearch{DIR/aliases}{$value}{nobody}}
${lookup{eve}lsearch{DIR/aliases}{$value}fail}
${if match_domain{a.test.example}{+local_domains}{ours}{theirs}}
${reduce{<, 1,2,3}{0}{${eval:$value+$item}}}
${nosuch:x}
${extract json{a}{{"a": [1, 2], "b": null\}}}
"""
WANT = ["LOUD mx.test.example", "bca", "carol@test.example", 'Failed: "lookup" failed and "fail" requested',
        "ours", "6"]

with Site("domainlist more = *.test.example\n",
          start=False) as site:
    site.write("aliases", "bob: carol@test.example\n")
    words = site.cli("-be", "$primary_hostname", "${eval:6*7}")
    equal(words.stdout, "mx.test.example\n42\n")
    lines = LINES.replace("DIR", site.dir).replace("+local_domains", "+more")
    got = site.cli("-be", stdin=lines).stdout.splitlines()
    equal(got.pop(), "> ", "a prompt, also at the end")
    equal([line[:2] for line in got], ["> "] * len(got), "a prompt before each line is read")
    got = [line[2:] for line in got]
    for wanted, line in zip(WANT, got):
        equal(line, wanted)
    like(got[6], "^Failed: .*nosuch", "an unknown operator is named")
    equal(got[7], "[1, 2]")
    equal(len(got), 8, "one answer for each line")
