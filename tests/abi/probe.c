/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Uses every type of the ABI once, so that its debug information is what abidiff compares with the
 * baseline. */
#include <heddle/auth.h>
#include <heddle/lookup.h>
#include <heddle/router.h>
#include <heddle/transport.h>

#define USE(type)                                                                 \
	__attribute__((visibility("default"))) void probe_##type(struct type *p); \
	void probe_##type(struct type *p)                                         \
	{                                                                         \
		(void)p;                                                          \
	}
USE(heddle_slice)
USE(heddle_option)
USE(heddle_driver)
USE(heddle_host)
USE(heddle_dns_record)
USE(heddle_dns_service)
USE(heddle_endpoint)
USE(heddle_net_service)
USE(heddle_command)
USE(heddle_spawn_service)
USE(heddle_file_service)
USE(heddle_message_info)
USE(heddle_message_service)
USE(heddle_hints_service)
USE(heddle_metric_service)
USE(heddle_route_host)
USE(heddle_auth_turn)
USE(heddle_auth_ops)
USE(heddle_found)
USE(heddle_lookup_ops)
USE(heddle_address)
USE(heddle_route)
USE(heddle_route_child)
USE(heddle_routing_service)
USE(heddle_router_ops)
USE(heddle_job_info)
USE(heddle_recipient)
USE(heddle_outcome)
USE(heddle_delivery_service)
USE(heddle_limits)
USE(heddle_transport_ops)
