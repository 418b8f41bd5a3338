# SPDX-License-Identifier: GPL-3.0-or-later
"""What the measuring programs share: starting Heddle and its peers on loopback, reading what they cost.

Every server here has start(), stop(), a port, and pids() of its processes.  All are told to keep fsync on, to look nobody's
name up and to offer no TLS, unless a certificate and its key are named in `tls` before they start.  PEERS names a directory made by setup-peers; without it only Heddle and the limit are run.
"""
import glob
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
TOOLS = os.path.join(BUILD, "tests", "bench")
LOAD = os.environ.get("LOAD", os.path.join(TOOLS, "load"))
WORK = os.environ.get("BENCH_DIR", "/tmp/heddle-bench")
PEERS = os.environ.get("PEERS", "")
TICK = os.sysconf("SC_CLK_TCK")
NOBODY = 65534


# ---- processes ----
def family(roots):
    """The pids and all that descend from them."""
    parent = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    parent[int(name)] = int(f.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    found = {p for p in roots if p in parent}
    while True:
        more = {p for p, above in parent.items() if above in found} - found
        if not more:
            return found
        found |= more


def cpu_seconds(roots):
    """User and system time of the family so far, ended children included."""
    ticks = 0
    for p in family(roots):
        try:
            with open(f"/proc/{p}/stat") as f:
                ticks += sum(map(int, f.read().rpartition(")")[2].split()[11:15]))
        except OSError:
            pass
    return ticks / TICK


def pss_kib(roots):
    total = 0
    for p in family(roots):
        try:
            with open(f"/proc/{p}/smaps_rollup") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total


def threads(roots):
    return {p: len(os.listdir(f"/proc/{p}/task")) for p in family(roots)}


def wait_for(what, seconds, step=0.02):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.settimeout(2)
            ok = s.recv(512).startswith(b"220")
            s.sendall(b"QUIT\r\n")
            return ok
    except OSError:
        return False


# ---- servers ----
class Heddle:
    name = "heddle"
    tls = None  # (certificate, key)

    def __init__(self, mode, port=12525, extra=""):
        self.mode, self.port, self.extra, self.main = mode, port, extra, None
        self.dir = os.path.join(WORK, "heddle")

    def config(self):
        router = "driver = accept\n  transport = box"
        if self.mode == "relay":
            router = "driver = manualroute\n  route_list = * 127.0.0.1 byname\n  self = send\n  transport = out"
        where = "$local_part_data" if self.mode == "maildirs" else "inbox"
        parts = "\n  local_parts = " + " : ".join(f"user{i}" for i in range(100)) if self.mode == "maildirs" else ""
        out = "" if self.mode != "relay" else """
out:
  driver = smtp
  port = 12526
  allow_localhost
  hosts_avoid_tls = *
"""
        tls = "tls_advertise_hosts ="
        if self.tls:
            tls = f"tls_certificate = {self.tls[0]}\ntls_privatekey = {self.tls[1]}\ntls_resumption_hosts = *"
        return f"""primary_hostname = bench.test
spool_directory = {self.dir}/spool
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
host_lookup =
{tls}
smtp_accept_max = 19000
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
{'queue_only = true' if self.mode == 'hold' else ''}
acl_smtp_rcpt = ok
acl_smtp_data = ok
{self.extra}
begin acl
ok:
  accept
begin routers
all:
  {router}{parts}
begin transports
box:
  driver = appendfile
  directory = {self.dir}/{where}
  maildir_format
  create_directory
{out}
begin retry
* * F,1h,5s
"""

    def start(self, keep=False, step=0.02):
        if not keep:  # a new folder each time: ext4 is slow to make files where some were removed within a minute
            n = 0
            while os.path.exists(self.dir):
                n += 1
                self.dir = os.path.join(WORK, f"heddle{n}")
        os.makedirs(self.dir, exist_ok=True)
        with open(f"{self.dir}/bench.conf", "w") as f:
            f.write(self.config())
        command = [f"{BUILD}/heddle", "-C", f"{self.dir}/bench.conf", "-bdf"]
        if os.geteuid() == 0:
            for p in (self.dir, f"{self.dir}/bench.conf"):
                os.chown(p, NOBODY, NOBODY)
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] + command
        with open(f"{self.dir}/stderr", "w") as err:
            self.main = subprocess.Popen(command, stdout=err, stderr=err, stdin=subprocess.DEVNULL)
        if not wait_for(lambda: greets(self.port), 30, step):
            self.stop()
            sys.exit("heddle does not greet: " + open(f"{self.dir}/stderr").read())

    def stop(self):
        if self.main:
            self.main.send_signal(signal.SIGTERM)
            try:
                self.main.wait(60)
            except subprocess.TimeoutExpired:
                self.main.kill()
                self.main.wait()
        self.main = None

    def pids(self):
        return [self.main.pid]

    def delivered(self):
        return len(glob.glob(f"{self.dir}/inbox/new/*")) if self.mode == "maildir" else \
            len(glob.glob(f"{self.dir}/user*/new/*"))

    def sent(self):
        with open(f"{self.dir}/spool/log/mainlog") as f:
            return sum(" => " in line or " -> " in line for line in f)

    def command(self, *args):
        c = [f"{BUILD}/heddle", "-C", f"{self.dir}/bench.conf", *args]
        if os.geteuid() == 0:
            c = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] + c
        return c


