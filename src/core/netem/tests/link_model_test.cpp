// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a link does to frames: examples to check by hand, then what may never happen.
#include "core/netem/link_model.hpp"

#include <algorithm>
#include <cstdint>
#include <tuple>

#include <gtest/gtest.h>

namespace dfaas {
namespace {

Instant at(std::int64_t micros) { return Instant{Micros{micros}}; }

TEST(LinkModel, DelaysEachFrame) {
  LinkModel link({.delay = Micros{1000}}, Random{1});
  EXPECT_EQ(link.carry(at(0), 60), at(1000));
  EXPECT_EQ(link.carry(at(10), 1500), at(1010));
}

TEST(LinkModel, SendsOneFrameAfterTheOtherAtItsBandwidth) {
  // 1250 bytes at 10 Mbit/s take 1 ms.
  LinkModel link({.delay = Micros{500}, .bits_per_second = 10e6}, Random{1});
  EXPECT_EQ(link.carry(at(0), 1250), at(1500));
  EXPECT_EQ(link.carry(at(0), 1250), at(2500));
  EXPECT_EQ(link.carry(at(10'000), 1250), at(11'500));
}

TEST(LinkModel, DropsWhatWouldWaitTooLong) {
  LinkModel link({.bits_per_second = 1e6}, Random{1});
  // 1250 bytes take 10 ms; the queue holds 200 ms.
  int carried = 0;
  for (int frame = 0; frame < 100; ++frame) carried += link.carry(at(0), 1250) ? 1 : 0;
  EXPECT_EQ(carried, 21);
  EXPECT_EQ(link.counts().dropped, 79U);
}

TEST(LinkModel, CarriesNothingWhileItIsCutAndCutsAddUp) {
  LinkModel link({}, Random{1});
  link.cut();
  link.cut();
  link.heal();
  EXPECT_FALSE(link.carry(at(0), 60));
  link.heal();
  EXPECT_TRUE(link.carry(at(1), 60));
  link.heal();
  link.cut();
  EXPECT_FALSE(link.carry(at(2), 60)) << "healing what is whole must not outweigh a later cut";
  EXPECT_EQ(link.counts().cut, 2U);
}

TEST(LinkModel, LosesAsManyAsItShould) {
  LinkModel link({.loss_ratio = 0.2}, Random{7});
  constexpr int frames = 20'000;
  for (int frame = 0; frame < frames; ++frame) std::ignore = link.carry(at(frame), 60);
  EXPECT_NEAR(static_cast<double>(link.counts().lost) / frames, 0.2, 0.01);
}

TEST(LinkModelProperty, NeverLetsAFrameOvertakeNorArriveBeforeItsDelay) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    Random random{seed};
    const LinkShape shape{.delay = from_seconds(uniform(random, 0, 0.05)),
                          .jitter = from_seconds(uniform(random, 0, 0.05)),
                          .loss_ratio = uniform(random, 0, 0.3),
                          .bits_per_second = below(random, 2) == 0 ? 0 : uniform(random, 1e5, 1e8)};
    LinkModel link(shape, Random{seed});
    Instant now{};
    Instant last{};
    for (int frame = 0; frame < 200; ++frame) {
      now += from_seconds(exponential(random, 0.001));
      const auto out = link.carry(now, 60 + below(random, 1440));
      if (!out) continue;
      EXPECT_GE(*out, now + shape.delay);
      EXPECT_GE(*out, last);
      EXPECT_LE(*out, std::max(last, now + shape.delay + shape.jitter + LinkModel::queue_max +
                                         Micros{150'000}));
      last = *out;
    }
    const LinkCounts& counts = link.counts();
    EXPECT_EQ(counts.carried + counts.lost + counts.dropped + counts.cut, 200U);
  }
}

}  // namespace
}  // namespace dfaas
