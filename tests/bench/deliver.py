#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""From acceptance to delivered: seconds until all messages have left the queue, each server in turn, several rounds.

usage: deliver.py [--rounds 5] [--messages 1000] [--kinds maildir,maildirs,relay] [--servers heddle,postfix,exim]
maildir: to one user's Maildir; maildirs: to 100 users' in turn; relay: to a sink on loopback (needs Postfix's smtp-sink).
"""
import argparse
import os
import subprocess
import time

import servers

SINK_PORT = 12526


def start_sink():
    root = os.path.join(servers.PEERS, "postfix")
    p = subprocess.Popen(["chroot", root, "smtp-sink", "-u", "mail", f"127.0.0.1:{SINK_PORT}", "300"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    servers.wait_for(lambda: servers.greets(SINK_PORT), 5)
    return p


def count(server):
    return server.sent() if server.mode == "relay" else server.delivered()


def once(server, messages, limit_s):
    server.start()
    try:
        to = "user&@bench.test" if server.mode == "maildirs" else "user@bench.test"
        first = messages // 5  # by then all processes are there that will be
        servers.load(server.port, s=20, n=first, k=20, t=to, m=100)
        servers.wait_for(lambda: count(server) >= first, limit_s, 0.05)
        time.sleep(1)
        cpu, began = servers.cpu_seconds(server.pids()), time.monotonic()
        f = servers.load(server.port, s=20, n=messages, k=20, t=to, m=100)
        servers.wait_for(lambda: count(server) >= messages + first, limit_s, 0.02)
        took, n = time.monotonic() - began, count(server) - first
        return {"rate": n / took, "accept": f["rate"],
                "cpu_ms": (servers.cpu_seconds(server.pids()) - cpu) * 1000 / max(1, n), "n": n}
    finally:
        server.stop()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--messages", type=int, default=1000)
    p.add_argument("--kinds", default="maildir,maildirs,relay")
    p.add_argument("--servers", default="heddle,postfix,exim")
    p.add_argument("--seconds", type=float, default=60, help="give up after")
    a = p.parse_args()
    for kind in a.kinds.split(","):
        sink = start_sink() if kind == "relay" and servers.PEERS else None
        results = {}
        try:
            for _ in range(a.rounds):
                for s in servers.servers(kind, a.servers.split(",")):
                    n = a.messages // 10 if s.name == "exim" else a.messages
                    results.setdefault(s.name, []).append(once(s, n, a.seconds))
        finally:
            if sink:
                sink.terminate()
                sink.wait()
        ours = servers.median([r["rate"] for r in results.get("heddle", [])])
        print(f"{kind}, {a.messages} messages (Exim a tenth), load average {os.getloadavg()[0]:.1f}")
        for name, all_ in results.items():
            rate = servers.median([r["rate"] for r in all_])
            print(f"  {name:>9} {rate:8.0f} delivered a second ({servers.spread([r['rate'] for r in all_])}), accepted "
                  f"{servers.median([r['accept'] for r in all_]):6.0f} a second, CPU {servers.median([r['cpu_ms'] for r in all_]):.2f} ms"
                  f" each; fewest {min(r['n'] for r in all_)}" + ("" if name == "heddle" else f"; Heddle {ours / rate:.2f} times"),
                  flush=True)


if __name__ == "__main__":
    main()
