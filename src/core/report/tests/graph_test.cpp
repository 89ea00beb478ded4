// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Nodes of a drawing lie apart, linked ones near; and no value makes a coordinate outside. That pages with
/// graphs are well-formed is checked in report_test.cpp.
#include "core/report/graph.hpp"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/report/graph_layout.hpp"

namespace dfaas {
namespace {

using testing::HasSubstr;
using testing::Not;

using Links = std::vector<std::pair<std::size_t, std::size_t>>;

Links ring(std::size_t nodes) {
  Links links;
  for (std::size_t node = 0; node < nodes; ++node) links.emplace_back(node, (node + 1) % nodes);
  return links;
}

double distance(const GraphPlace& a, const GraphPlace& b) {
  return std::sqrt((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y));
}

double nearest(const std::vector<GraphPlace>& places) {
  double result = 2;
  for (std::size_t a = 0; a < places.size(); ++a) {
    for (std::size_t b = a + 1; b < places.size(); ++b) {
      result = std::min(result, distance(places[a], places[b]));
    }
  }
  return result;
}

TEST(GraphLayout, StaysInTheSquareAndKeepsNodesApart) {
  for (const std::size_t nodes : {1U, 2U, 3U, 7U, 40U, 100U, 300U}) {
    for (const Links& links : {Links{}, nodes > 2 ? ring(nodes) : Links{}}) {
      const auto places = graph_layout(nodes, links);
      ASSERT_EQ(places.size(), nodes);
      for (const GraphPlace& place : places) {
        EXPECT_TRUE(place.x >= 0 && place.x <= 1 && place.y >= 0 && place.y <= 1) << nodes;
      }
      EXPECT_GT(nearest(places), 0.15 / std::sqrt(static_cast<double>(nodes))) << nodes;
    }
  }
}

TEST(GraphLayout, PutsTwoIslandsApart) {
  // Two cliques of six and one bridge.
  Links links{{5, 6}};
  for (std::size_t a = 0; a < 12; ++a) {
    for (std::size_t b = a + 1; b < 12; ++b) {
      if (a / 6 == b / 6) links.emplace_back(a, b);
    }
  }
  const auto places = graph_layout(12, links);
  double within = 0;
  double between = 0;
  for (std::size_t a = 0; a < 12; ++a) {
    for (std::size_t b = a + 1; b < 12; ++b) {
      (a / 6 == b / 6 ? within : between) += distance(places[a], places[b]);
    }
  }
  EXPECT_GT(between / 36, 1.3 * within / 30);
}

TEST(GraphLayout, PutsACompleteGraphOnACircle) {
  Links links;
  for (std::size_t a = 0; a < 8; ++a) {
    for (std::size_t b = a + 1; b < 8; ++b) links.emplace_back(a, b);
  }
  for (const GraphPlace& place : graph_layout(8, links)) {
    EXPECT_NEAR(distance(place, {}), 0.5, 1e-4);
  }
}

Graph graph() {
  return {.title = "Who helped whom",
          .nodes = {{.name = "light", .size = 2, .share = 0.75, .mark = Mark::bad, .note = "busy"},
                    {.name = "heavy", .size = 8, .share = 1, .mark = Mark::good}},
          .links = {{.a = 0, .b = 1, .from_a = 1234}},
          .size_label = "slots",
          .link_label = "calls",
          .good_label = "all well",
          .warning_label = "some not",
          .bad_label = "many not"};
}

TEST(GraphHtml, ShowsWhatTheColoursAndWidthsMean) {
  const std::string html = graph_html(graph());
  EXPECT_THAT(html, HasSubstr("all well"));
  EXPECT_THAT(html, Not(HasSubstr("some not"))) << "no node is so";
  EXPECT_THAT(html, HasSubstr("area: slots, at most 8"));
  EXPECT_THAT(html, HasSubstr("calls it sent there, at most 1\u202F234"));
  EXPECT_THAT(html, HasSubstr("<title>light: busy</title>"));
  EXPECT_THAT(html, HasSubstr("class=\"bite\"")) << "a quarter is missing at light";
}

TEST(GraphHtml, LeavesOutNamesThatWouldCoverOthersButNotThoseThatFareWorst) {
  Graph crowd;
  for (int node = 0; node < 300; ++node) {
    const bool is_worst = node == 123;
    crowd.nodes.push_back({.name = "n-" + std::to_string(node),
                           .share = is_worst ? 0.2 : 1,
                           .mark = is_worst ? Mark::bad : Mark::good});
  }
  const std::string html = graph_html(crowd);
  EXPECT_THAT(html, HasSubstr(">n-123</text>"));
  std::size_t names = 0;
  for (std::size_t at = 0; (at = html.find("class=\"node-name\"", at)) != std::string::npos; ++at) {
    ++names;
  }
  EXPECT_LT(names, 2 * 300U);
}

TEST(GraphHtml, SurvivesWildNumbersAndTellsWhatIsTooMuch) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Graph wild = graph();
  wild.nodes.push_back({.name = "<b>&", .size = -1, .share = no_value});
  wild.nodes.push_back({.name = "", .size = infinity, .share = 7});
  wild.links.push_back({.a = 2, .b = 3, .from_a = no_value, .from_b = infinity});
  wild.links.push_back({.a = 1, .b = 1, .from_a = 5});
  wild.links.push_back({.a = 1, .b = 99, .from_a = 5});
  const std::string html = graph_html(wild);
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf")));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
  EXPECT_THAT(html, HasSubstr("4 nodes, 2 links"));
  Graph large;
  large.nodes.resize(graph_nodes_max + 1);
  EXPECT_THAT(graph_html(large), HasSubstr("1001 nodes are not drawn"));
}

}  // namespace
}  // namespace dfaas
