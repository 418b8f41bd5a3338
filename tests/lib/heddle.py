# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios' vocabulary: a site with its own directory and daemon, clients, and the checks.

A scenario is a story:
	from heddle import Site, equal, like
	with Site() as site:
		client = site.connect()
		like(client.ask("HELO me.example"), r"250 mx\\.test\\.example Hello me\\.example")
Each check prints a line of TAP; when one failed, the site's directory is kept and named.  peers.py has servers.
"""
import atexit
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEDDLE_BUILD", os.path.join(TOP, "build"))
IS_ROOT = os.getuid() == 0
PATIENCE = float(os.environ.get("HEDDLE_PATIENCE", "30"))  # seconds until a wait counts as failed
_count = _failed = 0


def check(good, what, why=""):
    """One line of TAP."""
    global _count, _failed
    _count += 1
    if not good:
        _failed += 1
    print(f"{'ok' if good else 'not ok'} {_count} - {what}")
    if not good:
        for line in str(why).splitlines():
            print(f"#   {line}")
    sys.stdout.flush()
    return bool(good)


def equal(got, want, what=None):
    return check(got == want, what or f"is {want!r}"[:120], f"got  {got!r}\nwant {want!r}")


def like(text, regex, what=None):
    """regex is found somewhere in text."""
    return check(re.search(regex, text or "", re.M) is not None, what or f"has {regex}", f"no {regex} in\n{text}")


def unlike(text, regex, what=None):
    return check(re.search(regex, text or "", re.M) is None, what or f"has no {regex}", f"{regex} is in\n{text}")


def skip(why):
    """The whole scenario needs something that is not here."""
    print(f"1..1\nok 1 - # SKIP {why}")
    sys.stdout.flush()
    os._exit(0)


def wait_for(what, ask, patience=None):
    """Ask until the answer is true, and give it; a check fails when that takes too long."""
    until = time.monotonic() + (patience or PATIENCE)
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > until:
            check(False, what, "waited in vain")
            return answer
        time.sleep(0.02)


@atexit.register
def _plan():
    if _count:
        print(f"1..{_count}")
    sys.stdout.flush()
    if _failed:
        name = os.path.relpath(os.path.abspath(sys.argv[0]), os.path.join(TOP, "tests", "scenario"))
        print(f"# again: make check-scenario T={os.path.splitext(name)[0]}", flush=True)
        os._exit(1)


class Client:
    """SMTP spoken by hand: replies are text without CR, lines joined by newlines; "" when the server has closed."""

    def __init__(self, port, host="127.0.0.1", greeting=True, source=None):
        self.sock = socket.create_connection((host, port), timeout=PATIENCE, source_address=(source, 0) if source else None)
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply() if greeting else None

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def reply(self):
        lines = []
        while True:
            try:
                line = self.file.readline()
            except (ConnectionResetError, socket.timeout):
                line = b""
            if not line:
                return "\n".join(lines)
            lines.append(line.decode("latin-1").rstrip("\r\n"))
            if lines[-1][3:4] != "-":
                return "\n".join(lines)

    def ask(self, line):
        """Send a line; the reply."""
        try:
            self.send(line + "\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return ""
        return self.reply()

    def code(self, line):
        return self.ask(line)[:3]

    def close(self):
        self.file.close()
        self.sock.close()

    def vanish(self):
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()


PARTS = ("acl", "routers", "transports", "retry", "rewrite", "authenticators")
DEFAULTS = {
    "acl": "check_rcpt:\n  accept\n",
    "routers": "inbox:\n  driver = accept\n  domains = +local_domains\n  local_parts = alice : bob : carol : postmaster\n"
               "  transport = maildir\n",
    "transports": "maildir:\n  driver = appendfile\n  maildir_format\n  directory = DIR/mail/$local_part_data\n",
    "retry": "* * F,1h,1s; G,4d,1m,2\n",
}
MAIN = """primary_hostname = mx.test.example
spool_directory = DIR/spool
local_interfaces = 127.0.0.1
daemon_smtp_ports = 0
domainlist local_domains = test.example
acl_smtp_rcpt = check_rcpt
"""


class Site:
    """One configuration in a directory of its own.  main is added to MAIN; acl=, routers=, ... replace a whole section; DIR in
    any text is the directory.  whole= is a configuration from top to bottom.  Its paniclog must be empty at the end."""

    def __init__(self, main="", whole=None, start=True, arguments=(), dns=None, environment=None, panics=None, **sections):
        self.dir = tempfile.mkdtemp(prefix="heddle-", dir=os.environ.get("TMPDIR", "/tmp"))
        os.chmod(self.dir, 0o755)
        self.config = os.path.join(self.dir, "heddle.conf")
        self.spool = os.path.join(self.dir, "spool")
        self.process = self.port = None
        self.panics, self.arguments, self.wants_start = panics, list(arguments), start
        self.environment = dict(os.environ, **(environment or {}))
        self._collect_sanitizer_reports()
        if dns:
            self.environment["HEDDLE_DNS"] = f"127.0.0.1@{dns.port}"
        self.make_directory("mail")
        self.programs = self._programs()
        self.write("heddle.conf", whole if whole is not None else self.text(main, **sections))

    def text(self, main="", **sections):
        """A whole configuration."""
        out = MAIN + main + "\n"
        for part in PARTS:
            body = sections.get(part, DEFAULTS.get(part))
            if body is not None:
                out += f"begin {part}\n{body}\n"
        return out

    def _collect_sanitizer_reports(self):
        """Of all processes, whoever they run as: each writes reports/san.PID (master hands the options on)."""
        folder = self.path("reports")
        os.mkdir(folder)
        os.chmod(folder, 0o1777)
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            given = self.environment.get(name)
            self.environment[name] = (given + ":" if given else "") + f"log_path={folder}/san"

    def sanitizer_reports(self):
        folder = self.path("reports")
        return "".join(self.read(f"reports/{name}") for name in sorted(os.listdir(folder)))

    def _programs(self):
        """The build's programs, in a copy when the daemon's account may not read them where they are."""
        folder = os.path.abspath(BUILD)
        while IS_ROOT and folder != "/":
            mode = os.stat(folder)
            if mode.st_mode & 0o005 != 0o005 or mode.st_mode & 0o022 or mode.st_uid != 0:
                break
            folder = os.path.dirname(folder)
        if not IS_ROOT or folder == "/":
            return os.path.abspath(BUILD)
        copy = os.path.join(self.dir, "programs")
        os.mkdir(copy, 0o755)
        for name in ("heddle", "heddlectl", "libexec", "drivers"):
            path = os.path.join(BUILD, name)
            if os.path.isdir(path):
                shutil.copytree(path, os.path.join(copy, name))
            elif os.path.exists(path):
                shutil.copy2(path, copy)
        for where, folders, files in os.walk(copy):
            for name in folders + files:
                os.chown(os.path.join(where, name), 0, 0)
                os.chmod(os.path.join(where, name), 0o755)
        return copy

    def own(self, path):
        """Give a path to the account that the daemon and its agents run as."""
        if IS_ROOT:
            account = pwd.getpwnam("heddle")
            os.chown(path, account.pw_uid, account.pw_gid)
        return path

    def make_directory(self, name):
        path = os.path.join(self.dir, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)
        return self.own(path)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w", encoding="latin-1") as out:
            out.write(text.replace("DIR", self.dir))
        os.chmod(path, mode)
        return path

    def read(self, name):
        try:
            with open(self.path(name), encoding="latin-1", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # the daemon

    def __enter__(self):
        try:
            if self.wants_start:
                self.start()
        except Exception:
            self.__exit__(*sys.exc_info())
            raise SystemExit(1)
        return self

    def start(self, *arguments, wait=True):
        seen = len(re.findall(r"listening for SMTPS? on", self.mainlog()))
        with open(self.path("stderr"), "ab") as err:
            self.process = subprocess.Popen(
                [os.path.join(self.programs, "heddle"), "-C", self.config, "-bdf", *self.arguments, *arguments],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=self.environment, cwd=self.dir)
        if wait:
            self._wait_until_it_listens(seen)

    def _wait_until_it_listens(self, seen):
        def listening():
            lines = re.findall(r"listening for SMTPS? on (.*)", self.mainlog())
            return lines[seen:] or self.process.poll() is not None
        lines = wait_for("the daemon listens", listening)
        if not isinstance(lines, list):
            raise RuntimeError(f"the daemon did not start:\n{self.read('stderr')}{self.paniclog()}")
        self.ports = [int(port) for port in re.findall(r"\]:(\d+)", lines[-1])]
        self.port = self.ports[0] if self.ports else None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            check(False, "the daemon stops when it is told to", "killed after 60 s")
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return status

    def kill(self):
        """All of it, at once, as a power cut would (but the page cache stays)."""
        pids = self.pids("heddle-kernel") + self.pids("heddle-agent")
        self.process.kill()
        self.process.wait()
        self.process = None
        wait_for("the kernel goes with its master", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))

    def pids(self, name):
        """Children of master with this program name."""
        found = []
        for pid in os.listdir("/proc"):
            if pid.isdigit():
                try:
                    with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
                        comm, rest = re.match(r"\d+ \((.*)\) \S (\d+)", file.read()).groups()
                except (OSError, AttributeError):
                    continue
                if comm == name[:15] and self.process and int(rest) == self.process.pid:
                    found.append(int(pid))
        return found

    def kernel_pid(self):
        return (wait_for("there is a kernel", lambda: self.pids("heddle-kernel")) or [None])[0]

    def __exit__(self, kind, error, trace):
        global _failed
        failed_before = _failed
        if kind is not None and kind is not SystemExit:
            check(False, "the story goes on to its end", "".join(traceback.format_exception(kind, error, trace)))
        if self.process is not None:
            equal(self.stop(), 0, "the daemon ends well")
        panic = self.paniclog()
        if self.panics is None:
            equal(panic, "", "nothing is in the panic log")
        elif self.panics:
            like(panic, self.panics, "the panic log has what it should")
        noise = re.findall(r".*(?:ERROR: \w*Sanitizer|runtime error:|WARNING: ThreadSanitizer).*", self.read("stderr"))
        equal("\n".join(noise) + self.sanitizer_reports(), "", "no sanitizer complains")
        if _failed:
            print(f"# kept: {self.dir}")
            if kind is not None or _failed != failed_before:
                for name in ("stderr", "spool/log/mainlog", "spool/log/paniclog"):
                    for line in self.read(name).splitlines()[-25:]:
                        print(f"# {name}: {line[:300]}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        return True

    # talking to it

    def connect(self, greeting=True, helo=None):
        client = Client(self.port, greeting=greeting)
        if helo:
            client.ask(f"EHLO {helo}")
        return client

    def smtplib(self):
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=PATIENCE)

    def send(self, *recipients, sender="sender@client.example", subject="a test", body="Hello.\n", headers=""):
        """One message by SMTP; its id."""
        client = self.connect(helo="client.example")
        client.ask(f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            client.ask(f"RCPT TO:<{recipient}>")
        client.ask("DATA")
        text = f"From: {sender or 'postmaster@client.example'}\nSubject: {subject}\n{headers}\n{body}"
        answer = client.ask(re.sub(r"^\.", "..", text, flags=re.M).replace("\n", "\r\n") + ".")
        client.ask("QUIT")
        client.close()
        found = re.match(r"250 OK id=(\S+)$", answer)
        if not found:
            check(False, "the message is accepted", answer)
        return found.group(1) if found else "no id"

    def cli(self, *words, stdin=""):
        """heddle -C FILE WORDS: what it printed (both ways), and .returncode."""
        return self._run("heddle", "-C", self.config, *words, stdin=stdin)

    def ctl(self, *words):
        return self._run("heddlectl", "-s", self.path("spool"), *words)

    def _run(self, program, *words, stdin=""):
        return subprocess.run([os.path.join(self.programs, program), *words], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, encoding="latin-1", env=self.environment, cwd=self.dir, timeout=120,
                              check=False)

    # what it did

    def mainlog(self):
        return self.read("spool/log/mainlog")

    def rejectlog(self):
        return self.read("spool/log/rejectlog")

    def paniclog(self):
        return self.read("spool/log/paniclog")

    def wait_for_log(self, regex, what=None, patience=None):
        """Wait until the main log has it (a check of its own); the match."""
        found = wait_for(what or f"the log says {regex}", lambda: re.search(regex, self.mainlog(), re.M), patience)
        if found:
            check(True, what or f"the log says {regex}")
        return found

    def queued(self):
        """How many messages are queued."""
        done = self.cli("-bpc")
        return int(done.stdout) if done.stdout.strip().isdigit() else f"{done.stdout}{done.stderr}"

    def wait_for_queue(self, wanted, patience=None):
        wait_for(f"{wanted} on the queue", lambda: self.queued() == wanted, patience)
        return equal(self.queued(), wanted, f"{wanted} on the queue")

    def maildir(self, name, wanted=None):
        """The messages in a Maildir's new/, oldest first; waits until there are so many."""
        folder = self.path(f"mail/{name}/new")
        def age(name):  # seconds and microseconds, which are not padded
            return [int(number) for number in re.findall(r"\d+", name)[:2]]
        def names():
            return sorted(os.listdir(folder), key=age) if os.path.isdir(folder) else []
        if wanted is not None:
            wait_for(f"{wanted} messages for {name}", lambda: len(names()) >= wanted)
            equal(len(names()), wanted, f"{wanted} messages for {name}")
        return [self.read(f"mail/{name}/new/{n}") for n in names()]
