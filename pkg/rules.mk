# SPDX-License-Identifier: GPL-3.0-or-later
#: make demo         install what is missing, build, run a real MTA on loopback and send mail through it
.PHONY: demo
# make reads the drivers' package lists before anything is installed: so the build is a make of its own
demo:
	pkg/install-deps --demo
	$(MAKE) all
	pkg/demo.sh $(B)
