#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make install DESTDIR=...: the installed binary finds its drivers; a driver built against the installed header alone loads, and
one that was built for another ABI is refused with a message that names both."""
import os
import shutil
import subprocess
import tempfile

from heddle import equal, like

DRIVER = r'''
#include <heddle/lookup.h>
static const struct heddle_host *services;
static int32_t load(struct heddle_call *call, const struct heddle_host *host, void **state)
{
	(void)call, (void)state;
	services = host;
	return HEDDLE_OK;
}
static int32_t find(struct heddle_call *call, void *inst, void *handle, struct heddle_slice key, struct heddle_slice options,
    struct heddle_found *out)
{
	(void)inst, (void)handle, (void)options;
	return services->join(call, &key, 1, &out->value);
}
static const struct heddle_lookup_ops ops = {.struct_size = sizeof ops, .kind = HEDDLE_L_QUERY, .find = find};
const struct heddle_driver heddle_driver_v1 = {.magic = HEDDLE_MAGIC, .head_size = HEDDLE_HEAD_SIZE,
    .struct_size = sizeof heddle_driver_v1, .abi_major = MAJOR, .abi_minor = HEDDLE_ABI_TARGET,
    .driver_class = HEDDLE_LOOKUP, .name = "echo", .version = "1.0", .licence = "MIT", .author = "a stranger",
    .summary = "gives the key back", .option_size = sizeof(struct heddle_option), .ops = &ops, .load = load};
'''
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.relpath(os.environ["HEDDLE_BUILD"], TOP)
VARIANT = BUILD[6:] if BUILD.startswith("build-") else ""
place = tempfile.mkdtemp(prefix="heddle-install-")
os.chmod(place, 0o755)


def run(*words, **more):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)


env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
done = run("make", "-C", TOP, "install", f"VARIANT={VARIANT}", f"DESTDIR={place}", env=env)
equal((done.returncode, done.stdout[-500:] if done.returncode else ""), (0, ""), "it installs")
heddle = os.path.join(place, "usr/sbin/heddle")
drivers = os.path.join(place, "usr/lib/heddle/drivers")
with open(os.path.join(place, "heddle.conf"), "w", encoding="ascii") as out:
    out.write(f"spool_directory = {place}/spool\nbegin retry\n")
config = ["-C", os.path.join(place, "heddle.conf")]
like(run(heddle, *config, "-bV").stdout, "^Routers: accept dnslookup ipliteral manualroute redirect$", "it finds its drivers")

source = os.path.join(place, "echo.c")
with open(source, "w", encoding="ascii") as out:
    out.write(DRIVER)
shared = os.path.join(drivers, "lookup/echo.so")
flags = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{place}/usr/include", "-fPIC", "-shared", "-fvisibility=hidden",
         "-Wl,-z,defs"]
equal(run(*flags, "-DMAJOR=HEDDLE_ABI_MAJOR", "-o", shared, source).stdout, "", "a stranger's driver builds with the installed header")
equal(run(heddle, *config, "-be", "${lookup echo{a key}}").stdout, "a key\n", "and loads")
equal(run(*flags, "-DMAJOR=9", "-o", shared + ".new", source).stdout, "", "another ABI")
os.rename(shared + ".new", shared)
answer = run(heddle, *config, "-be", "${lookup echo{a key}}").stdout
like(answer, r"lookup/echo\.so: .*ABI 9\.0, wanted 1\.0", "is refused, with file, found and wanted")
shutil.rmtree(place)
