/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A client says who it is.  Where nothing can be said, that is no reason to keep mail from a host that does not insist. */
#include "smtp/client_private.h"

enum rc session_authenticate(struct client_session *s, struct client_outcome *why)
{
	if (s->t.auth != CLIENT_REQUIRE)
		return RC_OK;
	return outcome_set(s, why, RC_DEFER, HEDDLE_X_HOST, "authentication required but server did not advertise AUTH support");
}
