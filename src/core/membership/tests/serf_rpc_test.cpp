// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/membership/serf_rpc.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/membership/msgpack_frames.hpp"

namespace dfaas {
namespace {

using Json = nlohmann::json;
using std::string_literals::operator""s;

const NodeId self = *NodeId::parse("abcdefghijklmnopqrstuvwxyz234567");

std::string packed(const Json& value) {
  std::string bytes;
  Json::to_msgpack(value, bytes);
  return bytes;
}

Json unpacked(const std::string& bytes) { return Json::from_msgpack(bytes); }

/// All values in `bytes`, fed `step` bytes at a time.
std::vector<std::string> frames_of(const std::string& bytes, std::size_t step) {
  MsgpackFrames frames(1000);
  std::vector<std::string> values;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    frames.feed(std::string_view(bytes).substr(at, step));
    for (;;) {
      auto value = frames.next();
      EXPECT_TRUE(value) << value.error().message;
      if (!value || !*value) break;
      values.push_back(**value);
    }
  }
  return values;
}

/// As serf 0.9.4 sent it: the header of a list, and a list of one.
const std::string header = "\x82\xa5"s + "Error\xa0\xa3" + "Seq\x05";
const std::string list = "\x81\xa7"s + "Members\x91\x8b\xa4" + "Addr\xc4\x04\x7f\x00\x00\x01\xab"s +
                         "DelegateCur\x05\xab" + "DelegateMax\x05\xab" + "DelegateMin\x02\xa4" +
                         "Name\xa1" + "b\xa4" + "Port\xcdiz\xab" + "ProtocolCur\x02\xab" +
                         "ProtocolMax\x05\xab" + "ProtocolMin\x01\xa6" + "Status\xa5" +
                         "alive\xa4" + "Tags\x82\xa2" + "id\xa3" + "abc\xa5" + "dfaas\xa1" + "1";

TEST(MsgpackFrames, FindEachValueHoweverTheBytesAreCut) {
  std::vector<std::string> wanted{header, list, "\x01", "\xc0"s};
  for (const Json& value :
       {Json(-1), Json(1e9), Json(200), Json(70000), Json(1ULL << 40U), Json(-200), Json(-70000),
        Json(-5'000'000'000), Json(1.5), Json(std::string(300, 'x')), Json(Json::array({1, {2}})),
        Json(std::vector<int>(20, 1)), Json::binary(std::vector<std::uint8_t>(300, 1)),
        Json::binary({1, 2}, 5), Json::binary({1, 2, 3}, 5), Json::binary({}, 7),
        Json(Json::object()), Json(true)}) {
    wanted.push_back(packed(value));
  }
  std::string all;
  for (const std::string& value : wanted) all += value;
  for (const std::size_t step : {1U, 2U, 3U, 7U, 100U, 5000U}) {
    EXPECT_EQ(frames_of(all, step), wanted) << step;
  }
}

TEST(MsgpackFrames, RefuseWhatIsTooMuch) {
  const struct {
    const char* what;
    std::string bytes;
    const char* words;
  } cases[] = {{"no MessagePack", "\xc1", "byte 0xc1"},
               {"a long text, before it is here", "\xdb\x00\x00\x10\x00"s, "over 1000 bytes"},
               {"four thousand million values", "\xdd\xff\xff\xff\xff"s, "over 1000 bytes"},
               {"a map of them", "\xdf\xff\xff\xff\xff"s, "over 1000 bytes"},
               {"small values of too many",
                "\xdc\x03\xe0"s + "\xdc\x03\xe0"s + std::string(1000, 'a'), "over 1000 bytes"},
               {"deep nesting", std::string(50, '\x91'), "deeper than 16"}};
  for (const auto& [what, bytes, words] : cases) {
    MsgpackFrames frames(1000);
    frames.feed(bytes);
    const auto value = frames.next();
    ASSERT_FALSE(value) << what;
    EXPECT_NE(value.error().message.find(words), std::string::npos) << value.error().message;
  }
}

TEST(SerfFrame, TellsHeadersFromBodies) {
  auto frame = serf_frame(header);
  ASSERT_TRUE(frame);
  EXPECT_TRUE(frame->is_header);
  EXPECT_EQ(frame->sequence, 5U);
  EXPECT_EQ(frame->error, "");
  frame = serf_frame(list);
  ASSERT_TRUE(frame);
  EXPECT_FALSE(frame->is_header);
  EXPECT_EQ(frame->body, list);
  frame = serf_frame(packed({{"Seq", 1}, {"Error", "1 error:\n\t* Failed\x01 \xff"}}));
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->error, "1 error: * Failed");
  EXPECT_FALSE(serf_frame(packed({{"Seq", "1"}, {"Error", ""}})));
  EXPECT_FALSE(serf_frame(packed(Json::array())));
}

TEST(SerfMembers, AreReadAndWrongOnesCounted) {
  const auto one = serf_members_from(list);
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_EQ(one->members.size(), 1U);
  EXPECT_EQ(one->members[0].name, "b");
  EXPECT_EQ(one->members[0].address, "127.0.0.1");
  EXPECT_EQ(one->members[0].port, 27002);
  EXPECT_TRUE(one->members[0].is_alive);
  EXPECT_EQ(one->members[0].tags,
            (std::map<std::string, std::string>{{"id", "abc"}, {"dfaas", "1"}}));

  const Json good{
      {"Name", "n"}, {"Port", 1}, {"Status", "failed"}, {"Addr", Json::binary({1, 2, 3, 4})}};
  const auto with = [&good](const char* field, const Json& value) {
    Json changed = good;
    changed[field] = value;
    return changed;
  };
  const Json wrong = Json::array(
      {7, with("Name", ""), with("Name", std::string(300, 'x')), with("Name", 1), with("Port", 0),
       with("Port", 65536), with("Port", -1), with("Port", 1ULL << 40U),
       with("Addr", Json::binary({1})), with("Addr", nullptr), with("Tags", {{"a", 1}}),
       with("Tags", {{"a", std::string(600, 'x')}})});
  Json all = wrong;
  all.push_back(good);
  all.push_back(with("Addr", Json::binary({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 9, 8, 7, 6})));
  all.push_back(with("Addr", Json::binary({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})));
  const auto read = serf_members_from(packed({{"Event", "member-failed"}, {"Members", all}}));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->event, "member-failed");
  EXPECT_EQ(read->malformed, wrong.size());
  ASSERT_EQ(read->members.size(), 3U);
  EXPECT_FALSE(read->members[0].is_alive);
  EXPECT_EQ(read->members[1].address, "9.8.7.6");
  EXPECT_EQ(read->members[2].address, "::1");
  EXPECT_TRUE(serf_members_from(packed({{"Members", nullptr}})));
  EXPECT_FALSE(serf_members_from(packed({{"Members", 1}})));
  EXPECT_FALSE(serf_members_from(packed({{"Num", 1}})));
}

