#include "wan/round/handshake.h"

#include "base/text.h"
#include "wan/codec/codec.h"

namespace skarv::wan {

Result<Handshake> Handshake::of(const Run& run, const SlabTable& table) {
  SKARV_TRY(arithmetic::check_self_test());
  Handshake handshake;
  handshake.run = skarv::digest_of(run);
  handshake.slab_table = table.digest();
  handshake.self_test = arithmetic::self_test();
  handshake.upload_version = codec_of(run.exchange.upload).version();
  handshake.download_version = codec_of(run.exchange.download).version();
  return handshake;
}

uint64_t Handshake::run_id() const {
  const Digest digest = Hasher()
                            .add("skarv run")
                            .add(std::as_bytes(std::span(run.bytes)))
                            .add(std::as_bytes(std::span(slab_table.bytes)))
                            .finish();
  uint64_t word;
  std::memcpy(&word, digest.bytes.data(), sizeof word);
  return word;
}

Hello Handshake::hello(const std::string& address) const {
  Hello hello;
  hello.run = run;
  hello.slab_table = slab_table;
  hello.self_test = self_test;
  hello.upload_version = upload_version;
  hello.download_version = download_version;
  hello.arithmetic_version = arithmetic::kVersion;
  hello.address = address;
  return hello;
}

Status Handshake::check(const Hello& hello, const std::string& from) const {
  auto refuse = [&](const std::string& what, const std::string& hint) {
    return Status(Code::kFailedPrecondition, Scope::kPeer, what).at(from).with_hint(hint);
  };
  if (hello.wire_version != kWireVersion) {
    return refuse(cat("speaks wire version ", hello.wire_version, ", not ", kWireVersion),
                  "install the same release on all sites");
  }
  if (hello.slab_table != slab_table) {
    return refuse("has another model or another number of fragments",
                  "use the coordinator's run file on every site");
  }
  if (hello.run != run) {
    return refuse("has other run settings (seed, data, optimizer or exchange)",
                  "use the coordinator's run file on every site");
  }
  if (hello.arithmetic_version != arithmetic::kVersion || hello.self_test != self_test) {
    return refuse("computes the outer step with other bits",
                  "use the same release, built as the project builds it");
  }
  if (hello.upload_version != upload_version || hello.download_version != download_version) {
    return refuse("has other codec versions", "install the same release on all sites");
  }
  return {};
}

Digest genesis_chain(const Handshake& handshake) {
  return Hasher().add("skarv genesis").add_number<uint64_t>(handshake.run_id()).finish();
}

}  // namespace skarv::wan