class Peer:
    tls = None

    def __init__(self, mode, port):
        self.mode, self.port, self.root = mode, port, os.path.join(PEERS, self.name)

    def chroot(self, *args, **kw):
        return subprocess.run(["chroot", self.root, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False, **kw)

    def prepare(self):
        for what, args in (("proc", ["-t", "proc", "proc"]), ("dev", ["--bind", "/dev"])):
            if not os.path.ismount(f"{self.root}/{what}"):
                subprocess.run(["mount", *args, f"{self.root}/{what}"], check=True)
        n = 1
        while os.path.exists(f"{self.root}/srv/bench{n}"):
            n += 1
        self.boxes = f"/srv/bench{n}"
        os.makedirs(self.root + self.boxes)
        os.chown(self.root + self.boxes, 8, 8)
        for path, end in zip(self.tls or (), ("pem", "key")):
            shutil.copy(path, f"{self.root}/etc/bench.{end}")

    def write(self, path, text):
        with open(self.root + path, "w") as f:
            f.write(text)

    def delivered(self):
        return len(glob.glob(f"{self.root}{self.boxes}/*/new/*"))


class Exim(Peer):
    name = "exim"

    def __init__(self, mode, port=12625):
        super().__init__(mode, port)

    def start(self):
        self.prepare()
        for d in ("input", "msglog", "db"):
            shutil.rmtree(f"{self.root}/var/spool/exim4/{d}", ignore_errors=True)
        for f in glob.glob(f"{self.root}/var/log/exim4/*"):
            os.unlink(f)
        router = "driver = accept\n  transport = box"
        if self.mode == "relay":
            router = "driver = manualroute\n  route_list = * 127.0.0.1 byname\n  self = send\n  transport = out"
        tls = "tls_advertise_hosts ="
        if self.tls:
            tls = "tls_advertise_hosts = *\ntls_certificate = /etc/bench.pem\ntls_privatekey = /etc/bench.key\ntls_resumption_hosts = *"
        self.write("/etc/exim4/exim4.conf", f"""primary_hostname = bench.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
host_lookup =
rfc1413_query_timeout = 0s
{tls}
smtp_accept_max = 1000
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
smtp_accept_reserve = 0
smtp_connect_backlog = 500
remote_max_parallel = 20
pid_file_path = /run/exim-bench.pid
keep_environment =
never_users =
{'queue_only = true' if self.mode == 'hold' else ''}
acl_smtp_rcpt = ok
acl_smtp_data = ok
begin acl
ok:
  accept
begin routers
all:
  {router}
begin transports
box:
  driver = appendfile
  directory = {self.boxes}/inbox
  maildir_format
  create_directory
  user = mail
out:
  driver = smtp
  port = 12526
  allow_localhost
  hosts_avoid_tls = *
begin retry
* * F,1h,5s
""")
        self.chroot("exim4", "-bd", *([] if self.mode == "hold" else ["-q10s"]))
        if not wait_for(lambda: greets(self.port), 20):
            sys.exit("exim does not greet")

    def pids(self):
        with open(self.root + "/run/exim-bench.pid") as f:
            return [int(f.read())]

    def stop(self):
        for p in sorted(family(self.pids())):
            try:
                os.kill(p, signal.SIGTERM)
            except ProcessLookupError:
                pass
        time.sleep(0.5)

    def sent(self):
        with open(self.root + "/var/log/exim4/mainlog") as f:
            return sum(" => " in line for line in f)


class Postfix(Peer):
    name = "postfix"

    def __init__(self, mode, port=12725):
        super().__init__(mode, port)

    def start(self):
        self.prepare()
        for d in ("active", "deferred", "incoming", "defer", "bounce", "maildrop"):
            for f in glob.glob(f"{self.root}/var/spool/postfix/{d}/*"):
                if os.path.isdir(f):
                    shutil.rmtree(f)
                else:
                    os.unlink(f)
        self.write("/var/log/mail.log", "")
        self.write("/etc/postfix/boxes", "".join(f"user{i}@bench.test user{i}/\n" for i in range(100)))
        mailbox = {"maildirs": "hash:/etc/postfix/boxes"}.get(self.mode, "static:inbox/")
        tls = ""
        if self.tls:
            tls = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /etc/bench.pem\nsmtpd_tls_key_file = /etc/bench.key"
        self.write("/etc/postfix/main.cf", f"""compatibility_level = 3.6
myhostname = bench.invalid
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/mail.log
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 250
smtp_dns_support_level = disabled
smtpd_recipient_restrictions = permit_mynetworks, reject
alias_maps =
local_recipient_maps =
virtual_mailbox_base = {self.boxes}
virtual_mailbox_maps = {mailbox}
virtual_uid_maps = static:8
virtual_gid_maps = static:8
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_transport = virtual
in_flow_delay = 0
{tls}
{'' if self.mode == 'relay' else 'virtual_mailbox_domains = bench.test'}
{'relayhost = [127.0.0.1]:12526' if self.mode == 'relay' else ''}
{'defer_transports = smtp virtual local' if self.mode == 'hold' else ''}
""")
        with open(self.root + "/etc/postfix/master.cf.proto") as f:
            lines = [x for x in f.read().splitlines() if not re.match(r"(smtp\s+inet|smtpd\s+pass)", x)]
        lines.append(f"127.0.0.1:{self.port} inet n - n - 250 smtpd")
        self.write("/etc/postfix/master.cf", "\n".join(re.sub(r" y  ", " n  ", x, count=1) for x in lines) + "\n")
        self.chroot("postmap", "/etc/postfix/boxes")
        self.chroot("postfix", "start")
        if not wait_for(lambda: greets(self.port), 20):
            sys.exit("postfix does not greet")

    def pids(self):
        with open(self.root + "/var/spool/postfix/pid/master.pid") as f:
            return [int(f.read())]

    def stop(self):
        self.chroot("postfix", "stop")

    def sent(self):
        with open(self.root + "/var/log/mail.log") as f:
            return sum("status=sent" in line for line in f)


class Limit:
    name = "limit"
    tls = None

    def __init__(self, mode="hold", port=12825):
        self.port, self.main = port, None

    def start(self):
        os.makedirs(WORK, exist_ok=True)
        self.log = os.path.join(WORK, "limit.log")
        if os.path.exists(self.log):
            os.unlink(self.log)
        program = os.environ.get("LIMIT", os.path.join(TOOLS, "limit"))
        words = [program, str(self.port), self.log]
        if self.tls:
            words = [program + "_tls", str(self.port), *self.tls]
        self.main = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        wait_for(lambda: greets(self.port), 5)

    def pids(self):
        return [self.main.pid]

    def stop(self):
        self.main.terminate()
        self.main.wait()
        if os.path.exists(self.log):
            os.unlink(self.log)


def servers(mode, names):
    """Those that are here: peers need root and a directory of theirs."""
    have = {"heddle": Heddle, "limit": Limit}
    if PEERS and os.geteuid() == 0:
        have.update({c.name: c for c in (Exim, Postfix) if os.path.isdir(os.path.join(PEERS, c.name))})
    return [have[n](mode) for n in names if n in have]


def clean():
    """Remove what the runs have left."""
    for d in glob.glob(f"{WORK}/heddle*") + (glob.glob(f"{PEERS}/*/srv/bench*") if PEERS else []):
        shutil.rmtree(d, ignore_errors=True)


# ---- measuring ----
def load(port, **options):
    """Run the generator; its figures as a dictionary of numbers."""
    args = [LOAD]
    for key, value in options.items():
        args += [f"-{key}"] if value is True else [f"-{key}", str(value)]
    out = subprocess.run(args + [str(port)], stdout=subprocess.PIPE, text=True, check=False).stdout
    figures = {k: float(v) for k, v in (x.split("=") for x in out.split())}
    if not figures or figures["refused"]:
        print(f"  port {port}: {figures.get('refused', '?')} refused", file=sys.stderr)
    return figures


def settle(server, seconds=15):
    """Wait until a server has nothing to do any more: Postfix's queue manager works on for a while, and would slow down
    whoever is measured next."""
    end, last = time.monotonic() + seconds, cpu_seconds(server.pids())
    while time.monotonic() < end:
        time.sleep(0.4)
        now = cpu_seconds(server.pids())
        if now - last <= 1.5 / TICK:
            return
        last = now


def median(values):
    return statistics.median(values) if values else float("nan")


def spread(values):
    return f"{min(values):.4g}-{max(values):.4g}" if values else ""
