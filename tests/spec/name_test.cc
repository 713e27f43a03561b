#include "spec/name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skarv {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

TEST(Name, IsPlainEverywhereItGoes) {
  for (const char* name : {"a", "north", "Berlin-2", "h100.rack_7", "_x", "7"}) {
    EXPECT_FALSE(problem_of_name("p", "a host", name)) << name;
    EXPECT_FALSE(problem_of_site_name("p", name)) << name;
    EXPECT_FALSE(problem_of_island_name("p", name)) << name;
    EXPECT_FALSE(problem_of_run_name("p", name)) << name;
  }
  for (const std::string& name : {""s, "."s, ".."s, ".git"s, "-x"s, "a/b"s, "../x"s, "a b"s,
                                  "a\"b"s, "ä"s, "a\0b"s, "a\nb"s, std::string(64, 'x')}) {
    EXPECT_TRUE(problem_of_name("p", "a host", name)) << name;
    EXPECT_TRUE(problem_of_site_name("p", name)) << name;
    EXPECT_TRUE(problem_of_island_name("p", name)) << name;
  }
}

TEST(Name, OfASiteIsNoneThatARunNeedsItself) {
  for (const char* name : {"ca", "certs", "coordinator", "export", "wan"}) {
    EXPECT_FALSE(problem_of_name("p", "a host", name)) << name;
    ASSERT_TRUE(problem_of_site_name("p", name)) << name;
    ASSERT_TRUE(problem_of_island_name("p", name)) << name;
    EXPECT_THAT(problem_of_site_name("p", name)->message, HasSubstr(name));
  }
}

TEST(Name, OfAnIslandMayJoinSites) {
  EXPECT_FALSE(problem_of_island_name("p", "north+south"));
  EXPECT_TRUE(problem_of_island_name("p", "north+"));
  EXPECT_TRUE(problem_of_island_name("p", "north+.."));
}

TEST(Name, OfARunFitsACertificate) {
  EXPECT_FALSE(problem_of_run_name("p", "team/first"));
  for (const std::string& name : {""s, "a b"s, "a\0b"s, std::string(65, 'x')}) {
    EXPECT_TRUE(problem_of_run_name("p", name)) << name;
  }
}

TEST(Name, ThatIsRefusedIsShownInPlainLetters) {
  EXPECT_EQ(problem_of_run_name("p", "a\0\033b"s)->message, "\"a??b\" is no name of a run");
  EXPECT_LT(problem_of_run_name("p", std::string(100'000, 'x'))->message.size(), 100u);
}

}  // namespace
}  // namespace skarv
