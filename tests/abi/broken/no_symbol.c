/* SPDX-License-Identifier: GPL-3.0-or-later */
int no_driver_at_all(void);
__attribute__((visibility("default"))) int no_driver_at_all(void)
{
	return 1;
}
