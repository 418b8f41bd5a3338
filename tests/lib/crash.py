# SPDX-License-Identifier: GPL-3.0-or-later
"""What the crash scenarios share: senders that never stop, a kill at any moment, and the account at the end.

Every message has a number of its own in its subject and in its last line.  A 250 after the final dot puts it on the list; the
Maildirs must then have it, whole.
"""
import os
import random
import re
import signal
import threading
import time

from heddle import Client, check, equal, wait_for

FEW = int(os.environ.get("HEDDLE_KILLS", "0"))
LARGE = 300 * 1024  # over the size from which a body has a file of its own
IN_FLIGHT = 200     # attempts that the kernel runs at a time


class Senders:
    """Threads that keep sending; what they were promised is in acknowledged: number -> message id."""

    def __init__(self, site, count=6, recipients=("alice", "bob"), large_every=40, pause=0.0):
        self.site, self.recipients, self.large_every, self.pause = site, recipients, large_every, pause
        self.acknowledged, self.lock, self.stopping = {}, threading.Lock(), threading.Event()
        self.held = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(who,), daemon=True) for who in range(count)]
        for thread in self.threads:
            thread.start()

    def _text(self, number, serial):
        size = LARGE if self.large_every and serial % self.large_every == 0 else random.randrange(20, 4000)
        return f"Subject: {number}\r\n\r\n" + "a line of some length, as mail has them\r\n" * (size // 42) + f"end of {number}\r\n.\r\n"

    def _one(self, client, number, serial):
        head = ["MAIL FROM:<a@client.example>"] + [f"RCPT TO:<{name}@test.example>" for name in self.recipients] + ["DATA"]
        client.send("\r\n".join(head) + "\r\n")
        replies = [client.reply() for _ in head]
        if not replies[-1].startswith("354"):
            return False
        client.send(self._text(number, serial))
        found = re.match(r"250 OK id=(\S+)$", client.reply())
        if found:
            with self.lock:
                self.acknowledged[number] = found.group(1)
        return found is not None

    def _run(self, who):
        serial = 0
        while not self.stopping.is_set():
            try:
                client = Client(self.site.port)
                client.sock.settimeout(10)
                client.ask("EHLO client.example")
                for _ in range(20):
                    while self.held.is_set() and not self.stopping.is_set():
                        time.sleep(0.02)
                    serial += 1
                    if self.stopping.is_set() or not self._one(client, f"{who}-{serial}", serial):
                        break
                    time.sleep(self.pause)
                client.close()
            except OSError:
                time.sleep(0.01)

    def count(self):
        with self.lock:
            return len(self.acknowledged)

    def more(self, wanted=10, patience=None):
        """Wait until so many more are accepted."""
        before = self.count()
        return wait_for("mail is accepted", lambda: self.count() >= before + wanted, patience)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)


def in_maildir(site, name):
    """number -> how many whole copies; and the files that are not whole."""
    copies, torn = {}, []
    folder = site.path(f"mail/{name}/new")
    for file in os.listdir(folder) if os.path.isdir(folder) else []:
        text = site.read(f"mail/{name}/new/{file}")
        found = re.search(r"^Subject: (\S+)$", text, re.M)
        number = found.group(1) if found else None
        if number is None or not text.endswith(f"end of {number}\n"):
            torn.append(file)
        else:
            copies[number] = copies.get(number, 0) + 1
    return copies, torn


def account(site, senders, kills, patience=120):
    """After the last start: wait until the queue is empty, then every acknowledged message must be there."""
    wait_for("the queue empties", lambda: site.queued() == 0, patience)
    acknowledged, twice = senders.acknowledged, 0
    for name in senders.recipients:
        copies, torn = in_maildir(site, name)
        lost = sorted(f"{number} {acknowledged[number]}" for number in set(acknowledged) - set(copies))
        equal(lost[:20], [], f"none of {len(acknowledged)} acknowledged messages is lost for {name} after {kills} kills")
        equal(torn, [], "what was delivered is whole")
        more = sum(copies.values()) - len(copies)
        twice += more
        most = max(copies.values(), default=0)
        check(most <= 1 + kills, "a message comes again only by a kill", most)
    print(f"# {len(acknowledged)} acknowledged, {kills} kills, {twice} duplicates")
    check(twice <= kills * IN_FLIGHT, "duplicates are no more than the deliveries in flight", twice)
    returned = [i for i, n in _completed(site).items() if n > 1]
    check(len(returned) <= kills * IN_FLIGHT, "what was finished does not return", len(returned))
    return twice


def _completed(site):
    counts = {}
    for name in re.findall(r"^\S+ \S+ (\S+) Completed$", site.mainlog(), re.M):
        counts[name] = counts.get(name, 0) + 1
    return counts


def kill_kernel(site):
    """SIGKILL for the kernel; master starts another."""
    old = site.kernel_pid()
    os.kill(old, signal.SIGKILL)
    return wait_for("another kernel comes up", lambda: [p for p in site.pids("heddle-kernel") if p != old])


def kill_tree(site):
    """SIGKILL for every process of the daemon, at once and in any order."""
    pids = [site.process.pid] + site.pids("heddle-kernel") + site.pids("heddle-agent") + site.pids("heddle-nss")
    random.shuffle(pids)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    site.process.wait()
    site.process = None
    wait_for("all of them are gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
