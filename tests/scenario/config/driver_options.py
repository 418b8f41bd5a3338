#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger's lookup driver with an option in the main section: the example of abi/, put beside the others, and nothing else."""
import os
import shutil
import subprocess

from heddle import Site, check, equal, like, skip

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
CC = os.environ.get("CC", "cc").split()[-1]
if not shutil.which(CC):
    skip(f"no {CC}")

with Site(start=False) as site:
    if site.programs != os.path.join(site.dir, "programs"):
        copy = os.path.join(site.dir, "programs")
        os.mkdir(copy, 0o755)
        for name in ("heddle", "heddlectl"):
            shutil.copy2(os.path.join(site.programs, name), copy)
        for name in ("libexec", "drivers"):
            shutil.copytree(os.path.join(site.programs, name), os.path.join(copy, name))
        site.programs = copy
    file = os.path.join(site.programs, "drivers", "lookup", "shard.so")
    subprocess.run([CC, "-std=c11", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-I", os.path.join(TOP, "abi"), "-o", file,
                    os.path.join(TOP, "abi/example/lookup_shard/shard.c")], check=True)
    os.chmod(file, 0o755)

    def shards(main):
        site.write("heddle.conf", site.text(main))
        got = site.cli("-be", "${lookup shard{alice}} ${lookup shard{$local_part}}").stdout
        check(got.split()[0].isdigit(), f"a shard with {main!r}", got)
        return int(got.split()[0])

    full = shards("")
    equal(shards("shard_count = 8\n"), full % 8, "the option counts")
    equal(shards("shard_count = 1\n"), 0, "one shard")
    site.write("heddle.conf", site.text("shard_count = 0x10\n"))
    equal(site.cli("-bP", "shard_count").stdout, "shard_count = 16\n", "-bP shows it")
    like(site.cli("-bP").stdout, r"(?m)^shard_count = 16$", "among the others")
    for value, said in (("many", r"heddle\.conf:7: option \"shard_count\": a number .* was expected, found \"many\""),
                        ("0", r"heddle\.conf:7: lookup driver shard: shard_count must be 1 to 65535")):
        site.write("heddle.conf", site.text(f"shard_count = {value}\n"))
        done = site.cli("-bV")
        check(done.returncode != 0, f"{value} is refused", done.stdout)
        like(done.stderr, said, "when the configuration is loaded, by file and line")
    site.write("heddle.conf", site.text("shard_count = 4\n", acl="check_rcpt:\n  accept set acl_m_s = ${lookup shard{$local_part}}\n"
                                        "    add_header = X-Shard: $acl_m_s\n"))
    site.start()
    site.send("alice@test.example")
    like(site.maildir("alice", 1)[0], rf"X-Shard: {full % 4}\n", "master and kernel take the option; a key from outside")
