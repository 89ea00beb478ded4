// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Pages are checked for their structure: well-formed, everything inside its drawing, every text
/// shown as text.
///
/// To look at the sample page: DFAAS_REPORT_SAMPLE=sample.html dfaas_core_report_test
#include "core/report/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/base/text.hpp"
#include "core/report/markup.hpp"
#include "core/report/numbers.hpp"

namespace dfaas {
namespace {

using testing::HasSubstr;
using testing::Not;

// 1. A strict reader of XML, small because our pages use little of it.

struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::vector<Element> children;
  std::string text;  ///< Its own, without its children's.
};

class XmlReader {
 public:
  explicit XmlReader(std::string_view text) : rest_(text) {}

  /// The root element, or nothing, and error() says why.
  std::optional<Element> read() {
    if (rest_.starts_with("<!DOCTYPE html>")) rest_.remove_prefix(15);
    skip_blanks();
    std::optional<Element> root = element(0);
    skip_blanks();
    if (root && !rest_.empty()) return stop("text after the root");
    return root;
  }

  const std::string& error() const { return error_; }

 private:
  std::nullopt_t stop(std::string why) {
    if (error_.empty()) error_ = std::move(why) + " before: " + std::string(rest_.substr(0, 60));
    return std::nullopt;
  }

  bool take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  void skip_blanks() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n')) rest_.remove_prefix(1);
  }

  std::string name() {
    const std::size_t end =
        rest_.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    std::string out(rest_.substr(0, end));
    rest_.remove_prefix(std::min(end, rest_.size()));
    return out;
  }

