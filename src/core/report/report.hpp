// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A report a person wants to look at: series of numbers and tables in, one HTML page out.
///
/// Use         Fill a Report, hand it to to_html(), write the text to a file that ends in .html.
///             A comparison reads best as a Figure with one Chart per variant and as a Table with
///             the measures as rows and the variants as columns: both fit a telephone.
/// Input       Any text and any numbers. Text is shown as text: markup in it has no effect, control
///             characters and broken UTF-8 become U+FFFD. NaN, infinity and magnitudes above 1e15
///             mean "no value"; so do values below 0 in stacks and bars, and values that are not
///             above 0 on a logarithmic axis. Series shorter than the x values end in "no value".
/// Output      One UTF-8 page, complete without scripts and without the network, that is HTML5 and
///             well-formed XML at once. It follows the reader's light or dark setting and prints.
/// Guarantees  Same report, same bytes. Never fails. A series name has the same colour everywhere
///             in the report; colours can be told apart with the common colour vision deficiencies
///             and are never the only carrier of a meaning.
/// Limits      chart_points_max and the other limits below. What a limit changes, the page says.
/// Cost        About 1.5 ms and 130 kB for seven charts of 40 points (measured, debug build).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace dfaas {

/// More points than this are gathered into buckets of equal length: lines keep the highest value of
/// a bucket, so that no peak is lost, everything else its mean. Guessed: two pixels a point on the
/// narrowest chart.
inline constexpr std::size_t chart_points_max = 200;
/// Further series become one called "others" in stacks and bars, and are left out of line charts.
inline constexpr std::size_t chart_series_max = 12;
/// Further events are left out.
inline constexpr std::size_t chart_events_max = 20;
/// A graph of more is a sentence instead of a drawing.
inline constexpr std::size_t graph_nodes_max = 1000;
/// Of more, those over which nothing goes are not drawn.
inline constexpr std::size_t graph_idle_links_max = 1500;
/// Further rows are left out.
inline constexpr std::size_t report_table_rows_max = 1000;
/// Characters of a name, heading or label; the rest becomes an ellipsis.
inline constexpr std::size_t report_label_length_max = 120;
/// Characters of a paragraph or of the command line.
inline constexpr std::size_t report_paragraph_length_max = 4000;

/// What a reader should think of a value; shown by a sign beside it and by its colour.
enum class Mark : std::uint8_t { none, good, warning, bad };

enum class NumberFormat : std::uint8_t {
  plain,  ///< "1 920", "21.4", "0.031": counts in full, else three digits that matter.
  share,  ///< A ratio in [0, 1] as percent; only exactly 1 is "100 %", only exactly 0 is "0 %".
};

enum class Alignment : std::uint8_t { left, right };

struct TableColumn {
  std::string heading;
  std::string unit;
  Alignment alignment = Alignment::right;
};

struct TableCell {
  std::variant<std::string, double> value;
  NumberFormat format = NumberFormat::plain;
  Mark mark = Mark::none;
};

struct TableRow {
  std::vector<TableCell> cells;  ///< The first one names the row.
  bool highlighted = false;
};

struct Table {
  std::string title;
  std::vector<TableColumn> columns;
  std::vector<TableRow> rows;
};

enum class SeriesColour : std::uint8_t {
  by_name,  ///< The same name has the same colour in the whole report: nodes, strategies.
  ordered,  ///< Steps of one hue in the order of the series: percentiles.
  bad,      ///< What nobody wants: refusals, errors.
};

struct Series {
  std::string name;
  std::vector<double> values;  ///< One for each x value of the chart, in the unit of the y axis.
  SeriesColour colour = SeriesColour::by_name;
};

/// For a Series: nothing was measured here.
inline constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

/// Something that happened at a moment: a vertical line with a number, explained under the chart.
struct ChartEvent {
  double x = 0;
  std::string label;
};

struct Chart {
  std::string title;
  std::vector<double> x;  ///< Ascending. Samples without a finite x are left out.
  std::vector<Series> series;
  /// Dashed lines to compare with, such as what was offered. Not part of a stack.
  std::vector<Series> references;
  std::vector<ChartEvent> events;
};

enum class FigureKind : std::uint8_t {
  stacked_areas,  ///< Parts of a whole over time. A stack of which one part is missing is a gap.
  stacked_bars,   ///< The same per window: a bar fills the window that begins at its x.
  lines,          ///< Each series by itself; a missing value is a gap.
};

enum class AxisScale : std::uint8_t { linear, logarithmic };

struct Axis {
  std::string label;
  std::string unit;
  AxisScale scale = AxisScale::linear;  ///< Only y axes of lines can be logarithmic.
};

/// One chart, or several side by side on the same axes, for a comparison at a glance.
struct Figure {
  std::string title;
  std::string note;  ///< One sentence under the title; may be empty.
  FigureKind kind = FigureKind::lines;
  Axis x_axis;
  Axis y_axis;
  std::vector<Chart> charts;
};

/// A number large enough to read across a room, with what it is.
struct KeyFigure {
  std::string value;  ///< With its unit: see format_number() and format_share().
  std::string label;
  std::string note;
  Mark mark = Mark::none;
};

/// A circle: as large as `size` says, with a piece cut out that is as large as 1 - `share`.
struct GraphNode {
  std::string name;
  double size = 1;          ///< Its area, in any unit; below 0 and what is no number count as 0.
  double share = no_value;  ///< Of what went well, in [0, 1]; without value the circle is hollow.
  Mark mark = Mark::none;   ///< Its colour.
  std::string note;         ///< Shown when somebody points at it.
};

/// A thin line; the half at `a` is as wide as `from_a` says, the half at `b` as `from_b`.
struct GraphLink {
  std::size_t a =
      0;  ///< Into the nodes. Links of what does not exist, and of a node with itself, go.
  std::size_t b = 0;
  double from_a = 0;
  double from_b = 0;
};

/// Who is linked with whom, and how much goes between them.
struct Graph {
  std::string title;
  std::string note;
  std::vector<GraphNode> nodes;
  std::vector<GraphLink> links;
  std::string size_label;  ///< What `size` is, in the plural: "slots".
  std::string link_label;  ///< What goes over links: "calls".
  std::string good_label;  ///< What the marks mean.
  std::string warning_label;
  std::string bad_label;
};

using SectionItem = std::variant<Table, Figure, Graph>;

struct Section {
  std::string heading;
  std::string paragraph;
  std::vector<SectionItem> items;
};

struct GeneratedBy {
  std::string version;
  std::string command;  ///< The command line that makes this report again.
  std::optional<std::uint64_t> seed;
  std::string date;  ///< As people should read it; empty leaves it out.
};

struct Report {
  std::string title;
  std::string lead;  ///< The verdict, in one sentence.
  Mark lead_mark = Mark::none;
  std::vector<KeyFigure> key_figures;
  std::vector<Section> sections;
  GeneratedBy generated_by;
};

/// The whole page.
std::string to_html(const Report& report);

}  // namespace dfaas
