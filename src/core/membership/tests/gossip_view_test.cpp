// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/gossip_view.hpp"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace dfaas {
namespace {

using Kind = HintChange::Kind;

NodeId id_of(std::size_t number) {
  std::string text(NodeId::length, 'a');
  for (std::size_t at = text.size(); number > 0; number /= 26) {
    text[--at] = static_cast<char>('a' + number % 26);
  }
  return *NodeId::parse(text);
}

const NodeId self = id_of(0);

SerfMember member(std::size_t number, const std::string& address = "10.0.0.1") {
  return {.name = id_of(number).text(),
          .address = address,
          .port = 7946,
          .is_alive = true,
          .tags = {
              {"dfaas", "1"}, {"federation", "f"}, {"id", id_of(number).text()}, {"port", "8443"}}};
}

SerfMember with(SerfMember changed, const std::string& tag, const std::string& value) {
  changed.tags[tag] = value;
  return changed;
}

GossipView view_of(std::size_t members_max = 100) {
  return GossipView({.self = self, .federation = "f", .members_max = members_max});
}

TEST(Hint, IsWhatTheTagsClaim) {
  const auto hint = hint_of(with(member(1), "name", "west"), self, "f");
  ASSERT_TRUE(hint) << hint.error().message;
  EXPECT_EQ(hint->id, id_of(1));
  EXPECT_EQ(hint->host, "10.0.0.1");
  EXPECT_EQ(hint->port, 8443);
  EXPECT_EQ(hint->group, "10.0.0.1");
  EXPECT_EQ(hint->labels.at("name"), "west");
  EXPECT_EQ(hint->labels.at("gossip"), "10.0.0.1:7946");
  EXPECT_EQ(hint_of(with(member(1), "address", "10.9.9.9"), self, "f")->host, "10.9.9.9");
  EXPECT_EQ(hint_of(member(1, "127.0.0.1"), self, "f")->host, "127.0.0.1");
}

TEST(Hint, IsNotMadeOfGarbage) {
  const std::string long_text(500, '\x01');
  const struct {
    SerfMember said;
    ErrorCode code;
    const char* words;
  } cases[] = {
      {with(member(1), "dfaas", ""), ErrorCode::invalid_input, "no tag dfaas"},
      {with(member(1), "dfaas", "2"), ErrorCode::invalid_input, "but 1 is spoken here"},
      {with(member(1), "federation", "g"), ErrorCode::denied, "is of federation"},
      {with(member(1), "federation", long_text), ErrorCode::denied, "is of federation"},
      {with(member(1), "id", "x"), ErrorCode::invalid_input, "tag id"},
      {with(member(1), "id", long_text), ErrorCode::invalid_input, "tag id"},
      {with(member(1), "id", self.text()), ErrorCode::conflict, "says that it is this node"},
      {with(member(1), "port", "0"), ErrorCode::invalid_input, "tag port"},
      {with(member(1), "port", "65536"), ErrorCode::invalid_input, "tag port"},
      {with(member(1), "port", "-1"), ErrorCode::invalid_input, "tag port"},
      {with(member(1), "address", "host.example"), ErrorCode::invalid_input, "tag address"},
      {with(member(1), "address", "0.0.0.0"), ErrorCode::invalid_input, "tag address"},
      {with(member(1), "address", "255.255.255.255"), ErrorCode::invalid_input, "tag address"},
      {with(member(1), "address", "224.0.0.1"), ErrorCode::invalid_input, "tag address"},
      {with(member(1), "address", "127.0.0.1"), ErrorCode::invalid_input, "own machine"},
      {with(member(1), "address", "::1"), ErrorCode::invalid_input, "own machine"},
      {with(member(1), "address", "::ffff:127.0.0.1"), ErrorCode::invalid_input, "tag address"},
      {with(member(1), "address", "169.254.1.1"), ErrorCode::invalid_input, "own machine"},
      {with(member(1), "address", "fe80::1"), ErrorCode::invalid_input, "own machine"},
      {with(member(1), "address", "ff02::1"), ErrorCode::invalid_input, "tag address"}};
  for (const auto& [said, code, words] : cases) {
    const auto hint = hint_of(said, self, "f");
    ASSERT_FALSE(hint) << words;
    EXPECT_EQ(hint.error().code, code) << hint.error().message;
    EXPECT_NE(hint.error().message.find(words), std::string::npos) << hint.error().message;
    EXPECT_LT(hint.error().message.size(), 300U);
  }
  auto nameless = with(member(1), "name", "No Name");
  EXPECT_FALSE(hint_of(nameless, self, "f")->labels.contains("name"));
}

TEST(GossipView, TellsWhatAppearedChangedAndWent) {
  GossipView view = view_of();
  view.replace({member(0), member(1), member(2)});
  auto changes = view.take_changes();
  ASSERT_EQ(changes.size(), 2U);  // Without ourselves.
  EXPECT_EQ(changes[0].kind, Kind::appeared);
  EXPECT_EQ(changes[0].hint.id, id_of(1));
  EXPECT_TRUE(view.take_changes().empty());

  view.apply({.event = "member-update", .members = {with(member(1), "port", "9000")}});
  view.apply({.event = "member-failed", .members = {member(2)}});
  view.apply({.event = "member-join", .members = {member(3)}});
  changes = view.take_changes();
  ASSERT_EQ(changes.size(), 3U);
  EXPECT_EQ(changes[0].kind, Kind::changed);
  EXPECT_EQ(changes[0].hint.port, 9000);
  EXPECT_EQ(changes[1].kind, Kind::gone);
  EXPECT_EQ(changes[2].kind, Kind::appeared);

  // What came and went between two looks is nothing.
  view.apply({.event = "member-join", .members = {member(4)}});
  view.apply({.event = "member-leave", .members = {member(4)}});
  EXPECT_TRUE(view.take_changes().empty());

  auto failed = member(1);
  failed.is_alive = false;
  view.replace({failed, member(3)});
  changes = view.take_changes();
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].kind, Kind::gone);
  EXPECT_EQ(changes[0].hint.id, id_of(1));
}

