#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clients in the middle of a message, each a little further from time to time: the server's memory, and another client.

usage: slow_senders.py [--senders 10000] [--kib 250] [--steps 10] [--seconds 3]
All of them get as far as 354, then each sends its message in as many steps, of as many seconds; in each step a normal client's
greeting is timed ten times, and after it memory is read: growth of the proportional set size of all processes since they were
connected.
"""
import argparse
import resource
import socket
import time

import servers


def connect(port, n):
    socks = []
    for i in range(n):
        s = socket.socket(socket.AF_INET)
        s.settimeout(60)
        s.bind((f"127.0.0.{2 + i % 200}", 0))
        s.connect(("127.0.0.1", port))
        socks.append(s)
    for s in socks:
        s.recv(512)
    for text in (b"EHLO slow.bench.test\r\n", b"MAIL FROM:<a@b.test>\r\n", b"RCPT TO:<c@d.test>\r\n", b"DATA\r\n"):
        for s in socks:
            s.sendall(text)
        for s in socks:
            if s.recv(4096)[:1] not in b"23":
                raise OSError("refused")
    return socks


def greeting_ms(port):
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.settimeout(60)
        s.recv(512)
        ms = (time.perf_counter() - began) * 1000
        s.sendall(b"QUIT\r\n")
    return ms


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--senders", type=int, default=10000)
    p.add_argument("--kib", type=int, default=250)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--seconds", type=float, default=3)
    a = p.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(a.senders, (hard - 200) // 2)  # body files of the server's count too
    server = servers.Heddle("hold", extra="smtp_accept_max_per_host = 0\n")
    server.start()
    try:
        socks = connect(server.port, n)
        before = servers.pss_kib(server.pids())
        line = b"x" * 1022 + b"\r\n"
        waits, most = [], 0
        for step in range(a.steps):
            began, now = time.perf_counter(), []
            for i, s in enumerate(socks):
                s.sendall(line * (a.kib // a.steps))
                if i % (n // 10 + 1) == 0:
                    now.append(greeting_ms(server.port))
                ahead = began + a.seconds * i / n - time.perf_counter()
                if ahead > 0:
                    time.sleep(ahead)
            took = time.perf_counter() - began
            waits += now
            grown = (servers.pss_kib(server.pids()) - before) / 1024
            most = max(most, grown)
            print(f"  {a.kib // a.steps * (step + 1)} KiB each: memory has grown by {grown:.0f} MiB; {took:.1f} s; "
                  f"greetings {servers.median(now):.1f} ms, longest {max(now):.1f}", flush=True)
        answers = {}
        for s in socks:
            s.sendall(b".\r\n")
        for s in socks:
            try:
                code = s.recv(512)[:3].decode() or "closed"
            except OSError as e:
                code = type(e).__name__
            answers[code] = answers.get(code, 0) + 1
            s.close()
        print(f"{n} senders of {a.kib} KiB: memory grew by {most:.0f} MiB at most ({most * 1024 / n:.1f} KiB each); another client "
              f"was greeted within {servers.median(waits):.1f} ms, {max(waits):.1f} at worst; answers {answers}")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
