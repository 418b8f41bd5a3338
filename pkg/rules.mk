# SPDX-License-Identifier: GPL-3.0-or-later
#: make demo         install what is missing, build, run a real MTA on loopback and send mail through it
.PHONY: demo
# make reads the drivers' package lists before anything is installed: so the build is a make of its own
demo:
	pkg/install-deps --demo
	$(MAKE) all
	pkg/demo.sh $(B)

#: make install      DESTDIR, PREFIX (/usr), LIBDIR (PREFIX/lib), SYSCONFDIR (/etc/heddle) as distributors expect
PREFIX ?= /usr
LIBDIR ?= $(PREFIX)/lib
SYSCONFDIR ?= /etc/heddle
PKGLIB := $(LIBDIR)/heddle
H_CPPFLAGS += -DHEDDLE_LIBDIR='"$(PKGLIB)"' -DHEDDLE_CONFIG='"$(SYSCONFDIR)/heddle.conf"'
INSTALL ?= install

.PHONY: install
# Each file under another name first, then renamed: a running daemon keeps the file that it has open.
put = $(INSTALL) -m $(1) $(2) $(3)/.$(notdir $(2)).new && mv $(3)/.$(notdir $(2)).new $(3)/$(notdir $(2))
install: all
	$(INSTALL) -d -m 755 $(addprefix $(DESTDIR),$(PREFIX)/sbin $(PREFIX)/bin $(PREFIX)/include/heddle $(PKGLIB)/libexec \
		$(addprefix $(PKGLIB)/drivers/,auth router transport lookup) $(PREFIX)/share/man/man8 \
		$(PREFIX)/share/man/man5 $(LIBDIR)/pkgconfig \
		$(addprefix $(PREFIX)/share/doc/heddle/drivers/,auth router transport lookup))
	$(call put,755,$(B)/heddle,$(DESTDIR)$(PREFIX)/sbin)
	$(call put,755,$(B)/heddlectl,$(DESTDIR)$(PREFIX)/sbin)
	$(call put,755,$(B)/heddle-driver-check,$(DESTDIR)$(PREFIX)/bin)
	set -e; for p in $(B)/libexec/*; do n=$$(basename $$p); $(INSTALL) -m 755 $$p $(DESTDIR)$(PKGLIB)/libexec/.$$n.new; \
		mv $(DESTDIR)$(PKGLIB)/libexec/.$$n.new $(DESTDIR)$(PKGLIB)/libexec/$$n; done
	set -e; for d in $(DRIVER_BUILD); do $(INSTALL) -m 644 $(B)/drivers/$$d.so $(DESTDIR)$(PKGLIB)/drivers/$$d.so.new; \
		mv $(DESTDIR)$(PKGLIB)/drivers/$$d.so.new $(DESTDIR)$(PKGLIB)/drivers/$$d.so; done
	$(foreach d,$(DRIVER_BUILD),$(foreach a,$(driver_aliases_$(d)),ln -sf $(notdir $(d)).so \
		$(DESTDIR)$(PKGLIB)/drivers/$(dir $(d))$(a).so &&)) true
	$(INSTALL) -m 644 abi/heddle/*.h $(DESTDIR)$(PREFIX)/include/heddle
	$(INSTALL) -m 644 pkg/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	$(INSTALL) -m 644 pkg/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	set -e; for d in $(DRIVER_BUILD); do [ ! -e drivers/$$d/$${d#*/}.md ] || \
		$(INSTALL) -m 644 drivers/$$d/$${d#*/}.md $(DESTDIR)$(PREFIX)/share/doc/heddle/drivers/$$d.md; done
	sed -e 's,@PREFIX@,$(PREFIX),; s,@PKGLIB@,$(PKGLIB),' pkg/heddle.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/heddle.pc
