// Messages as bytes: a JSON head (fence and small fields) and a binary body (digests, payloads).
// Decoding takes bytes from anywhere: types, ranges and lengths are checked before use.
#pragma once

#include "base/status.h"
#include "net/message.h"
#include "wan/round/message.h"

namespace skarv::wan {

net::Message encode(const Message& message);
// Error: kInvalidArgument with scope kPeer and `from` as origin.
Result<Message> decode(const net::Message& message, const std::string& from);
// Payloads travel on the bulk lane, so that they never delay anything else.
net::Lane lane_of(const Message& message);

}  // namespace skarv::wan
