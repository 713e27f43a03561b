// Plain TCP streams.
#pragma once

#include <boost/system/error_code.hpp>

#include "net/stream.h"
#include "net/transport.h"

namespace skarv::net {

Result<std::shared_ptr<StreamFactory>> make_tcp_stream_factory(const Options& options);

// kUnavailable with the system's words; ok for no error.
Status stream_status(const boost::system::error_code& error);

}  // namespace skarv::net
