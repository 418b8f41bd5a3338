# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's exim4 as a peer: unpacked, never installed, with a spool of its own.  The scenario is in a namespace (enter(), or
namespace.enter with ACCOUNT among the files): the program wants the account that it was built for.  It also wants to be root."""
import os
import re
import signal
import subprocess
import time

import namespace
import packages
from heddle import IS_ROOT, skip, wait_for

_UID, _GID = 9999, 9999
ACCOUNT = {"/etc/passwd": f"+Debian-exim:x:{_UID}:{_GID}::/nonexistent:/usr/sbin/nologin\n",
           "/etc/group": f"+Debian-exim:x:{_GID}:\n"}
MAIN = "spool_directory = DIR/exim\nlog_file_path = DIR/exim/log/%slog\nkeep_environment =\nrfc1413_query_timeout = 0s\n"

CONFIG = "/etc/exim4/exim4.conf"


def enter(files=None):
    """From here on the scenario is where exim4 can run; it is skipped if that is nowhere.  files: as namespace.enter has them."""
    if not IS_ROOT:
        skip("exim4 delivers only when root starts it")
    program, why = packages.program("exim4", "exim4-daemon-light")
    if program is None:
        skip(why)
    namespace.enter(dict(ACCOUNT, **(files or {})))


class Exim:
    """Its configuration is config in the site's directory after MAIN, with DIR replaced; DIR/exim is its spool."""

    def __init__(self, site, config, port=None, address="127.0.0.1"):
        self.site, self.process, self.port = site, None, port
        self.program, self.environment = packages.program("exim4", "exim4-daemon-light")
        self.spool = site.path("exim")
        os.mkdir(self.spool, 0o755)
        os.chown(self.spool, _UID, _GID)
        # the file that it reads by default: for another one it would give up being root
        os.makedirs(os.path.dirname(CONFIG), exist_ok=True)
        with open(CONFIG, "w", encoding="utf-8") as out:
            out.write(f"exim_path = {self.program}\n{MAIN}{config}".replace("DIR", site.dir))
        os.chmod(CONFIG, 0o644)
        if port:
            self.address = f"{address}.{port}"

    def run(self, *words, stdin=""):
        return subprocess.run([self.program, *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              encoding="latin-1", env=self.environment, timeout=120, check=False)

    def start(self):
        with open(self.site.path("exim.stderr"), "ab") as err:
            self.process = subprocess.Popen([self.program, "-bdf", "-oX", self.address, "-oP", "/dev/null"],
                                            stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=self.environment)
        wait_for("exim4 listens", lambda: re.search("listening for SMTP on", self.mainlog()) or self.process.poll() is not None)

    def mainlog(self):
        return self.site.read("exim/log/mainlog")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        time.sleep(0.1)  # its deliveries are processes of their own
