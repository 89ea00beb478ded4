// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/json/fields.hpp"

#include <tuple>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dfaas {
namespace {

/// What `read` makes of `text`: "" where it is content, else the complaint.
std::string complaint(std::string_view text, const std::function<void(const Fields&)>& read) {
  const auto done = parse_json_object(text, 10'000, read);
  if (done) return "";
  EXPECT_EQ(done.error().code, ErrorCode::invalid_input);
  return done.error().message;
}

void read_nothing(const Fields& /*fields*/) {}

TEST(ParseJsonObject, RefusesWhatIsNoObjectOfBoundedSizeAndDepth) {
  EXPECT_EQ(complaint("{}", read_nothing), "");
  for (const char* bad : {"", "{", "[]", "1", "null", "{\"a\":}", "{} {}", "{'a':1}", "\xff",
                          "{\"a\":\"\xff\"}", "{\"a\":1e999}"}) {
    EXPECT_NE(complaint(bad, read_nothing), "") << bad;
  }
  EXPECT_NE(complaint(std::string(10'001, ' '), read_nothing).find("10000"), std::string::npos);
  const auto nested = [](std::size_t depth) {
    return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_EQ(complaint(nested(10), read_nothing), "");
  EXPECT_NE(complaint(nested(1000), read_nothing).find("nested"), std::string::npos);
  const auto deep = parse_json_object(std::string(1'000'000, '['), 2'000'000, read_nothing);
  EXPECT_FALSE(deep) << "no stack is deep enough for that: it must not be used";
}

TEST(Fields, ReadsEachKindAndTakesNullForAbsent) {
  const std::string text =
      R"({"t":"x","i":-3,"n":0.5,"b":true,"z":null,"l":["a"],"m":{"k":"v"},"o":[{"i":1},{"i":2}]})";
  EXPECT_EQ(complaint(text,
                      [](const Fields& fields) {
                        EXPECT_EQ(fields.text("t", 1), "x");
                        EXPECT_EQ(fields.integer("i", -3, 3), -3);
                        EXPECT_EQ(fields.number("n", 0, 1), 0.5);
                        EXPECT_EQ(fields.number("i", -9, 9), -3);
                        EXPECT_TRUE(fields.flag_or("b", false));
                        EXPECT_FALSE(fields.has("z"));
                        EXPECT_EQ(fields.names().size(), 8U);
                        EXPECT_EQ(fields.names().back(), "z");
                        EXPECT_EQ(fields.integer_or("z", 0, 9, 7), 7);
                        EXPECT_EQ(fields.text_or("none", 9, "otherwise"), "otherwise");
                        EXPECT_EQ(fields.texts("l", 1, 1), std::vector<std::string>{"a"});
                        EXPECT_EQ(fields.text_map("m", 1, 1).at(0).second, "v");
                        EXPECT_EQ(fields.raw("m"), R"({"k":"v"})");
                        EXPECT_EQ(fields.raw("none"), "");
                        EXPECT_TRUE(fields.objects("none", 0).empty());
                        EXPECT_EQ(fields.objects("o", 2).at(1).integer("i", 0, 9), 2);
                        EXPECT_EQ(fields.object("m").text("k", 9), "v");
                      }),
            "");
}

struct Wrong {
  const char* name;
  const char* json;
  std::function<void(const Fields&)> read;
  const char* expected;
};

class WrongField : public testing::TestWithParam<Wrong> {};

TEST_P(WrongField, IsNamedWithItsValueAndWhatIsAllowed) {
  EXPECT_EQ(complaint(GetParam().json, GetParam().read), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, WrongField,
    testing::Values(
        Wrong{"missing", "{}", [](const Fields& f) { std::ignore = f.text("a", 9); },
              "a: is missing"},
        Wrong{"text", R"({"a":1})", [](const Fields& f) { std::ignore = f.text("a", 9); },
              "a: \"1\" is not a text"},
        Wrong{"long_text", R"({"a":"xyz"})", [](const Fields& f) { std::ignore = f.text("a", 2); },
              "a: \"xyz\" is longer than 2 bytes"},
        Wrong{"integer", R"({"a":1.5})",
              [](const Fields& f) { std::ignore = f.integer("a", 0, 9); },
              "a: \"1.5\" is not an integer from 0 to 9"},
        Wrong{"high_integer", R"({"a":10})",
              [](const Fields& f) { std::ignore = f.integer("a", 0, 9); },
              "a: \"10\" is not an integer from 0 to 9"},
        Wrong{"huge_integer", R"({"a":18446744073709551615})",
              [](const Fields& f) { std::ignore = f.integer("a", -1, INT64_MAX); },
              "a: \"18446744073709551615\" is not an integer from -1 to 9223372036854775807"},
        Wrong{"number", R"({"a":"1"})", [](const Fields& f) { std::ignore = f.number("a", 0, 1); },
              "a: \"\"1\"\" is not a number from 0 to 1"},
        Wrong{"low_number", R"({"a":-0.1})",
              [](const Fields& f) { std::ignore = f.number("a", 0, 1); },
              "a: \"-0.1\" is not a number from 0 to 1"},
        Wrong{"flag", R"({"a":1})", [](const Fields& f) { std::ignore = f.flag_or("a", true); },
              "a: \"1\" is not true or false"},
        Wrong{"list", R"({"a":{}})", [](const Fields& f) { std::ignore = f.objects("a", 9); },
              "a: \"{}\" is not a list"},
        Wrong{"long_list", R"({"a":[{},{}]})",
              [](const Fields& f) { std::ignore = f.objects("a", 1); },
              "a: 2 entries are more than 1"},
        Wrong{"nested", R"({"a":[{"i":1},{"i":-1}]})",
              [](const Fields& f) { std::ignore = f.objects("a", 9).at(1).integer("i", 0, 9); },
              "a[1].i: \"-1\" is not an integer from 0 to 9"},
        Wrong{"no_object_in_list", R"({"a":[1]})",
              [](const Fields& f) { std::ignore = f.objects("a", 9); },
              "a[0].\"1\" is not an object"},
        Wrong{"texts", R"({"a":["x",1]})",
              [](const Fields& f) { std::ignore = f.texts("a", 9, 9); },
              "a: \"1\" is not a text of at most 9 bytes"},
        Wrong{"map", R"({"a":{"k":1}})",
              [](const Fields& f) { std::ignore = f.text_map("a", 9, 9); },
              "a.\"k\": \"1\" is not a text of at most 9 bytes"},
        Wrong{"object", R"({"a":[]})", [](const Fields& f) { std::ignore = f.object("a"); },
              "a.\"[]\" is not an object"}),
    [](const auto& tested) { return tested.param.name; });

TEST(Fields, ShowsHostileValuesShortAndHarmless) {
  const std::string long_text = "{\"a\":\"" + std::string(5000, 'x') + "\\n\\u0000\"}";
  const std::string said =
      complaint(long_text, [](const Fields& fields) { std::ignore = fields.integer("a", 0, 1); });
  EXPECT_LT(said.size(), 200U);
  EXPECT_EQ(said.find('\n'), std::string::npos);
}

TEST(JsonText, WritesBytesThatAreNoTextAsReplacementCharacters) {
  EXPECT_EQ(json_text({{"why", "last read: '\xff'"}}), "{\"why\":\"last read: '\xef\xbf\xbd'\"}");
}

}  // namespace
}  // namespace dfaas
