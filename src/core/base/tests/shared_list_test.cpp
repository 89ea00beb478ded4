// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/base/shared_list.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dfaas {
namespace {

using testing::ElementsAre;

TEST(SharedList, HoldsNothingAtFirst) {
  const SharedList<std::string> list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.begin(), list.end());
  EXPECT_EQ(list, SharedList<std::string>());
}

TEST(SharedList, SharesItsElementsUntilACopyIsEdited) {
  SharedList<std::string> list{"a", "b"};
  SharedList<std::string> copy = list;
  EXPECT_TRUE(copy.shares_with(list));
  copy.edit()[0] = "c";
  EXPECT_FALSE(copy.shares_with(list));
  EXPECT_THAT(list, ElementsAre("a", "b"));
  EXPECT_THAT(copy, ElementsAre("c", "b"));
  EXPECT_FALSE(list == copy);
  copy.edit()[0] = "a";
  EXPECT_EQ(list, copy) << "equal elements make equal lists, shared or not";
}

TEST(SharedList, IsEditedInPlaceWhileNobodyElseHoldsIt) {
  SharedList<int> list;
  list.edit().push_back(1);
  const int* element = list.begin();
  list.edit()[0] = 2;
  EXPECT_EQ(list.begin(), element);
  EXPECT_THAT(list, ElementsAre(2));
}

}  // namespace
}  // namespace dfaas
