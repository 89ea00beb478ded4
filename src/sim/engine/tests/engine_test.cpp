// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Events come in order, whatever the order in which they were entered; tickets never name another.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "sim/engine/event_queue.hpp"
#include "sim/engine/slots.hpp"

namespace dfaas {
namespace {

Instant at_micros(std::int64_t micros) { return Instant{Micros{micros}}; }

TEST(EventQueue, BreaksTiesByOrderOfEntry) {
  EventQueue<char> queue;
  queue.push(at_micros(5), 'c');
  queue.push(at_micros(1), 'a');
  queue.push(at_micros(5), 'd');
  queue.push(at_micros(2), 'b');
  std::string order;
  while (!queue.empty()) order += queue.pop();
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(queue.now(), at_micros(5));
}

TEST(EventQueueProperty, IsAStableSort) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    EventQueue<std::pair<Instant, int>> queue;
    std::vector<std::pair<Instant, int>> expected;
    std::vector<std::pair<Instant, int>> seen;
    for (int number = 0; number < 300; ++number) {
      if (!queue.empty() && below(random, 3) == 0) {
        seen.push_back(queue.pop());
        continue;
      }
      const Instant at = queue.now() + Micros{static_cast<Micros::rep>(below(random, 20))};
      queue.push(at, {at, number});
      expected.emplace_back(at, number);
    }
    while (!queue.empty()) seen.push_back(queue.pop());
    std::ranges::stable_sort(expected, {}, &std::pair<Instant, int>::first);
    EXPECT_EQ(seen, expected);
  }
}

TEST(Slots, ATicketNamesOneThingForEver) {
  Slots<int> slots;
  const Ticket first = slots.add(1);
  EXPECT_EQ(*slots.find(first), 1);
  EXPECT_EQ(slots.take(first), 1);
  EXPECT_EQ(slots.find(first), nullptr);
  const Ticket second = slots.add(2);
  EXPECT_EQ(second.index, first.index) << "places are used again";
  EXPECT_EQ(slots.find(first), nullptr);
  EXPECT_EQ(*slots.find(second), 2);
  EXPECT_EQ(slots.count(), 1U);
}

}  // namespace
}  // namespace dfaas
