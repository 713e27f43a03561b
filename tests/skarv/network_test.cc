#include "network.h"

#include <gtest/gtest.h>

namespace skarv {
namespace {

// Without TLS an address of the whole world would be refused: nobody should have to say so.
TEST(Network, ListensEverywhereButWithoutTlsOnThisMachine) {
  EXPECT_EQ(listen_address({"certs", false}, "", 7700), "0.0.0.0:7700");
  EXPECT_EQ(listen_address({"", true}, "", 7700), "127.0.0.1:7700");
  EXPECT_EQ(listen_address({"", true}, "[::1]:9", 7700), "[::1]:9");
}

}  // namespace
}  // namespace skarv
