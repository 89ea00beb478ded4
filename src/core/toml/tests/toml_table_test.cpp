// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A wrong key is told with its line, its value and what would be right; texts come back as written.
#include "core/toml/toml_table.hpp"

#include <array>

#include <gmock/gmock.h>

namespace dfaas {
namespace {

using testing::ElementsAre;

constexpr std::array<std::string_view, 2> colours{"red", "green"};

/// Reads one of everything.
Result<void> read(std::string_view text) {
  return parse_toml(text, [](const TomlTable& root) {
    root.allow_only({"text", "colour", "flag", "time", "count", "slots", "ratio", "texts", "times",
                     "rates", "calls", "map", "inner", "link"});
    (void)root.text("text", "");
    (void)root.word("colour", colours, 0);
    (void)root.flag("flag", false);
    (void)root.duration("time", {});
    (void)root.count("count", 0);
    (void)root.integer("slots", 1, 9, 1);
    (void)root.number("ratio", 0, 1, 0);
    (void)root.texts("texts");
    (void)root.durations("times");
    (void)root.numbers("rates", 0, 10);
    (void)root.number_lists("calls", 0, 10);
    (void)root.text_map("map");
    if (root.has("inner")) root.table("inner").allow_only({"a"});
    for (const TomlTable& link : root.tables("link", "[[link]]")) {
      (void)link.number("rtt", 0, 1);
    }
  });
}

TEST(TomlTable, ReadsWhatIsRight) {
  const auto done = parse_toml(
      R"(
colour = "green"
flag = true
slots = 3
times = ["1s", "2ms"]
rates = [1, 2.5]
calls = [[0.5, 20], [1]]
map = { a = "x" }
[[link]]
rtt = 0.25
)",
      [](const TomlTable& root) {
        EXPECT_EQ(root.word("colour", colours, 0), 1U);
        EXPECT_TRUE(root.flag("flag", false));
        EXPECT_EQ(root.integer("slots", 1, 9, 1), 3);
        EXPECT_THAT(root.durations("times"), ElementsAre(Micros{1'000'000}, Micros{2000}));
        EXPECT_THAT(root.numbers("rates", 0, 10), ElementsAre(1, 2.5));
        EXPECT_THAT(root.number_lists("calls", 0, 20),
                    ElementsAre(ElementsAre(0.5, 20), ElementsAre(1)));
        EXPECT_THAT(root.text_map("map"), ElementsAre(testing::Pair("a", "x")));
        EXPECT_EQ(root.tables("link", "[[link]]").size(), 1U);
        EXPECT_EQ(root.integer("absent", 1, 9, 7), 7);
      });
  EXPECT_TRUE(done) << done.error().message;
}

struct Bad {
  const char* name;
  const char* text;
  const char* sentence;
};

class BadTomlFile : public testing::TestWithParam<Bad> {};

TEST_P(BadTomlFile, IsToldInOneSentence) {
  const auto done = read(GetParam().text);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(done.error().message, GetParam().sentence);
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadTomlFile,
    testing::Values(
        Bad{"unknown", "\nspeed = 3",
            "line 2: key \"speed\" is not known: text, colour, flag, time, count, slots, ratio, "
            "texts, times, rates, calls, map, inner, link are"},
        Bad{"text", "text = 3", "line 1: text \"3\" is not a text in quotes"},
        Bad{"word", "\n\ncolour = \"blue\"",
            "line 3: colour \"blue\" is not one of \"red\", \"green\""},
        Bad{"flag", "flag = 1", "line 1: flag \"1\" is not true or false"},
        Bad{"time", "time = \"soon\"",
            "line 1: time: \"soon\" is not a duration such as 500ms, 30s or 5m"},
        Bad{"count", "count = -1", "line 1: count \"-1\" is not an integer from 0"},
        Bad{"slots", "slots = 10", "line 1: slots \"10\" is not an integer from 1 to 9"},
        Bad{"slots_real", "slots = 1.5", "line 1: slots \"1.5\" is not an integer from 1 to 9"},
        Bad{"ratio", "ratio = 1.5", "line 1: ratio \"1.5\" is not a number from 0 to 1"},
        Bad{"not_a_number", "ratio = nan", "line 1: ratio \"nan\" is not a number from 0 to 1"},
        Bad{"no_list", "texts = \"a\"",
            "line 1: texts \"a\" is not a list of texts such as [\"a\", \"b\"]"},
        Bad{"list_line", "rates = [\n1,\n-2]", "line 3: rates \"-2\" is not a number from 0 to 10"},
        Bad{"lists", "calls = [3]", "line 1: calls \"3\" is not a list of numbers"},
        Bad{"map", "map = { a = 1 }", "line 1: map: \"a\" \"1\" is not a text in quotes"},
        Bad{"inner", "[inner]\nb = 1", "line 2: [inner]: key \"b\" is not known: a are"},
        Bad{"no_table", "link = 3", "line 1: link \"3\" is not [[link]] tables"},
        Bad{"missing", "\n[[link]]\n",
            "line 2: [[link]]: rtt is missing: give a number from 0 to 1"},
        Bad{"in_table", "[[link]]\nrtt = 0\n[[link]]\nrtt = 2",
            "line 4: [[link]]: rtt \"2\" is not a number from 0 to 1"}),
    [](const auto& tested) { return tested.param.name; });

TEST(TomlText, ComesBackAsWritten) {
  for (const std::string text : {"plain", "a \"b\" \\c", "two\nlines\x7f", "gr\xc3\xbc\xc3\x9f"}) {
    std::string back;
    const auto done = parse_toml("text = " + toml_text(text),
                                 [&back](const TomlTable& root) { back = root.text("text", ""); });
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_EQ(back, text);
  }
}

}  // namespace
}  // namespace dfaas
