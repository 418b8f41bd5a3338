# SPDX-License-Identifier: GPL-3.0-or-later
"""What is for elsewhere goes to a host that is not there, the rest into a Maildir."""
ROUTERS = """out:
  driver = manualroute
  domains = !+local_domains
  route_list = * 127.0.0.1::1
  self = send
  transport = smtp
inbox:
  driver = accept
  transport = maildir
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/in
"""
