#include "progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "island_progress.h"

namespace skarv {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

TEST(BarLine, ShowsBarPercentAndText) {
  EXPECT_EQ(bar_line(0, "measuring", 80), "[....................]   0 %  measuring");
  EXPECT_EQ(bar_line(0.5, "measuring", 80), "[##########..........]  50 %  measuring");
  EXPECT_EQ(bar_line(1, "measured", 80), "[####################] 100 %  measured");
}

TEST(BarLine, TheBarGivesWayToTheText) {
  EXPECT_EQ(bar_line(0.5, std::string(24, 'x'), 45), "[#####.....]  50 %  " + std::string(24, 'x'));
  EXPECT_EQ(bar_line(1, std::string(24, 'x'), 40), "[#####] 100 %  " + std::string(24, 'x'));
}

TEST(BarLine, LeavesOutWholePartsAndNeverFillsTheLastColumn) {
  EXPECT_THAT(bar_line(0.5, "step 10/20  loss 4.405  WAN 12.3 MB", 40),
              EndsWith(" 50 %  step 10/20  loss 4.405"));
  EXPECT_THAT(bar_line(0.5, std::string(90, 'x'), 40), EndsWith(" " + std::string(24, 'x')));
  for (size_t columns = 16; columns < 120; ++columns) {
    for (size_t length = 0; length < 120; ++length) {
      EXPECT_LT(bar_line(0.5, std::string(length, 'x'), columns).size(), columns);
    }
  }
}

std::vector<IslandProgress> two_islands() {
  std::vector<IslandProgress> islands(2);
  islands[0].island = "north";
  islands[0].steps = 212;
  islands[0].loss = 4.5;
  islands[0].devices = {{.chip = "cpu", .tokens = 199000}, {.chip = "toy", .tokens = 67900}};
  islands[1].island = "south";
  islands[1].steps = 208;
  islands[1].loss = 4.3;
  islands[1].devices = {{.chip = "cpu", .tokens = 113700}, {.chip = "toy", .tokens = 45300}};
  for (IslandProgress& island : islands) {
    island.seconds = 100;
    island.tokens = 1000;
    island.wan_sent = 18300000;
  }
  return islands;
}

TEST(ProgressText, SaysWhatMattersFirst) {
  EXPECT_EQ(progress_text(two_islands(), 560, 363),
            "step 208/560  loss 4.400  left 6 min 03 s  WAN 36.6 MB"
            "  north cpu:1990 toy:679 tok/s  south cpu:1137 toy:453 tok/s");
}

TEST(ProgressText, FitsTheWindowsThatPeopleHave) {
  const std::string text = progress_text(two_islands(), 560, 363);
  const std::string narrow = bar_line(0.371, text, 80);
  for (const char* part :
       {"37 %", "step 208/560", "loss 4.400", "left 6 min 03 s", "WAN 36.6 MB"}) {
    EXPECT_THAT(narrow, HasSubstr(part));
  }
  EXPECT_THAT(bar_line(0.371, text, 140), EndsWith("south cpu:1137 toy:453 tok/s"));
}

TEST(ProgressText, SaysWhoWaitsForWhatOnOneLine) {
  std::vector<IslandProgress> islands = two_islands();
  islands[1].awaits = "cannot write\n  hint: free disk space";
  const std::string text = progress_text(islands, 560, NAN);
  EXPECT_THAT(text, HasSubstr("left unknown  WAN 36.6 MB  south awaits cannot write  north"));
  EXPECT_THAT(text, Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace skarv
