/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A DNS answer: the wire's bytes to records, the aliases followed, names turned and checked.
 * The first byte says which type is asked for; the question is the message's own.
 */
#include "net/dns/dns_parse.h"

#include "base/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct dns_record *r, struct arena *a)
{
	size_t sum = 0;

	/* whatever the record claims, it can be read */
	for (uint32_t i = 0; i < r->owner.len; i++)
		sum += (unsigned char)r->owner.ptr[i];
	for (uint32_t i = 0; i < r->name.len; i++)
		sum += (unsigned char)r->name.ptr[i];
	for (uint32_t i = 0; i < r->rdata.len; i++)
		sum += (unsigned char)r->rdata.ptr[i];
	for (size_t i = 0; i < r->n_texts; i++)
		for (uint32_t k = 0; k < r->texts[i].len; k++)
			sum += (unsigned char)r->texts[i].ptr[k];
	MUST(sum < SIZE_MAX);
	MUST(!slice_is_clean(r->owner) && (r->name.len == 0 || !slice_is_clean(r->name)));
	if (r->type == DNS_A || r->type == DNS_AAAA)
		MUST(dns_reverse_name(a, &r->addr, ".example").len > 0);
	uint16_t type = 0;
	/* no question asks for type 0 */
	MUST(dns_type_parse(dns_type_name(a, r->type), &type) ? type == r->type : r->type == 0);
	(void)dns_name_ok(r->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = {
	    DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_PTR, DNS_SRV, DNS_TLSA, DNS_SOA};
	struct dns_message m;
	slice_t canon;

	if (size < 1 || size > 65536)
		return 0;
	struct arena *a = arena_new(0);
	if (dns_parse_message(a, data + 1, size - 1, &m, NULL) == RC_OK) {
		MUST(m.count <= DNS_MAX_RECORDS);
		for (size_t i = 0; i < m.count; i++)
			look_at(&m.records[i], a);
		uint16_t type = types[data[0] % (sizeof types / sizeof *types)];
		size_t before = m.count;
		if (dns_message_select(&m, m.qname, type, &canon, NULL) == RC_OK) {
			MUST(m.count <= before);
			for (size_t i = 0; i < m.count; i++)
				MUST(m.records[i].type == type);
		}
	}
	arena_free(&a);
	return 0;
}
