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


def accept_rate(server, rounds):
    return servers.median([servers.load(server.port, s=20, n=2000, k=20)["rate"] for _ in range(rounds)])


def measure(server, sessions, rounds):
    server.start()
    try:
        accept_rate(server, 1)  # pools, arenas and threads have their size
        memory, alone = servers.pss_kib(server.pids()), accept_rate(server, rounds)
        memory = servers.pss_kib(server.pids())
        began = time.monotonic()
        socks = open_sessions(server.port, sessions)
        took = time.monotonic() - began
        time.sleep(3)
        each = (servers.pss_kib(server.pids()) - memory) / len(socks)
        threads = sum(servers.threads(server.pids()).values())
        beside = accept_rate(server, rounds)
        for s in socks:
            s.close()
        print(f"{server.name}: {len(socks)} sessions opened in {took:.1f} s, {each:.2f} KiB each, {threads} threads in all "
              f"processes; accepting alone {alone:.0f} a second, beside them {beside:.0f} ({beside / alone:.2f})", flush=True)
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
