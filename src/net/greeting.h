// The handshake of net/handshake.h carried over a stream, both sides of it. In the io thread; who
// calls sets a time limit by closing the stream. Includes asio: for .cc files of this room only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "net/handshake.h"
#include "net/stream.h"

namespace skarv::net {

struct GreetingConfig {
  std::string token, expected_peer;
};

// TLS (if any), hellos, proofs. The peer's hello, its name proven by its certificate if there is
// one. On an error that the peer should know of, it has been told.
boost::asio::awaitable<Result<Hello>> greet(Stream& stream, Side side, Hello own,
                                            GreetingConfig config);

}  // namespace skarv::net
