// The listening side of tcp and tls. Includes asio: for .cc files of this room only.
#pragma once

#include "net/runtime.h"
#include "net/socket_options.h"
#include "net/stream.h"
#include "net/transport.h"

namespace skarv::net {

Result<std::unique_ptr<Listener>> listen_on(std::shared_ptr<Runtime> runtime,
                                            std::shared_ptr<StreamFactory> factory,
                                            const std::string& address, const Options& options);

}  // namespace skarv::net
