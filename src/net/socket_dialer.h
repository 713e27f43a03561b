// The dialing side of tcp and tls. Includes asio: for .cc files of this room only.
#pragma once

#include "net/socket_options.h"

namespace skarv::net {

Result<std::unique_ptr<Connection>> dial(std::shared_ptr<Runtime> runtime,
                                         std::shared_ptr<StreamFactory> factory,
                                         const std::string& address, const Options& options,
                                         Deadline deadline);

}  // namespace skarv::net
