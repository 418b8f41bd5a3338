#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lone sender on a kept connection: from MAIL to 250, beside one append and fdatasync of the same size on the same disk.

usage: lone.py [--rounds 9] [--messages 300] [--servers heddle,limit,exim,postfix]
"""
import argparse
import os
import time

import servers


def append_ms(count):
    """Median of write and fdatasync behind a growing file, as the queue's log grows."""
    path, times, block = os.path.join(servers.WORK, "append"), [], b"x" * 4400
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for _ in range(count):
        began = time.perf_counter()
        os.write(fd, block)
        os.fdatasync(fd)
        times.append((time.perf_counter() - began) * 1000)
    os.close(fd)
    os.unlink(path)
    return servers.median(times)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--messages", type=int, default=300)
    p.add_argument("--servers", default="heddle,limit,exim,postfix")
    a = p.parse_args()
    running = servers.servers("hold", a.servers.split(","))
    results = {}
    try:
        for s in running:
            s.start()
        for _ in range(a.rounds):
            results.setdefault("append", []).append(append_ms(a.messages))
            for s in running:
                f = servers.load(s.port, s=1, n=a.messages, k=100)
                results.setdefault(s.name, []).append(f["p50_ms"])
                results.setdefault(s.name + ", pipelining", []).append(servers.load(s.port, s=1, n=a.messages, k=100, p=True)["p50_ms"])
    finally:
        for s in running:
            s.stop()
    alone = servers.median(results["append"])
    for name, values in results.items():
        m = servers.median(values)
        print(f"{name:>20}: {m:.3f} ms ({servers.spread(values)}), {m / alone:.2f} times one append and fdatasync")


if __name__ == "__main__":
    main()
