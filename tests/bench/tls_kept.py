#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relaying over kept TLS connections: Heddle to another Heddle, in clear and with each cipher; what is queued when it begins leaves.

usage: tls_kept.py [--rounds 3] [--sizes 4096:2000,262144:200]
Prints messages and megabytes a second, and the processor time of the sender and the receiver for a message.
"""
import argparse
import os
import time

import servers
import tls

CIPHERS = (("clear", None), ("ChaCha20", "TLS_CHACHA20_POLY1305_SHA256"), ("AES-128-GCM", "TLS_AES_128_GCM_SHA256"),
           ("AES-256-GCM", "TLS_AES_256_GCM_SHA384"))


class Sender(servers.Heddle):
    """Takes messages, and sends them on when its queue is run."""

    def __init__(self, port, cipher):
        super().__init__("relay", port, "queue_only = true\nremote_max_parallel = 4\n")
        self.cipher = cipher

    def config(self):
        how = "hosts_avoid_tls = *" if not self.cipher else \
            f"hosts_require_tls = *\n  tls_require_ciphers = {self.cipher}"
        return super().config().replace("port = 12526", f"port = {RECEIVER}").replace("hosts_avoid_tls = *", how)


RECEIVER = 12526


def once(cipher, size, count):
    """Rate, and the two ends' milliseconds of CPU for a message."""
    receiver, sender = servers.Heddle("hold", RECEIVER), Sender(12527, cipher)
    receiver.tls = tls.certificate("ecdsa")
    receiver.start()
    try:
        sender.start()
        servers.load(sender.port, s=20, n=count, b=size)
        before = [servers.cpu_seconds(s.pids()) for s in (sender, receiver)]
        began = time.monotonic()
        servers.subprocess.run(sender.command("-qff"), check=False)
        if not servers.wait_for(lambda: sender.sent() >= count, 120, 0.02):
            raise SystemExit(f"{sender.sent()} of {count} were sent")
        took = time.monotonic() - began
        cost = [(servers.cpu_seconds(s.pids()) - b) * 1000 / count for s, b in zip((sender, receiver), before)]
        return count / took, cost[0], cost[1]
    finally:
        sender.stop()
        receiver.stop()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--sizes", default="4096:2000,262144:200")
    a = p.parse_args()
    for size, count in (map(int, pair.split(":")) for pair in a.sizes.split(",")):
        print(f"\n{count} messages of {size} bytes; load average {os.getloadavg()[0]:.1f}", flush=True)
        results = {name: [] for name, _ in CIPHERS}
        for _ in range(a.rounds):
            for name, cipher in CIPHERS:
                results[name].append(once(cipher, size, count))
        for name, all_ in results.items():
            rate, out, into = (servers.median([r[i] for r in all_]) for i in range(3))
            print(f"{name:>12} {rate:6.0f}/s {servers.spread([r[0] for r in all_]):>12} {rate * size / 1e6:6.1f} MB/s  "
                  f"sender {out:.3f} ms CPU, receiver {into:.3f}", flush=True)


if __name__ == "__main__":
    main()
