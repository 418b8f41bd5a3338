/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/selector.h"

#include "lib/tap.h"

TEST(defaults_are_the_documented_ones)
{
	struct log_selector s = log_selector_default();
	CHECK(log_selector_has(s, LOG_SMTP_CONFIRMATION) && log_selector_has(s, LOG_ETRN));
	CHECK(log_selector_has(s, LOG_TLS_CIPHER) && log_selector_has(s, LOG_DKIM));
	CHECK(!log_selector_has(s, LOG_PID) && !log_selector_has(s, LOG_SUBJECT));
	CHECK(!log_selector_has(s, LOG_UNKNOWN_IN_LIST) && !log_selector_has(s, LOG_M8BITMIME));
}

TEST(every_name_is_known)
{
	for (unsigned i = 0; i < LOG_ITEM_COUNT; i++) {
		char text[64] = "+";
		strncpy(text + 1, log_item_name((enum log_item)i), sizeof text - 2);
		struct log_selector s = {0};
		CHECK_EQ_INT(log_selector_parse(slice_cstr(text), &s, NULL), RC_OK);
		CHECK(s.bits == UINT64_C(1) << i);
	}
}

#define BIT(item) (UINT64_C(1) << LOG_##item)

TEST(parsing)
{
	static const struct {
		const char *text;
		uint64_t from;
		enum rc rc;
		uint64_t want;
		const char *why;
	} rows[] = {
	    {"", 5, RC_OK, 5, ""},
	    {"  ", 5, RC_OK, 5, ""},
	    {"+pid", 0, RC_OK, BIT(PID), ""},
	    {"+dkim-etrn", BIT(ETRN), RC_OK, BIT(DKIM), ""},
	    {" +pid\n  +subject -pid ", 0, RC_OK, BIT(SUBJECT), ""},
	    {"+8bitmime +rejected_headers", 0, RC_OK, BIT(M8BITMIME) | BIT(REJECTED_HEADER), ""},
	    {"+all", 0, RC_OK, (UINT64_C(1) << LOG_ITEM_COUNT) - 1, ""},
	    {"+all -all +queue_time", 0, RC_OK, BIT(QUEUE_TIME), ""},
	    {"+foo", 1, RC_FAIL, 1, "unknown log_selector setting: +foo"},
	    {"+pid -bar", 1, RC_FAIL, 1, "unknown log_selector setting: -bar"},
	    {"+ dkim", 1, RC_FAIL, 1, "unknown log_selector setting: +"},
	    {"+PID", 1, RC_FAIL, 1, "unknown log_selector setting: +PID"},
	    {"pid", 1, RC_FAIL, 1,
	        "malformed log_selector setting: + or - expected but found \"pid\""},
	    {"+all=1", 1, RC_FAIL, 1,
	        "malformed log_selector setting: + or - expected but found \"=1\""},
	    {"=3", 1, RC_FAIL, 1,
	        "malformed log_selector setting: + or - expected but found \"=3\""},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct error err = {0};
		struct log_selector s = {rows[i].from};
		CHECK_EQ_INT(log_selector_parse(slice_cstr(rows[i].text), &s, &err), rows[i].rc);
		CHECK_EQ_INT(s.bits, rows[i].want);
		CHECK_EQ_STR(slice_cstr(err.text), rows[i].why);
	}
}

TEST(debug_categories)
{
	uint64_t bits = 0;
	struct error err = {0};
	CHECK_EQ_INT(log_debug_parse(slice_absent(), &bits, &err), RC_OK);
	CHECK(log_debug_has(bits, LOG_D_ACL) && log_debug_has(bits, LOG_D_VERIFY));
	CHECK(!log_debug_has(bits, LOG_D_EXPAND) && !log_debug_has(bits, LOG_D_FILTER));
	CHECK(!log_debug_has(bits, LOG_D_TIMESTAMP) && !log_debug_has(bits, LOG_D_MEMORY));
	CHECK_EQ_INT(log_debug_parse(SL("-all+filter"), &bits, &err), RC_OK);
	CHECK(bits == UINT64_C(1) << LOG_D_FILTER);
	CHECK_EQ_INT(log_debug_parse(SL("+all"), &bits, &err), RC_OK);
	CHECK(log_debug_has(bits, LOG_D_EXPAND) && !log_debug_has(bits, LOG_D_MEMORY));
	CHECK(!log_debug_has(bits, LOG_D_NOUTF8));
	CHECK_EQ_INT(log_debug_parse(SL("+memory-all"), &bits, &err), RC_OK);
	CHECK(bits == 0);
	CHECK_EQ_INT(log_debug_parse(SL("+foo"), &bits, &err), RC_FAIL);
	CHECK_EQ_STR(slice_cstr(err.text), "unknown debug_selector setting: +foo");
}

TAP_MAIN()
