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
NAMES = ("alice", "bob", "carol")  # one after the other, so that at a kill some of a message's outcomes are on record


class Senders:
    """Threads that keep sending; what they were promised is in acknowledged: number -> message id."""

    def __init__(self, site, count=6, recipients=NAMES, large_every=40, pause=0.0):
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


class Runs:
    """What was there when each run of the kernel was killed."""

    def __init__(self):
        self.agents, self.log_ends, self.times = {}, [], []

    def ended(self, site, agents):
        """A run has ended, or cannot do anything any more."""
        for pid in agents:
            self.agents.setdefault(pid, len(self.times))
        self.log_ends.append(os.path.getsize(site.path("spool/log/mainlog")))
        self.times.append(time.time())

    def of_copy(self, pid, began):
        if pid in self.agents:
            return self.agents[pid]
        return sum(began > at for at in self.times)

    def logs(self, site):
        with open(site.path("spool/log/mainlog"), "rb") as file:
            text = file.read()
        return [text[a:b].decode("latin-1") for a, b in zip([0] + self.log_ends, self.log_ends)]


class Copy:
    def __init__(self, runs, name, file, text):
        found = re.match(r"(\d+)\.H(\d+)P(\d+)\.", file)
        self.began = int(found.group(1)) + int(found.group(2)) / 1e6
        self.run = runs.of_copy(int(found.group(3)), self.began)
        self.name, self.id = name, re.search(r"\bid (\w{6}-\w{6}-\w\w)\b", text).group(1)
        number = re.search(r"^Subject: (\S+)$", text, re.M).group(1)
        self.number, self.whole = number, text.endswith(f"end of {number}\n")


def copies_of(site, runs, name):
    folder = site.path(f"mail/{name}/new")
    return [Copy(runs, name, file, site.read(f"mail/{name}/new/{file}"))
            for file in (os.listdir(folder) if os.path.isdir(folder) else [])]


def told(log):
    """id -> recipients in the order of their "=>" lines; and the ids that were completed."""
    delivered, completed = {}, []
    for line in log.splitlines():
        found = re.match(r"\S+ \S+ (\S+) (?:[=-]> (\S+)|Completed$)", line)
        if found and found.group(2):
            delivered.setdefault(found.group(1), []).append(found.group(2))
        elif found:
            completed.append(found.group(1))
    return delivered, completed


def in_flight(copies, logs):
    """Of each run the (id, name) that it delivered without a sign that this is on record."""
    flights = []
    for run, log in enumerate(logs):
        delivered, completed = told(log)
        now, latest = [c for c in copies if c.run == run], {}
        for c in now:
            latest[c.id] = max(latest.get(c.id, 0), c.began)
        def recorded(c):
            names = delivered.get(c.id, [])
            return c.id in completed or c.name in names and (names[-1] != c.name or latest[c.id] > c.began)
        flights.append({(c.id, c.name) for c in now if not recorded(c)})
    return flights


def account(site, senders, runs, patience=120):
    """After the last start: wait until the queue is empty, then every acknowledged message must be there, and what came twice
    must have been in flight at the kill in between."""
    wait_for("the queue empties", lambda: site.queued() == 0, patience)
    kills = len(runs.times)
    runs.ended(site, site.pids("heddle-agent"))
    acknowledged, copies, logs = senders.acknowledged, [], runs.logs(site)
    for name in senders.recipients:
        here = copies_of(site, runs, name)
        lost = sorted(f"{number} {acknowledged[number]}" for number in set(acknowledged) - {c.number for c in here})
        equal(lost[:20], [], f"none of {len(acknowledged)} acknowledged messages is lost for {name} after {kills} kills")
        equal([c.id for c in here if not c.whole], [], "what was delivered is whole")
        copies += here
    flights, deliveries = in_flight(copies, logs), {}
    for c in sorted(copies, key=lambda c: (c.run, c.began)):
        deliveries.setdefault((c.id, c.name), []).append(c.run)
    again = [(before, what) for what, of in deliveries.items() for before, _ in zip(of, of[1:])]
    equal([f"{what} in run {run}" for run, what in again if what not in flights[run]], [],
          f"{len(again)} came again, each of which was in flight at the kill")
    equal([what for what, of in deliveries.items() if len(set(of)) < len(of)], [], "once in a run")
    most = [sum(run == k for run, _ in again) for k in range(kills)]
    print(f"# {len(acknowledged)} acknowledged, {kills} kills; in flight at each {[len(f) for f in flights[:kills]]}, again {most}")
    check(all(n <= len(f) for n, f in zip(most, flights)), "duplicates are no more than the deliveries in flight", most)
    finished = {}
    for run, log in enumerate(logs):
        for name in told(log)[1]:
            finished.setdefault(name, []).append(run)
    equal([name for name, of in finished.items() if len(of) > 1], [], "what was finished does not return")
    equal([c.id for c in copies if c.run > finished.get(c.id, [len(logs)])[0]], [], "nor is it delivered again")


def stopped(pid):
    """None of its threads runs."""
    states = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/stat", encoding="latin-1") as file:
                states.append(file.read().rpartition(")")[2].split()[0])
        except OSError:
            pass
    return all(state == "T" for state in states)


def kill_kernel(site, runs):
    """SIGKILL for the kernel; master starts another.  It is stopped for an instant before, so that the log's end is known."""
    old = site.kernel_pid()
    os.kill(old, signal.SIGSTOP)
    wait_for("it stands still", lambda: stopped(old))
    runs.ended(site, site.pids("heddle-agent"))
    os.kill(old, signal.SIGKILL)
    return wait_for("another kernel comes up", lambda: [p for p in site.pids("heddle-kernel") if p != old])


def kill_tree(site, runs):
    """SIGKILL for every process of the daemon, at once and in any order."""
    agents = site.pids("heddle-agent")
    pids = [site.process.pid] + site.pids("heddle-kernel") + agents + site.pids("heddle-nss")
    random.shuffle(pids)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    site.process.wait()
    site.process = None
    wait_for("all of them are gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    runs.ended(site, agents)
