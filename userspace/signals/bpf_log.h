// SPDX-License-Identifier: MIT
// Where libbpf's messages go.
#pragma once

namespace culprit {

/// Into our log, from now on.
void send_bpf_messages_to_log();

} // namespace culprit
