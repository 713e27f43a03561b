// TLS 1.3 streams with certificates on both sides. A name is checked by the handshake in
// greeting.h, so any certificate of the run's authority passes here.
#pragma once

#include "net/stream.h"
#include "net/transport.h"

namespace skarv::net {

// Reads the credentials. Errors: kInvalidArgument (missing, unreadable or not matching files; says
// which), kPermissionDenied (a key that others may read).
Result<std::shared_ptr<StreamFactory>> make_tls_stream_factory(const Options& options);

}  // namespace skarv::net