TEST(GossipView, TellsOfEachLiarOnceAndOfAHundredAtMost) {
  GossipView view = view_of();
  const SerfMember copy = with(member(1), "id", self.text());
  view.replace({copy, copy, with(member(2), "dfaas", "9"), with(member(3), "federation", "g")});
  view.replace({copy});
  EXPECT_EQ(view.take_complaints().size(), 3U);
  EXPECT_EQ(view.counters().ignored_copies_of_self, 3U);
  EXPECT_EQ(view.counters().ignored_malformed, 1U);
  EXPECT_EQ(view.counters().ignored_other_federation, 1U);
  EXPECT_EQ(view.size(), 0U);
  for (std::size_t number = 1; number < 1000; ++number)
    view.replace({with(member(number), "id", "?")});
  EXPECT_LE(view.take_complaints().size(), 100U);
}

TEST(GossipView, LetsNobodyCrowdOutMembersAtOtherAddresses) {
  GossipView view = view_of(50);
  std::vector<SerfMember> crowd;
  for (std::size_t number = 1000; number < 2000; ++number)
    crowd.push_back(member(number, "10.6.6.6"));
  view.apply({.event = "member-join", .members = crowd});
  EXPECT_EQ(view.size(), 50U);
  for (std::size_t number = 1; number <= 10; ++number) {
    view.apply(
        {.event = "member-join", .members = {member(number, fmt::format("10.0.0.{}", number))}});
  }
  view.apply({.event = "member-join", .members = crowd});
  EXPECT_EQ(view.size(), 50U);
  std::size_t honest = 0;
  for (const HintChange& change : view.take_changes())
    honest += change.hint.group == "10.6.6.6" ? 0 : 1;
  EXPECT_EQ(honest, 10U);
  EXPECT_GT(view.counters().crowded_out, 0U);
}

TEST(GossipView, KeepsItsBoundsAndItsReportInStepOverAnyHistory) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random{seed};
    GossipView view = view_of(30);
    std::map<std::string, MemberHint> believed;
    for (int step = 0; step < 400; ++step) {
      const SerfMember one =
          with(member(1 + below(random, 60), fmt::format("10.0.0.{}", below(random, 4))), "port",
               std::to_string(1 + below(random, 3)));
      const char* events[] = {"member-join", "member-update", "member-failed", "member-leave"};
      if (below(random, 10) == 0) {
        view.replace({one});
      } else {
        view.apply({.event = events[below(random, 4)], .members = {one}});
      }
      ASSERT_LE(view.size(), 30U) << "seed " << seed;
      if (below(random, 3) != 0) continue;
      for (const HintChange& change : view.take_changes()) {
        ASSERT_EQ(believed.contains(change.hint.key), change.kind != Kind::appeared)
            << "seed " << seed;
        believed[change.hint.key] = change.hint;
        if (change.kind == Kind::gone) believed.erase(change.hint.key);
      }
      ASSERT_EQ(believed.size(), view.size()) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace dfaas
