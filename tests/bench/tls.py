#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""STARTTLS and one message a connection, each server in turn with the same certificate; then sessions that wait after EHLO.

usage: tls.py [--rounds 5] [--messages 1000] [--idle 5000] [--servers heddle,limit,exim,postfix]
`limit` is a sink by OpenSSL that keeps nothing: what the client on the same processors permits at most.
Kinds: full handshakes with ECDSA P-256 and with RSA-2048 (X25519 in both), and resumed ones (TLS 1.3 tickets, ECDSA).
Memory is the growth of the proportional set size of all the server's processes; the peers, with a process for each session,
are asked for 100 sessions.
"""
import argparse
import os
import re
import resource
import socket
import ssl
import subprocess
import time

import servers

LOAD_TLS = os.environ.get("LOAD_TLS", os.path.join(servers.TOOLS, "load_tls"))
KINDS = (("ecdsa", "full handshake, ECDSA P-256", []), ("rsa", "full handshake, RSA-2048", []),
         ("ecdsa", "resumed, ECDSA P-256", ["-r"]))


def certificate(kind):
    """A certificate and key of one sort, self-signed, in two files."""
    os.makedirs(servers.WORK, exist_ok=True)
    cert, key = (os.path.join(servers.WORK, f"{kind}.{end}") for end in ("pem", "key"))
    algorithm = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *algorithm, "-nodes", "-subj", "/CN=bench.test", "-days", "3650",
                    "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o644)
    return cert, key


def load(port, messages, args):
    out = subprocess.run([LOAD_TLS, str(port), "-s", "20", "-n", str(messages), *args], stdout=subprocess.PIPE,
                         check=False, text=True).stdout
    m = re.match(r"(\d+)/s failed (\d+) resumed (\d+) (\S+) own-cpu (\S+)", out)
    if not m:
        raise SystemExit(f"load_tls says: {out}")
    return {"rate": float(m[1]), "failed": int(m[2]), "resumed": int(m[3]), "cipher": m[4], "client_ms": float(m[5]) * 1000 / messages}


def measure(server, messages, args):
    if server.name not in ("heddle", "limit"):
        messages //= 5
    before = servers.cpu_seconds(server.pids())
    f = load(server.port, messages, args)
    servers.settle(server)
    f["server_ms"] = (servers.cpu_seconds(server.pids()) - before) * 1000 / messages
    f["share"] = f["resumed"] / messages
    return f


def handshakes(names, rounds, messages):
    for kind, title, args in KINDS:
        results = {}
        running = servers.servers("hold", names)
        for s in running:
            s.tls = certificate(kind)
        try:
            for s in running:
                s.start()
            for _ in range(rounds):
                for s in running:
                    results.setdefault(s.name, []).append(measure(s, messages, args))
        finally:
            for s in running:
                s.stop()
        print(f"\n{title}; load average {os.getloadavg()[0]:.1f}", flush=True)
        ours = servers.median([f["rate"] for f in results.get("heddle", [{"rate": 0}])])
        for name, all_ in results.items():
            m = {c: servers.median([f[c] for f in all_]) for c in ("rate", "server_ms", "client_ms", "share")}
            failed = sum(f["failed"] for f in all_)
            print(f"{name:>9} {m['rate']:6.0f}/s {servers.spread([f['rate'] for f in all_]):>12}  server {m['server_ms']:6.3f} ms CPU, "
                  f"client {m['client_ms']:.3f}  resumed {m['share']:.0%}  {all_[-1]['cipher']}" +
                  (f"  {failed} failed" if failed else "") + (f"  Heddle's rate is {ours / m['rate']:.1f} times" if name != "heddle" else ""),
                  flush=True)


def open_sessions(port, n):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ctx = ssl._create_unverified_context()
    socks = []
    for i in range(min(n, hard - 100)):
        s = socket.socket(socket.AF_INET)
        s.settimeout(30)
        s.bind((f"127.0.0.{2 + i % 200}", 0))
        s.connect(("127.0.0.1", port))
        for line, code in ((None, b"220"), (b"EHLO idle.bench.test\r\n", b"250"), (b"STARTTLS\r\n", b"220")):
            if line:
                s.sendall(line)
            if not s.recv(4096).startswith(code):
                raise OSError("refused")
        s = ctx.wrap_socket(s)
        s.sendall(b"EHLO idle.bench.test\r\n")
        if not s.recv(4096).startswith(b"250"):
            raise OSError("EHLO refused")
        socks.append(s)
    return socks


def idle(names, sessions):
    for server in servers.servers("hold", [n for n in names if n != "limit"]):
        server.tls = certificate("ecdsa")
        if server.name == "heddle":
            server.extra = "smtp_accept_max_per_host = 0\n"
        server.start()
        try:
            load(server.port, 200 if server.name == "heddle" else 50, [])
            before = servers.pss_kib(server.pids())
            socks = open_sessions(server.port, sessions if server.name == "heddle" else 100)
            time.sleep(3)
            each = (servers.pss_kib(server.pids()) - before) / len(socks)
            print(f"{server.name}: {len(socks)} TLS sessions that wait, {each:.2f} KiB each, "
                  f"{sum(servers.threads(server.pids()).values())} threads in all processes", flush=True)
            for s in socks:
                s.close()
        finally:
            server.stop()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--messages", type=int, default=1000)
    p.add_argument("--idle", type=int, default=5000)
    p.add_argument("--servers", default="heddle,limit,exim,postfix")
    a = p.parse_args()
    names = a.servers.split(",")
    if a.messages:
        handshakes(names, a.rounds, a.messages)
    if a.idle:
        idle(names, a.idle)


if __name__ == "__main__":
    main()
