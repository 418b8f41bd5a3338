#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expansions a second beside `exim4 -be`: long loops, the time of an empty run subtracted; medians of alternating rounds.

usage: expand.py [--rounds 5] [--items 20000]
EXIM names the other binary (default: exim4 of PEERS, else exim4 of the PATH).
"""
import argparse
import os
import shutil
import subprocess
import tempfile
import time

import servers

CASES = {
    "reduce, match, eval": "${{reduce{{<, ${{readfile{{{f}}}{{,}}}}}}{{0}}{{${{if match{{$item}}{{^[a-z]+([0-9]+)@}}"
                           "{{${{eval:$value+1}}}}{{$value}}}}}}}}",
    "map, uc, substr": "${{strlen:${{map{{<, ${{readfile{{{f}}}{{,}}}}}}{{${{uc:${{substr{{0}}{{6}}{{$item}}}}}}}}}}}}",
    "filter, forany-like conditions": "${{strlen:${{filter{{<, ${{readfile{{{f}}}{{,}}}}}}{{and{{{{eqi{{${{domain:$item}}}}"
                                      "{{D7.TEST}}}}{{!eq{{$item}}{{}}}}}}}}}}}}",
    "map, sg, hash": "${{strlen:${{map{{<, ${{readfile{{{f}}}{{,}}}}}}{{${{sg{{$item}}{{[0-4]}}{{x}}}}${{md5:$item}}}}}}}}",
    "reduce, if, numeric": "${{reduce{{<, ${{readfile{{{f}}}{{,}}}}}}{{0}}{{${{if >{{${{strlen:$item}}}}{{$value}}"
                           "{{${{strlen:$item}}}}{{$value}}}}}}}}",
}


def seconds(command, text):
    began = time.monotonic()
    out = subprocess.run(command, input=text + "\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return time.monotonic() - began, out.stdout.strip().strip("> \n")


def programs(folder):
    config = os.path.join(folder, "expand.conf")
    with open(config, "w") as f:
        f.write(f"primary_hostname = bench.test\nspool_directory = {folder}\n")
    found = {"heddle": [f"{servers.BUILD}/heddle", "-C", config, "-be"]}
    exim = os.environ.get("EXIM") or (servers.PEERS and f"{servers.PEERS}/exim/usr/sbin/exim4") or shutil.which("exim4")
    if exim and os.path.exists(exim):
        root = f"{servers.PEERS}/exim"
        inside = exim.startswith(root) and os.geteuid() == 0
        found["exim"] = ["chroot", root, exim[len(root):], "-be"] if inside else [exim, "-be"]
        if inside:
            with open(f"{root}/etc/exim4/exim4.conf", "w") as f:
                f.write("primary_hostname = bench.test\nkeep_environment =\n")
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--items", type=int, default=20000)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        items = os.path.join(folder, "items")
        with open(items, "w") as f:
            f.write("\n".join(f"user{i}@d{i % 100}.test" for i in range(a.items)))
        found = programs(folder)
        if "exim" in found and found["exim"][0] == "chroot":
            shutil.copy(items, f"{servers.PEERS}/exim/tmp/items")
        for name, text in CASES.items():
            times, answers = {}, {}
            for _ in range(a.rounds):
                for who, command in found.items():
                    path = "/tmp/items" if command[0] == "chroot" else items
                    empty, _ = seconds(command, "x")
                    full, answers[who] = seconds(command, text.format(f=path))
                    times.setdefault(who, []).append(max(1e-4, full - empty))
            line = ", ".join(f"{w} {a.items / servers.median(t):.0f} items a second" for w, t in times.items())
            if "exim" in times:
                line += f": {servers.median(times['exim']) / servers.median(times['heddle']):.1f} times"
                if answers["exim"] != answers["heddle"]:
                    line += f" BUT THEY DIFFER: {answers['heddle'][:60]!r} {answers['exim'][:60]!r}"
            print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    main()
