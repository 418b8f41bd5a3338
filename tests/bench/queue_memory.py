#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A long queue: memory of a queued message and of a further recipient, start with it, listing it.

usage: queue_memory.py [--messages 100000]
Messages have distinct senders and recipients in 10,000 domains, and small bodies.  Memory is taken half a minute after they
were accepted, and again after a restart.
"""
import argparse
import subprocess
import time

import servers


def fill(server, messages, recipients):
    f = servers.load(server.port, s=50, n=messages, k=100, b=400, r=recipients, f="sender%@from&.bench.test",
                     t="user%@domain&.test", p=True, m=10000)
    return f["accepted"], f["rate"]


def count(server):
    out = subprocess.run(server.command("-bpc"), stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    return int(out) if out.isdigit() else -1


def restart(server, messages):
    """Seconds from the start to the greeting, to the whole index; PSS in KiB then."""
    server.stop()
    began = time.monotonic()
    server.start(keep=True, step=0.005)
    greeted = time.monotonic() - began
    servers.wait_for(lambda: count(server) >= messages, 60, 0.05)
    whole = time.monotonic() - began
    time.sleep(1)
    return greeted, whole, servers.pss_kib(server.pids())


def listing(server):
    began = time.monotonic()
    subprocess.run(server.command("-bp"), stdout=subprocess.DEVNULL, check=False)
    return time.monotonic() - began


def one(messages, recipients):
    s = servers.Heddle("hold")
    s.start()
    try:
        _, _, empty = restart(s, 0)
        accepted, rate = fill(s, messages, recipients)
        time.sleep(32)  # so long that what reception needed is given back
        held = servers.pss_kib(s.pids())
        greeted, whole, full = restart(s, int(accepted))
        times = [listing(s) for _ in range(3)]
        each = (full - empty) * 1024 / accepted
        print(f"{accepted:.0f} messages of {recipients} recipients (accepted at {rate:.0f} a second): {each:.0f} bytes each "
              f"after a restart ({(held - empty) * 1024 / accepted:.0f} before it); greeting after {greeted:.2f} s, "
              f"index whole after {whole:.2f} s, listing {servers.median(times):.2f} s", flush=True)
        return each, (held - empty) * 1024 / accepted
    finally:
        s.stop()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--messages", type=int, default=100000)
    a = p.parse_args()
    first = one(a.messages, 1)
    second = one(a.messages, 11)
    print(f"a further recipient: {(second[0] - first[0]) / 10:.0f} bytes after a restart, {(second[1] - first[1]) / 10:.0f} before")


if __name__ == "__main__":
    main()
