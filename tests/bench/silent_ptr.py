#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients whose reverse look-up is never answered: how soon another one is greeted, and what is accepted beside them.

usage: silent_ptr.py [--clients 500] [--rounds 5]
Heddle looks everybody's name up (host_lookup = *) at a name server of ours, which says NXDOMAIN at once, and nothing for
198.18.0.0/15, where those clients come from: the script makes itself a network of its own for that (root).  In each round: the rate alone, then the clients connect, then ten greetings of a normal client are
timed and the rate is measured again while none of the others has been greeted yet.
"""
import argparse
import os
import resource
import socket
import subprocess
import sys
import threading
import time

import servers


ASKED = set()


def own_network():
    """This script again, where 198.18.0.0/15 is this host's."""
    if os.environ.get("SILENT_PTR_NET") != "own":
        os.environ["SILENT_PTR_NET"] = "own"
        if os.geteuid() != 0:
            print("needs root, for a network of its own: skipped")
            sys.exit()
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "local", "198.18.0.0/15", "dev", "lo"], check=True)


def name_server():
    """A port of 127.0.0.1 where it answers, or not."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))

    def answer():
        while True:
            q, peer = s.recvfrom(1500)
            name = q[12:q.index(b"\0", 12) + 5]
            if b"\x03198" in name:
                ASKED.add(name)
            else:
                s.sendto(q[:2] + b"\x85\x83\0\x01\0\0\0\0\0\0" + name, peer)

    threading.Thread(target=answer, daemon=True).start()
    return s.getsockname()[1]


def greeting_ms(port):
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.settimeout(60)
        if not s.recv(512).startswith(b"220"):
            raise OSError("refused")
        ms = (time.perf_counter() - began) * 1000
        s.sendall(b"QUIT\r\n")
    return ms


def connect(port, n, number):
    """From addresses that no cache knows."""
    socks = []
    for i in range(n):
        s = socket.socket(socket.AF_INET)
        s.bind((f"198.18.{number * 10 + i // 200}.{2 + i % 200}", 0))
        s.connect(("127.0.0.1", port))
        s.setblocking(False)
        socks.append(s)
    return socks


def greeted(socks):
    n = 0
    for s in socks:
        try:
            n += bool(s.recv(512))
        except BlockingIOError:
            pass
    return n


def rate(port):
    return servers.load(port, s=20, n=4000, k=20)["rate"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--clients", type=int, default=500)
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    own_network()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ["HEDDLE_DNS"] = f"127.0.0.1@{name_server()}"

    class Looking(servers.Heddle):
        def config(self):
            return super().config().replace("host_lookup =\n", "host_lookup = *\n")

    server = Looking("hold", extra="smtp_accept_max_per_host = 0\n")
    alone, beside, waits = [], [], []
    for number in range(a.rounds):  # a resolver that has met so much silence gives up sooner: each round has a new one
        server.start()
        try:
            rate(server.port)
            alone.append(rate(server.port))
            socks = connect(server.port, a.clients, number)
            time.sleep(0.1)
            waits += [greeting_ms(server.port) for _ in range(10)]
            beside.append(rate(server.port))
            early = greeted(socks)
            if early:
                print(f"  round {number + 1}: {early} of the clients were greeted before the end of it")
            for s in socks:
                s.close()
        finally:
            server.stop()
    ratios = [b / c for b, c in zip(beside, alone)]
    print(f"{len(ASKED)} different questions reached the name server")
    print(f"{a.clients} clients whose name is not answered: another is greeted within {servers.median(waits):.1f} ms (longest "
          f"{max(waits):.1f}); accepting alone {servers.median(alone):.0f} a second, beside them {servers.median(beside):.0f} "
          f"(median of the rounds' ratios {servers.median(ratios):.2f}, {servers.spread(ratios)})")


if __name__ == "__main__":
    main()
