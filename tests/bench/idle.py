#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that wait after EHLO: memory of each, threads, and what is accepted beside them.

usage: idle.py [--sessions 10000] [--rounds 5] [--servers heddle]
Memory is the growth of the proportional set size of all the server's processes.  The peers need one process for a session:
they are asked for 150.
"""
import argparse
import resource
import socket
import time

import servers


def open_sessions(port, n):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(n, hard - 100)
    socks = []
    for i in range(n):
        s = socket.socket(socket.AF_INET)
        s.settimeout(30)
        s.bind((f"127.0.0.{2 + i % 200}", 0))
        s.connect(("127.0.0.1", port))
        if not s.recv(512).startswith(b"220"):
            raise OSError("refused")
        s.sendall(b"EHLO idle.bench.test\r\n")
        if not s.recv(4096).startswith(b"250"):
            raise OSError("EHLO refused")
        socks.append(s)
    return socks


def accept_rate(server):
    return servers.load(server.port, s=20, n=3000, k=20)["rate"]


def measure(server, sessions, rounds):
    server.start()
    try:
        accept_rate(server)  # pools, arenas and threads have their size
        alone, beside, each, threads = [], [], 0, 0
        for number in range(rounds):
            alone.append(accept_rate(server))
            memory = servers.pss_kib(server.pids())
            socks = open_sessions(server.port, sessions)
            if number == 0:
                time.sleep(3)
                each = (servers.pss_kib(server.pids()) - memory) / len(socks)
                threads = sum(servers.threads(server.pids()).values())
            beside.append(accept_rate(server))
            for s in socks:
                s.close()
            time.sleep(2)
        print(f"{server.name}: {len(socks)} sessions, {each:.2f} KiB each, {threads} threads in all processes; accepting alone "
              f"{servers.median(alone):.0f} a second, beside them {servers.median(beside):.0f} (median of the rounds' ratios "
              f"{servers.median([b / a for a, b in zip(alone, beside)]):.2f})", flush=True)
    finally:
        server.stop()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--sessions", type=int, default=10000)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--servers", default="heddle,exim,postfix")
    a = p.parse_args()
    for s in servers.servers("hold", a.servers.split(",")):
        if s.name == "heddle":
            s.extra = "smtp_accept_max_per_host = 0\n"
        measure(s, a.sessions if s.name == "heddle" else 150, a.rounds)


if __name__ == "__main__":
    main()