  /// Text up to `end`; references resolved.
  std::optional<std::string> characters(char end) {
    static const std::map<std::string, std::string, std::less<>> references{
        {"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"#39", "'"}, {"#10", "\n"}};
    std::string out;
    while (!rest_.empty() && rest_[0] != end) {
      const auto c = static_cast<unsigned char>(rest_[0]);
      if (c == '<') return stop("'<' in an attribute");
      if (c < 0x20 && c != '\n') return stop("control character");
      if (c == '&') {
        const std::size_t semicolon = rest_.find(';');
        if (semicolon == std::string_view::npos) return stop("lone '&'");
        const auto found = references.find(rest_.substr(1, semicolon - 1));
        if (found == references.end()) return stop("unknown reference");
        out += found->second;
        rest_.remove_prefix(semicolon + 1);
      } else {
        out += rest_[0];
        rest_.remove_prefix(1);
      }
    }
    return out;
  }

  std::optional<Element> element(int depth) {
    if (depth > 50 || !take("<")) return stop("no element");
    Element out{.name = name()};
    if (out.name.empty()) return stop("element without a name");
    while (true) {
      const bool blank = rest_.starts_with(' ') || rest_.starts_with('\n');
      skip_blanks();
      if (take("/>")) return out;
      if (take(">")) break;
      const std::string attribute = name();
      if (!blank || attribute.empty() || !take("=\"")) return stop("bad attribute " + attribute);
      const std::optional<std::string> value = characters('"');
      if (!value || !take("\"")) return stop("unquoted attribute");
      if (!out.attributes.emplace(attribute, *value).second) return stop("attribute twice");
    }
    while (true) {
      const std::optional<std::string> text = characters('<');
      if (!text) return std::nullopt;
      out.text += *text;
      if (take("</")) {
        if (name() != out.name || !take(">")) return stop("wrong end of " + out.name);
        return out;
      }
      std::optional<Element> child = element(depth + 1);
      if (!child) return std::nullopt;
      out.children.push_back(std::move(*child));
    }
  }

  std::string_view rest_;
  std::string error_;
};

Element read_page(const std::string& page) {
  XmlReader reader(page);
  std::optional<Element> root = reader.read();
  EXPECT_TRUE(root) << reader.error();
  return root ? std::move(*root) : Element{};
}

void collect(const Element& element, std::string_view name, std::vector<const Element*>& out) {
  if (element.name == name) out.push_back(&element);
  for (const Element& child : element.children) collect(child, name, out);
}

/// Points into `root`, which must therefore outlive the answer.
std::vector<const Element*> all(const Element&& root, std::string_view name) = delete;
std::vector<const Element*> all(const Element& root, std::string_view name) {
  std::vector<const Element*> out;
  collect(root, name, out);
  return out;
}

bool has_class(const Element& element, std::string_view name) {
  const auto found = element.attributes.find("class");
  if (found == element.attributes.end()) return false;
  const std::vector<std::string_view> classes = split(found->second, ' ');
  return std::ranges::find(classes, name) != classes.end();
}

std::vector<const Element*> all_of_class(const Element& root, std::string_view element,
                                         std::string_view name) {
  std::vector<const Element*> out = all(root, element);
  std::erase_if(out, [&](const Element* e) { return !has_class(*e, name); });
  return out;
}

double number(const Element& element, const std::string& attribute) {
  const auto found = element.attributes.find(attribute);
  if (found == element.attributes.end()) return 0;
  const std::optional<double> value = parse_number(found->second);
  EXPECT_TRUE(value) << attribute << "=" << found->second;
  return value.value_or(0);
}

/// Points of a path that uses M, L, H and Z, absolute.
std::vector<std::pair<double, double>> points_of(const std::string& path) {
  std::vector<std::pair<double, double>> points;
  std::size_t at = 0;
  const auto next_number = [&] {
    const std::size_t end = path.find_first_not_of("0123456789.-", at);
    const std::string text = path.substr(at, end == std::string::npos ? end : end - at);
    at = std::min(end, path.size());
    if (at < path.size() && path[at] == ' ') ++at;
    const std::optional<double> value = parse_number(text);
    EXPECT_TRUE(value) << "'" << text << "' in " << path;
    return value.value_or(-1e9);
  };
  while (at < path.size()) {
    const char command = path[at++];
    if (command == 'Z') continue;
    const double x = next_number();
    double y = points.empty() ? 0 : points.back().second;
    if (command == 'A') {
      // Radii, turn, which of the arcs: the end comes last.
      for (int skipped = 0; skipped < 4; ++skipped) next_number();
      const double end_x = next_number();
      points.emplace_back(end_x, next_number());
      continue;
    }
    if (command == 'M' || command == 'L') {
      y = next_number();
    } else if (command != 'H' && command != 'V') {
      ADD_FAILURE() << "unknown command in " << path;
      return points;
    }
    if (command == 'V') continue;  // Only in signs, which are ours and constant.
    points.emplace_back(x, y);
  }
  return points;
}

void expect_inside(double x, double y, double width, double height) {
  EXPECT_TRUE(x >= -0.05 && x <= width + 0.05) << x << " of " << width;
  EXPECT_TRUE(y >= -0.05 && y <= height + 0.05) << y << " of " << height;
}

/// Every coordinate of every chart is a number inside its view box.
void expect_all_inside(const Element& root) {
  for (const Element* svg : all_of_class(root, "svg", "plot")) {
    const std::vector<std::string_view> box = split(svg->attributes.at("viewBox"), ' ');
    const double width = parse_number(box.at(2)).value_or(0);
    const double height = parse_number(box.at(3)).value_or(0);
    ASSERT_GT(width, 0);
    ASSERT_GT(height, 0);
    for (const Element* rect : all(*svg, "rect")) {
      const double x = number(*rect, "x");
      const double y = number(*rect, "y");
      EXPECT_GE(number(*rect, "width"), 0);
      EXPECT_GE(number(*rect, "height"), 0);
      expect_inside(x, y, width, height);
      expect_inside(x + number(*rect, "width"), y + number(*rect, "height"), width, height);
    }
    for (const Element* line : all(*svg, "line")) {
      expect_inside(number(*line, "x1"), number(*line, "y1"), width, height);
      expect_inside(number(*line, "x2"), number(*line, "y2"), width, height);
    }
    for (const Element* circle : all(*svg, "circle")) {
      expect_inside(number(*circle, "cx"), number(*circle, "cy"), width, height);
    }
    for (const Element* text : all(*svg, "text")) {
      expect_inside(number(*text, "x"), number(*text, "y"), width, height);
    }
    for (const Element* path : all(*svg, "path")) {
      for (const auto& [x, y] : points_of(path->attributes.at("d"))) {
        expect_inside(x, y, width, height);
      }
    }
  }
}

// 2. Reports to render.

Report with_figure(Figure figure) {
  Report report{.title = "A report"};
  report.sections.push_back({.heading = "A section", .items = {std::move(figure)}});
  return report;
}

Figure figure_of(FigureKind kind, std::vector<double> x, std::vector<Series> series) {
  Chart chart{.title = "a chart", .x = std::move(x), .series = std::move(series)};
  return {.title = "A figure",
          .kind = kind,
          .x_axis = {.label = "time", .unit = "s"},
          .y_axis = {.label = "served", .unit = "1/s"},
          .charts = {std::move(chart)}};
}

std::vector<double> seconds(std::size_t count) {
  std::vector<double> x;
  x.reserve(count);
  for (std::size_t i = 0; i < count; ++i) x.push_back(static_cast<double>(i));
  return x;
}

/// `level` with a little noise, per second.
std::vector<double> around(Random& random, std::size_t count, double level, double noise) {
  std::vector<double> values;
  values.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(std::round(std::max(0.0, level + uniform(random, -noise, noise))));
  }
  return values;
}

/// What the demo shows: the same load under two strategies.
Report sample_report() {
  constexpr std::size_t count = 40;
  Random random(7);
  const std::vector<double> offered(count, 48);
  const auto served = [&](std::string title, std::vector<double> levels, double missing_from) {
    Chart chart{.title = std::move(title), .x = seconds(count)};
    const std::vector<std::string> nodes{"light", "mid", "heavy"};
    for (std::size_t n = 0; n < levels.size(); ++n) {
      chart.series.push_back(
          {.name = nodes[n], .values = around(random, count, levels[n], levels[n] > 0 ? 0.6 : 0)});
    }
    chart.references.push_back({.name = "offered", .values = offered});
    if (missing_from > 0) chart.events.push_back({.x = missing_from, .label = "first spill"});
    return chart;
  };
  Figure served_figure{
      .title = "Served requests by serving node",
      .note = "Every request arrives at light. The dashed line is what users sent.",
      .kind = FigureKind::stacked_bars,
      .x_axis = {.label = "time since start", .unit = "s"},
      .y_axis = {.label = "served", .unit = "requests/s"}};
  served_figure.charts.push_back(served("all_local", {10, 0, 0}, 0));
  served_figure.charts.push_back(served("grant_and_spill", {10, 16, 22}, 1));

  Figure refused{.title = "Refused requests",
                 .kind = FigureKind::stacked_bars,
                 .x_axis = {.label = "time since start", .unit = "s"},
                 .y_axis = {.label = "refused", .unit = "requests/s"}};
  for (const auto& [name, level] :
       {std::pair("all_local", 38.0), std::pair("grant_and_spill", 0.0)}) {
    const Series series{.name = "refused (503)",
                        .values = around(random, count, level, level > 0 ? 1.4 : 0),
                        .colour = SeriesColour::bad};
    refused.charts.push_back({.title = name, .x = seconds(count), .series = {series}});
  }

  Figure latency{.title = "Latency of served requests",
                 .note = "From the moment the request should have been sent.",
                 .kind = FigureKind::lines,
                 .x_axis = {.label = "time since start", .unit = "s"},
                 .y_axis = {.label = "latency", .unit = "ms", .scale = AxisScale::logarithmic}};
  for (const auto& [name, worse] :
       {std::pair("all_local", 1.0), std::pair("grant_and_spill", 1.12)}) {
    Chart chart{.title = name, .x = seconds(count)};
    for (const auto& [percentile, level] :
         {std::pair("p50", 205.0), std::pair("p95", 300.0), std::pair("p99", 380.0)}) {
      chart.series.push_back({.name = percentile,
                              .values = around(random, count, level * worse, level / 14),
                              .colour = SeriesColour::ordered});
    }
    latency.charts.push_back(std::move(chart));
  }

  Figure queue = figure_of(FigureKind::stacked_areas, seconds(count),
                           {{.name = "light", .values = around(random, count, 6, 2)},
                            {.name = "mid", .values = around(random, count, 3, 2)},
                            {.name = "heavy", .values = around(random, count, 2, 1)}});
  queue.title = "Waiting requests";
  queue.note = "No values arrived from 18 s to 21 s.";
  queue.y_axis = {.label = "queue length", .unit = "requests"};
  queue.charts[0].title = "";
  for (std::size_t i = 18; i < 22; ++i) queue.charts[0].series[1].values[i] = no_value;
  queue.charts[0].events = {{.x = 18, .label = "agent of mid stopped"},
                            {.x = 18.4, .label = "light notices"},
                            {.x = 22, .label = "agent of mid back"}};

  const auto mark = [](double value, NumberFormat format, Mark m) {
    return TableCell{.value = value, .format = format, .mark = m};
  };
  const auto row = [](std::string name, TableCell left, TableCell right, bool highlighted) {
    return TableRow{.cells = {{.value = std::move(name)}, std::move(left), std::move(right)},
                    .highlighted = highlighted};
  };
  constexpr NumberFormat plain = NumberFormat::plain;
  Table table{.title = "The same load, two strategies",
              .columns = {{.heading = "", .alignment = Alignment::left},
                          {.heading = "all_local"},
                          {.heading = "grant_and_spill"}}};
  table.rows = {row("Success", mark(400.0 / 1920, NumberFormat::share, Mark::bad),
                    mark(1, NumberFormat::share, Mark::good), true),
                row("Offered", {.value = 1920.0}, {.value = 1920.0}, false),
                row("Served by light", {.value = 400.0}, {.value = 400.0}, false),
                row("Served by mid", {.value = 0.0}, {.value = 640.0}, false),
                row("Served by heavy", {.value = 0.0}, {.value = 880.0}, false),
                row("Refused", mark(1520, plain, Mark::bad), mark(0, plain, Mark::none), false),
                row("Latency p50 (ms)", {.value = 205.0}, {.value = 220.0}, false),
                row("Latency p95 (ms)", {.value = 300.0}, {.value = 338.0}, false),
                row("Latency p99 (ms)", {.value = 380.0}, {.value = 403.0}, false)};

  Report report{
      .title = "dfaas demo: three nodes, all load at one",
      .lead = "grant_and_spill served 100\u00A0% of 1\u202F920 requests; all_local 20.8\u00A0%.",
      .lead_mark = Mark::good};
  report.key_figures = {{.value = format_share(1),
                         .label = "served with grant_and_spill",
                         .note = "1\u202F920 of 1\u202F920 requests",
                         .mark = Mark::good},
                        {.value = format_share(400.0 / 1920),
                         .label = "served with all_local",
                         .note = "400 of 1\u202F920 requests",
                         .mark = Mark::bad},
                        {.value = "+15 ms",
                         .label = "typical price of a spill",
                         .note = "p50 220 ms instead of 205 ms"}};
  report.sections.push_back(
      {.heading = "Result",
       .paragraph = "48 requests per second reach light, which can serve 10. mid and heavy have "
                    "room for the rest.",
       .items = {std::move(table)}});
  report.sections.push_back({.heading = "Over time",
                             .paragraph = "Both charts of a pair have the same axes.",
                             .items = {std::move(served_figure), std::move(refused),
                                       std::move(latency), std::move(queue)}});
  report.sections.push_back(
      {.heading = "Nodes",
       .items = {Graph{.title = "Who helped whom",
                       .note = "Each circle is a node.",
                       .nodes = {{.name = "light", .size = 2, .share = 0.4, .mark = Mark::bad},
                                 {.name = "mid", .size = 4, .share = 0.95, .mark = Mark::warning},
                                 {.name = "heavy", .size = 8, .share = 1, .mark = Mark::good},
                                 {.name = "idle", .size = 1}},
                       .links = {{.a = 0, .b = 1, .from_a = 300},
                                 {.a = 0, .b = 2, .from_a = 900, .from_b = 30},
                                 {.a = 1, .b = 2, .from_a = 80},
                                 {.a = 2, .b = 3}},
                       .size_label = "slots",
                       .link_label = "calls",
                       .good_label = "99 % or more answered",
                       .warning_label = "90 % or more",
                       .bad_label = "less"}}});
  report.generated_by = {.version = "dfaas 0.1.0",
                         .command = "dfaas demo --seed 7 --report report.html",
                         .seed = 7,
                         .date = "25 November 2026, 14:03 UTC"};
  return report;
}

// 3. Claims.

TEST(XmlReader, RefusesWhatIsNotWellFormed) {
  for (const std::string text : {"", "a", "<a>", "<a></b>", "<a><b></a></b>", "<a b=c/>",
                                 "<a b=\"1\" b=\"2\"/>", "<a>&b;</a>", "<a>&</a>", "<a b=\"<\"/>",
                                 "<a/><b/>", "<a>\x01</a>", "<a b=\"1\"c=\"2\"/>"}) {
    EXPECT_FALSE(XmlReader(text).read()) << text;
  }
  EXPECT_TRUE(XmlReader("<!DOCTYPE html>\n<a b=\"1\"><c/>&lt;</a>").read());
}

TEST(Report, SampleIsWellFormedAndInside) {
  const std::string page = to_html(sample_report());
  const Element root = read_page(page);
  expect_all_inside(root);
  // Three pairs, and one figure and one graph drawn wide and narrow.
  EXPECT_EQ(all_of_class(root, "svg", "plot").size(), 10U);
  EXPECT_EQ(all(root, "details").size(), 8U);
  if (const char* path = std::getenv("DFAAS_REPORT_SAMPLE")) {  // NOLINT(concurrency-mt-unsafe)
    std::ofstream(path, std::ios::binary) << page;
  }
}

TEST(Report, IsTheSameBytesEveryTime) {
  EXPECT_EQ(to_html(sample_report()), to_html(sample_report()));
}

TEST(Report, NeedsNothingFromOutside) {
  const Element root = read_page(to_html(sample_report()));
  EXPECT_TRUE(all(root, "script").empty());
  EXPECT_TRUE(all(root, "img").empty());
  for (const Element* link : all(root, "link")) EXPECT_EQ(link->attributes.at("href"), "data:,");
  for (const Element* style : all(root, "style")) {
    EXPECT_THAT(style->text, Not(HasSubstr("url(")));
    EXPECT_THAT(style->text, Not(HasSubstr("@import")));
  }
}

TEST(Report, EmptyOneIsAPage) {
  const Element root = read_page(to_html({}));
  EXPECT_EQ(all(root, "h1").size(), 1U);
}

TEST(Report, ShowsForeignTextAsText) {
  const std::vector<std::string> hostile{"<script>alert(1)</script>",
                                         "\"><svg onload=\"x\"/>",
                                         "' onmouseover='x",
                                         "&lt;b&amp;",
                                         "]]><!-- --></style></title>",
                                         "a\nb\tc"};
  for (const std::string& name : hostile) {
    SCOPED_TRACE(name);
    Figure figure = figure_of(FigureKind::lines, {0, 1}, {{.name = name, .values = {1, 2}}});
    figure.title = figure.note = figure.x_axis.label = figure.x_axis.unit = name;
    figure.y_axis.label = figure.y_axis.unit = figure.charts[0].title = name;
    figure.charts[0].events = {{.x = 1, .label = name}};
    figure.charts[0].references = {{.name = name, .values = {1, 1}}};
    Report report = with_figure(figure);
    report.title = report.lead = report.sections[0].heading = report.sections[0].paragraph = name;
    report.key_figures = {{.value = name, .label = name, .note = name}};
    report.generated_by = {.version = name, .command = name, .seed = 1, .date = name};
    report.sections[0].items.emplace_back(Table{.title = name,
                                                .columns = {{.heading = name, .unit = name}},
                                                .rows = {{.cells = {{.value = name}}}}});
    const Element root = read_page(to_html(report));
    EXPECT_TRUE(all(root, "script").empty());
    EXPECT_TRUE(all(root, "b").empty());
    EXPECT_EQ(all(root, "style").size(), 1U);
    for (const Element* svg : all(root, "svg")) EXPECT_FALSE(svg->attributes.contains("onload"));
    // What was written is what is read.
    std::string shown = name;
    std::ranges::replace(shown, '\n', ' ');
    std::ranges::replace(shown, '\t', ' ');
    EXPECT_EQ(all(root, "h1").at(0)->text, shown);
    EXPECT_EQ(all(root, "h2").at(0)->text, shown);
    EXPECT_EQ(all(root, "code").at(0)->text, shown);
  }
}

TEST(Report, ReplacesWhatIsNoText) {
  const std::string bad = "\uFFFD";
  EXPECT_EQ(escaped("a\x01z"), "a" + bad + "z");
  EXPECT_EQ(escaped(std::string_view("\0", 1)), bad);
  EXPECT_EQ(escaped("\xFF"), bad);
  EXPECT_EQ(escaped("\xC3"), bad);                                // Cut short.
  EXPECT_EQ(escaped("\xC0\xBC"), bad + bad);                      // '<' in two bytes.
  EXPECT_EQ(escaped("\xE0\x80\xBC"), bad + bad + bad);            // And in three.
  EXPECT_EQ(escaped("\xED\xA0\x80"), bad + bad + bad);            // Half a surrogate pair.
  EXPECT_EQ(escaped("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // Beyond Unicode.
  EXPECT_EQ(escaped("a\u202Ez"), "a" + bad + "z");                // Would turn the rest around.
  EXPECT_EQ(escaped("\uFFFE"), bad);
  EXPECT_EQ(escaped("Grüße, 日本 😀"), "Grüße, 日本 😀");
  EXPECT_EQ(escaped("日本語", 2), "日本…");
  EXPECT_EQ(escaped("<<", 1), "&lt;…");
}

TEST(Figure, GivesANameOneColourInTheWholeReport) {
  Report report =
      with_figure(figure_of(FigureKind::stacked_bars, {0},
                            {{.name = "light", .values = {1}}, {.name = "heavy", .values = {1}}}));
  report.sections[0].items.emplace_back(
      figure_of(FigureKind::lines, {0, 1}, {{.name = "heavy", .values = {1, 2}}}));
  const Element root = read_page(to_html(report));
  std::map<std::string, std::vector<std::string>> classes_by_name;
  for (const Element* legend : all_of_class(root, "ul", "legend")) {
    for (const Element* entry : all(*legend, "li")) {
      const std::vector<const Element*> swatches = all(*entry, "path");
      ASSERT_EQ(swatches.size(), 1U);
      for (const char* colour : {"by-name-0", "by-name-1"}) {
        if (has_class(*swatches[0], colour)) classes_by_name[entry->text].emplace_back(colour);
      }
    }
  }
  EXPECT_THAT(classes_by_name["light"], testing::ElementsAre("by-name-0"));
  EXPECT_THAT(classes_by_name["heavy"], testing::ElementsAre("by-name-1", "by-name-1"));
}

TEST(Figure, ChartsSideBySideShareTheirScale) {
  Figure figure =
      figure_of(FigureKind::stacked_bars, {0, 1}, {{.name = "light", .values = {10, 10}}});
  Chart other = figure.charts[0];
  other.series[0].values = {40, 40};
  figure.charts.push_back(other);
  const Element root = read_page(to_html(with_figure(figure)));
  const std::vector<const Element*> plots = all_of_class(root, "svg", "plot");
  ASSERT_EQ(plots.size(), 2U);
  std::vector<double> heights;
  for (const Element* plot : plots) {
    const std::vector<const Element*> groups = all_of_class(*plot, "g", "fill");
    ASSERT_EQ(groups.size(), 1U);
    ASSERT_EQ(groups[0]->children.size(), 2U);
    heights.push_back(number(groups[0]->children[0], "height"));
  }
  EXPECT_NEAR(heights[1], 4 * heights[0], 0.5);
}

TEST(Figure, StacksPartsWithoutOverlapOrGap) {
  const Element root = read_page(to_html(
      with_figure(figure_of(FigureKind::stacked_bars, {0},
                            {{.name = "a", .values = {10}}, {.name = "b", .values = {20}}}))));
  for (const Element* plot : all_of_class(root, "svg", "plot")) {
    const std::vector<const Element*> parts = all_of_class(*plot, "g", "fill");
    ASSERT_EQ(parts.size(), 2U);
    const Element& lower = parts[0]->children.at(0);
    const Element& upper = parts[1]->children.at(0);
    EXPECT_NEAR(number(upper, "y") + number(upper, "height"), number(lower, "y"), 0.11);
    EXPECT_NEAR(number(upper, "height"), 2 * number(lower, "height"), 0.2);
  }
}

TEST(Figure, LeavesGapsWhereValuesAreMissing) {
  const Element root = read_page(to_html(
      with_figure(figure_of(FigureKind::lines, seconds(6),
                            {{.name = "p50", .values = {1, 2, no_value, 3, no_value, 4}}}))));
  const std::vector<const Element*> plots = all_of_class(root, "svg", "narrow");
  ASSERT_EQ(plots.size(), 1U);
  const std::vector<const Element*> lines = all_of_class(*plots[0], "path", "line");
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(std::ranges::count(lines[0]->attributes.at("d"), 'M'), 3);
  EXPECT_EQ(std::ranges::count(lines[0]->attributes.at("d"), 'L'), 1);
  // Values without neighbours would be invisible as lines.
  EXPECT_EQ(all_of_class(*plots[0], "circle", "dot").size(), 2U);
}

TEST(Figure, AStackWithAMissingPartIsAGap) {
  for (const FigureKind kind : {FigureKind::stacked_bars, FigureKind::stacked_areas}) {
    const Element root = read_page(
        to_html(with_figure(figure_of(kind, seconds(5),
                                      {{.name = "a", .values = {1, 1, 1, 1, 1}},
                                       {.name = "b", .values = {2, 2, no_value, -1, 2}}}))));
    const Element& plot = *all_of_class(root, "svg", "narrow").at(0);
    if (kind == FigureKind::stacked_bars) {
      for (const Element* part : all_of_class(plot, "g", "fill")) {
        EXPECT_EQ(part->children.size(), 3U);
      }
    } else {
      for (const Element* part : all_of_class(plot, "path", "fill")) {
        EXPECT_EQ(std::ranges::count(part->attributes.at("d"), 'M'), 2);
      }
    }
  }
}

TEST(Figure, GathersManyPointsWithoutLosingAPeak) {
  std::vector<double> values(100 * chart_points_max + 1, 1.0);
  values[12345] = 777;
  const Figure lines =
      figure_of(FigureKind::lines, seconds(values.size()), {{.name = "p99", .values = values}});
  const std::string page = to_html(with_figure(lines));
  const Element root = read_page(page);
  for (const Element* columns : all_of_class(root, "g", "columns")) {
    EXPECT_LE(columns->children.size(), chart_points_max);
    EXPECT_GE(columns->children.size(), chart_points_max / 2);
  }
  EXPECT_THAT(page, HasSubstr("p99: 777 1/s"));
  EXPECT_THAT(page, HasSubstr("Each point is the highest of 101 samples."));

  Figure bars = lines;
  bars.kind = FigureKind::stacked_bars;
  const std::string bars_page = to_html(with_figure(bars));
  EXPECT_THAT(bars_page, HasSubstr("Each point is the mean of 101 samples."));
  EXPECT_THAT(bars_page, HasSubstr("p99: " + format_number((777.0 + 100) / 101) + " 1/s"));
}

TEST(Figure, FoldsTooManySeriesOfAStackAndKeepsTheirSum) {
  std::vector<Series> series;
  series.reserve(30);
  for (int i = 0; i < 30; ++i) series.push_back({.name = fmt::format("n{}", i), .values = {1, 2}});
  const std::string stack =
      to_html(with_figure(figure_of(FigureKind::stacked_bars, {0, 1}, series)));
  EXPECT_THAT(stack, HasSubstr("“others” stands for 19 series."));
  EXPECT_THAT(stack, HasSubstr("others: 38 1/s"));
  const std::string lines = to_html(with_figure(figure_of(FigureKind::lines, {0, 1}, series)));
  EXPECT_THAT(lines, HasSubstr("18 more series are not shown."));
  EXPECT_THAT(lines, Not(HasSubstr("n12")));
}

TEST(Figure, SaysThatItIsEmptyInsteadOfLookingBroken) {
  EXPECT_THAT(to_html(with_figure(figure_of(FigureKind::lines, {}, {}))), HasSubstr("no values"));
  EXPECT_THAT(to_html(with_figure(figure_of(FigureKind::stacked_bars, {0, 1},
                                            {{.name = "refused", .values = {0, 0}}}))),
              HasSubstr("0 throughout"));
}

TEST(Figure, TellsEventsByNumberAndText) {
  Figure figure = figure_of(FigureKind::lines, seconds(10), {{.name = "a", .values = seconds(10)}});
  for (int i = 0; i < 25; ++i) {
    figure.charts[0].events.push_back({.x = 5 + i * 0.01, .label = fmt::format("event {}", i)});
  }
  const std::string page = to_html(with_figure(figure));
  const Element root = read_page(page);
  expect_all_inside(root);
  EXPECT_EQ(all(*all_of_class(root, "ol", "events").at(0), "li").size(), chart_events_max);
  EXPECT_THAT(page, HasSubstr("5 more events are not shown."));
}

TEST(Table, FillsShortRowsAndLimitsLongOnes) {
  Table table{.columns = {{.heading = "a"}, {.heading = "b"}},
              .rows = {{.cells = {{.value = "x"}}},
                       {.cells = {{.value = "y"}, {.value = 1.0}, {.value = 2.0}}}}};
  Report report{.sections = {{.items = {table}}}};
  const Element root = read_page(to_html(report));
  EXPECT_EQ(all(root, "tr").size(), 3U);
  for (const Element* row : all(root, "tr")) {
    EXPECT_EQ(row->children.size(), 2U);
  }
  table.rows.resize(report_table_rows_max + 5);
  report.sections[0].items = {table};
  EXPECT_THAT(to_html(report), HasSubstr("5 more rows are not shown."));
}

TEST(Table, MarksAreNotByColourAlone) {
  const Table table{.columns = {{.heading = "a"}},
                    .rows = {{.cells = {{.value = 1.0, .mark = Mark::bad}}}}};
  const Element root = read_page(to_html(Report{.sections = {{.items = {table}}}}));
  const std::vector<const Element*> signs = all_of_class(root, "svg", "bad");
  ASSERT_EQ(signs.size(), 1U);
  EXPECT_EQ(signs[0]->attributes.at("aria-label"), "bad");
}

/// Values as measurements never should be, and as they are.
double any_value(Random& random) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  switch (below(random, 12)) {
    case 0:
      return no_value;
    case 1:
      return below(random, 2) == 0 ? infinity : -infinity;
    case 2:
      return std::numeric_limits<double>::max();
    case 3:
      return std::numeric_limits<double>::denorm_min();
    case 4:
      return -uniform(random, 0, 1000);
    case 5:
      return std::pow(10.0, uniform(random, -20, 20));
    case 6:
    case 7:
      return 0;
    default:
      return uniform(random, 0, 1000);
  }
}

Figure any_figure(Random& random) {
  const bool calm = below(random, 2) == 0;
  const auto value = [&](double calm_high) {
    return calm ? uniform(random, 0, calm_high) : any_value(random);
  };
  Figure figure{
      .title = "A figure",
      .kind = static_cast<FigureKind>(below(random, 3)),
      .x_axis = {.label = "time", .unit = "s"},
      .y_axis = {.label = "value", .unit = "", .scale = static_cast<AxisScale>(below(random, 2))}};
  const std::size_t charts = below(random, 4);
  for (std::size_t c = 0; c < charts; ++c) {
    Chart chart{.title = "chart"};
    const std::size_t count = below(random, 3) == 0 ? below(random, 3) : below(random, 450);
    for (std::size_t i = 0; i < count; ++i) {
      chart.x.push_back(below(random, 4) == 0 ? value(100) : static_cast<double>(i));
    }
    const auto series = [&](const char* name) {
      Series out{.name = name, .colour = static_cast<SeriesColour>(below(random, 3))};
      const std::size_t length = below(random, 5) == 0 ? below(random, 500) : count;
      const bool zero = below(random, 6) == 0;
      for (std::size_t i = 0; i < length; ++i) out.values.push_back(zero ? 0 : value(50));
      return out;
    };
    for (std::size_t s = below(random, 6); s > 0; --s) chart.series.push_back(series("series"));
    for (std::size_t s = below(random, 3); s > 0; --s) chart.references.push_back(series("line"));
    for (std::size_t e = below(random, 5); e > 0; --e) {
      chart.events.push_back({.x = value(120), .label = "event"});
    }
    figure.charts.push_back(std::move(chart));
  }
  return figure;
}

TEST(Figure, StaysFiniteAndInsideForAnySeries) {
  for (std::uint64_t seed = 0; seed < 250; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const std::string page = to_html(with_figure(any_figure(random)));
    const Element root = read_page(page);
    expect_all_inside(root);
    const std::string_view body = std::string_view(page).substr(page.find("<body>"));
    EXPECT_EQ(body.find("nan"), std::string_view::npos);
    EXPECT_EQ(body.find("inf"), std::string_view::npos);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace dfaas
