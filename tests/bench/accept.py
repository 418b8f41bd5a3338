#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages accepted a second and held, each server in turn, several rounds; medians, and their ratios to Heddle's.

usage: accept.py [--rounds 5] [--sessions 20,100,200] [--messages 2000] [--servers heddle,limit,exim,postfix]
"""
import argparse
import os

import servers


def measure(server, kept, sessions, messages):
    before = servers.cpu_seconds(server.pids())
    f = servers.load(server.port, s=sessions, n=messages, k=20 if kept else 1)
    servers.settle(server)
    f["server_ms"] = (servers.cpu_seconds(server.pids()) - before) * 1000 / max(1, f["accepted"])
    f["client_ms"] = f["cpu_s"] * 1000 / max(1, f["accepted"])
    return f


def messages_for(server, sessions, messages):
    if sessions == 1:
        return messages // 10
    return messages if server.name in ("heddle", "limit") else messages // 2


def show(results, kinds):
    columns = ("rate", "p50_ms", "p99_ms", "server_ms", "client_ms")
    print(f"\n{'':8} {'':>9} {'rate/s':>8} {'(range)':>15} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'client':>8}  Heddle's rate is")
    for kept, sessions in kinds:
        print(f"{'20 a connection' if kept else 'a connection each'}, {sessions} sessions")
        ours = results.get(("heddle", kept, sessions), [])
        for name in ("heddle", "limit", "exim", "postfix"):
            all_ = results.get((name, kept, sessions))
            if not all_:
                continue
            m = {c: servers.median([f[c] for f in all_]) for c in columns}
            ratio = servers.median([f["rate"] for f in ours]) / m["rate"] if ours and name != "heddle" else 0
            print(f"{'':8} {name:>9} {m['rate']:8.0f} {servers.spread([f['rate'] for f in all_]):>15} {m['p50_ms']:8.2f} "
                  f"{m['p99_ms']:8.2f} {m['server_ms']:8.3f} {m['client_ms']:8.3f}" + (f"  {ratio:.2f} times" if ratio else ""))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--sessions", default="20,100,200")
    p.add_argument("--messages", type=int, default=2000)
    p.add_argument("--servers", default="heddle,limit,exim,postfix")
    a = p.parse_args()
    kinds = [(kept, int(s)) for kept in (True, False) for s in a.sessions.split(",")]
    results = {}
    running = servers.servers("hold", a.servers.split(","))
    try:
        for s in running:
            s.start()
        for number in range(a.rounds):
            for kept, sessions in kinds:
                for s in running:
                    f = measure(s, kept, sessions, messages_for(s, sessions, a.messages))
                    results.setdefault((s.name, kept, sessions), []).append(f)
            print(f"round {number + 1} of {a.rounds}; load average {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        for s in running:
            s.stop()
    show(results, kinds)


if __name__ == "__main__":
    main()