TEST(SerfKeys, AreReadWithWhatMembersSaidOfThem) {
  const auto read = serf_keys_from(packed({{"Keys", {{"a2V5", 2}}},
                                           {"Messages", {{"b", "no\nkeyring"}}},
                                           {"NumNodes", 3},
                                           {"NumResp", 2},
                                           {"NumErr", 1}}));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->keys, (std::map<std::string, int>{{"a2V5", 2}}));
  EXPECT_EQ(read->messages, (std::map<std::string, std::string>{{"b", "no keyring"}}));
  EXPECT_EQ(read->members, 3);
  EXPECT_EQ(read->answered, 2);
  EXPECT_EQ(read->failed, 1);
}

TEST(SerfRequests, AreAHeaderAndABody) {
  const std::vector<std::string> parts = frames_of(serf_join(7, "10.0.0.1:7946"), 1000);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(unpacked(parts[0]), (Json{{"Command", "join"}, {"Seq", 7}}));
  EXPECT_EQ(unpacked(parts[1]), (Json{{"Existing", {"10.0.0.1:7946"}}, {"Replay", false}}));
  EXPECT_EQ(frames_of(serf_members(1), 1000).size(), 1U);
  EXPECT_EQ(frames_of(serf_key_command(1, "use-key", "k"), 1000).size(), 2U);
}

TEST(JoinComplaint, SaysWhatToDo) {
  const struct {
    const char* serf;
    const char* words;
  } cases[] = {
      {"1 error occurred: * Failed to join 127.0.0.1: No installed keys could decrypt the message",
       "a:1 gossips with another key"},
      {"* Failed to join 127.0.0.1: Encryption is configured but remote state is not encrypted",
       "a:1 answers, but not as a member's gossip"},
      {"* Failed to join 127.0.0.1: EOF", "a:1 answers, but not as a member's gossip"},
      {"1 error occurred: * Failed to join 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection "
       "refused",
       "a:1 is not reached: Failed to join 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection "
       "refused"}};
  for (const auto& [serf, words] : cases) {
    EXPECT_EQ(join_complaint("a:1", serf).find(words), 0U) << join_complaint("a:1", serf);
  }
}

TEST(SerfAgentFile, HasTagsThatSerfTakesEvenAtTheirLongest) {
  const SerfAgentSettings settings{.self = self,
                                   .name = *NodeName::parse(std::string(63, 'n')),
                                   .federation = std::string(63, 'f'),
                                   .bind = "0.0.0.0:7946",
                                   .advertise = {},
                                   .peer_host = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                   .peer_port = 65535,
                                   .rpc_address = "127.0.0.1:4000",
                                   .rpc_key = "secret",
                                   .keyring_file = "/d/keys",
                                   .snapshot_file = "/d/snapshot",
                                   .profile = "lan",
                                   .discover = {}};
  const std::string text = serf_agent_file(settings);
  const Json file = Json::parse(text);
  EXPECT_LE(packed(file["tags"]).size() + 1, serf_tags_bytes_max);
  EXPECT_FALSE(file.contains("advertise"));
  EXPECT_FALSE(file.contains("discover"));
  const auto door = serf_door_from(text);
  ASSERT_TRUE(door) << door.error().message;
  EXPECT_EQ(door->host, "127.0.0.1");
  EXPECT_EQ(door->port, 4000);
  EXPECT_EQ(door->key, "secret");
  for (const char* wrong : {"", "{}", R"({"rpc_addr":"x","rpc_auth":"k"})",
                            R"({"rpc_addr":"x:0","rpc_auth":"k"})", R"({"rpc_addr":"x:1"})"}) {
    EXPECT_FALSE(serf_door_from(wrong)) << wrong;
  }
}

TEST(Keyring, IsAListOfKeys) {
  const std::string key = "cQ+iHuA79mqTOyBODsPbI4C4QiDMAIZ8a7x3xUM4vIg=";
  EXPECT_EQ(*parse_keyring(keyring_text({key, key})), (std::vector<std::string>{key, key}));
  for (const char* wrong : {"", "[]", "{}", "[1]", R"(["short"])", R"(["c2hvcnQ="])"}) {
    EXPECT_FALSE(parse_keyring(wrong)) << wrong;
  }
}

TEST(GossipAddresses, ComeFromASettingOrAFile) {
  EXPECT_EQ(gossip_addresses("a:1, b:2,,a:1"), (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_EQ(gossip_addresses("# all\r\n a:1 # first\r\nb:2\n"),
            (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_TRUE(gossip_addresses("").empty());
}

}  // namespace
}  // namespace dfaas
