// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/report/figure.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "core/report/markup.hpp"
#include "core/report/numbers.hpp"

namespace dfaas {
namespace {

/// Colours of the style sheet: --by-name-0 ... and --ordered-0 ...
constexpr std::size_t palette_size = 8;
constexpr std::size_t ordered_size = 4;
constexpr double magnitude_max = 1e15;
/// A logarithmic axis that reaches below this helps nobody; such values count as missing.
constexpr double log_value_min = 1e-12;
/// An axis label must fit the narrow drawing, and so must the marks of events above it.
constexpr std::size_t axis_label_length_max = 48;
constexpr std::size_t event_rows_max = 3;
/// Characters of an average glyph of the style sheet's 13 px font, on the safe side.
constexpr double glyph_width = 7.4;

// 1. What is drawn: checked, sorted, thinned.

struct Line {
  std::string name;
  std::string classes;
  std::vector<double> values;  ///< As many as there are x values; NaN is missing.
};

struct Panel {
  std::string title;
  std::vector<double> x;
  std::vector<Line> series;
  std::vector<Line> references;
  std::vector<ChartEvent> events;
  double window = 1;  ///< Width of a bar, in the unit of x.
  std::vector<std::string> notes;
};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  bool empty() const { return low > high; }
  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

bool is_stacked(FigureKind kind) { return kind != FigureKind::lines; }

bool is_logarithmic(const Figure& figure) {
  return figure.kind == FigureKind::lines && figure.y_axis.scale == AxisScale::logarithmic;
}

/// `value`, or missing where this figure cannot show it.
double drawable(double value, const Figure& figure) {
  if (!(std::abs(value) <= magnitude_max)) return no_value;
  if (is_stacked(figure.kind) && value < 0) return no_value;
  if (is_logarithmic(figure) && value < log_value_min) return no_value;
  return value;
}

enum class Gathering : std::uint8_t { mean, highest };

/// The values at `order`, in buckets of `bucket`, each made one value; missing ones do not count.
std::vector<double> gathered(const std::vector<double>& values, std::span<const std::size_t> order,
                             std::size_t bucket, Gathering gathering, const Figure& figure) {
  std::vector<double> out;
  for (std::size_t begin = 0; begin < order.size(); begin += bucket) {
    double sum = 0;
    double highest = no_value;
    double count = 0;
    for (const std::size_t i : order.subspan(begin, std::min(bucket, order.size() - begin))) {
      const double value = i < values.size() ? drawable(values[i], figure) : no_value;
      if (std::isnan(value)) continue;
      sum += value;
      count += 1;
      highest = std::isnan(highest) ? value : std::max(highest, value);
    }
    out.push_back(count == 0 ? no_value : gathering == Gathering::mean ? sum / count : highest);
  }
  return out;
}

/// Folds the series beyond the limit into one of a stack; lines cannot be added up and go.
void limit_series(Panel& panel, const Figure& figure) {
  if (panel.series.size() <= chart_series_max) return;
  const std::size_t kept = is_stacked(figure.kind) ? chart_series_max - 1 : chart_series_max;
  const std::size_t beyond = panel.series.size() - kept;
  if (is_stacked(figure.kind)) {
    Line others{.name = "others", .classes = "others", .values = {}};
    others.values.assign(panel.x.size(), 0);
    for (std::size_t s = kept; s < panel.series.size(); ++s) {
      for (std::size_t i = 0; i < panel.x.size(); ++i) {
        others.values[i] += panel.series[s].values[i];
      }
    }
    panel.series.resize(kept);
    panel.series.push_back(std::move(others));
    panel.notes.push_back(fmt::format("“others” stands for {} series.", beyond));
  } else {
    panel.series.resize(kept);
    panel.notes.push_back(fmt::format("{} more series are not shown.", beyond));
  }
}

std::string classes_of(const Series& series, std::size_t position, const Palette& palette) {
  switch (series.colour) {
    case SeriesColour::ordered:
      return fmt::format("ordered-{}", position % ordered_size);
    case SeriesColour::bad:
      return "bad-series";
    case SeriesColour::by_name:
      break;
  }
  return palette.classes_of(series.name);
}

/// The narrowest distance between neighbours: what one sample stands for.
double window_of(const std::vector<double>& x) {
  double window = no_value;
  for (std::size_t i = 1; i < x.size(); ++i) {
    const double distance = x[i] - x[i - 1];
    if (distance > 0 && !(distance >= window)) window = distance;
  }
  return std::isnan(window) ? 1 : window;
}

Panel make_panel(const Chart& chart, const Figure& figure, const Palette& palette) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < chart.x.size(); ++i) {
    if (std::abs(chart.x[i]) <= magnitude_max) order.push_back(i);
  }
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(chart.x[i], i); });

  const std::size_t bucket = (order.size() + chart_points_max - 1) / chart_points_max;
  const Gathering gathering = is_stacked(figure.kind) ? Gathering::mean : Gathering::highest;
  Panel panel{.title = chart.title};
  for (std::size_t i = 0; i < order.size(); i += bucket) panel.x.push_back(chart.x[order[i]]);
  panel.window = window_of(panel.x);
  if (bucket > 1) {
    panel.notes.push_back(fmt::format("Each point is the {} of {} samples.",
                                      is_stacked(figure.kind) ? "mean" : "highest", bucket));
  }
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    const Series& series = chart.series[s];
    panel.series.push_back({.name = series.name,
                            .classes = classes_of(series, s, palette),
                            .values = gathered(series.values, order, bucket, gathering, figure)});
  }
  limit_series(panel, figure);
  for (const Series& reference : chart.references) {
    if (panel.references.size() == chart_series_max) break;
    panel.references.push_back(
        {.name = reference.name,
         .classes = "reference",
         .values = gathered(reference.values, order, bucket, Gathering::mean, figure)});
  }
  for (const ChartEvent& event : chart.events) {
    if (std::abs(event.x) <= magnitude_max) panel.events.push_back(event);
  }
  std::ranges::sort(panel.events, {},
                    [](const ChartEvent& event) { return std::tie(event.x, event.label); });
  if (panel.events.size() > chart_events_max) {
    panel.notes.push_back(
        fmt::format("{} more events are not shown.", panel.events.size() - chart_events_max));
    panel.events.resize(chart_events_max);
  }
  return panel;
}

/// Height of the stack at each x; missing where one part is.
std::vector<double> stack_heights(const Panel& panel) {
  std::vector<double> heights(panel.x.size(), panel.series.empty() ? no_value : 0);
  for (const Line& line : panel.series) {
    for (std::size_t i = 0; i < heights.size(); ++i) heights[i] += line.values[i];
  }
  for (double& height : heights) {
    if (height > magnitude_max) height = no_value;
  }
  return heights;
}

// 2. Axes, shared by the charts of a figure.

struct Scale {
  double low = 0;
  double high = 1;
  AxisScale kind = AxisScale::linear;
  Ticks ticks;

  /// 0 at the low end, 1 at the high end.
  double ratio(double value) const {
    const double part = kind == AxisScale::linear ? (value - low) / (high - low)
                                                  : (std::log10(value) - std::log10(low)) /
                                                        (std::log10(high) - std::log10(low));
    return std::clamp(part, 0.0, 1.0);
  }
};

Scale y_scale(const Figure& figure, std::span<const Panel> panels) {
  Range range;
  for (const Panel& panel : panels) {
    if (is_stacked(figure.kind)) {
      for (const double height : stack_heights(panel)) range.include(height);
    } else {
      for (const Line& line : panel.series) {
        for (const double value : line.values) range.include(value);
      }
    }
    for (const Line& line : panel.references) {
      for (const double value : line.values) range.include(value);
    }
  }
  Scale scale;
  if (is_logarithmic(figure)) {
    if (range.empty()) range = {.low = 1, .high = 10};
    scale.kind = AxisScale::logarithmic;
    scale.ticks = log_ticks_covering(range.low, range.high);
  } else {
    // Lengths are compared from 0; without any height the axis still needs one.
    range.include(0);
    if (range.low == range.high) range.high = 1;
    scale.ticks = ticks_covering(range.low, range.high);
  }
  scale.low = scale.ticks.at.front();
  scale.high = scale.ticks.at.back();
  return scale;
}

Range x_range(const Figure& figure, std::span<const Panel> panels) {
  Range range;
  for (const Panel& panel : panels) {
    for (const double x : panel.x) {
      range.include(x);
      if (figure.kind == FigureKind::stacked_bars) range.include(x + panel.window);
    }
  }
  for (const Panel& panel : panels) {
    for (const ChartEvent& event : panel.events) range.include(event.x);
  }
  if (range.empty()) range = {.low = 0, .high = 1};
  // One moment alone stands in the middle; so do moments that doubles hardly tell apart.
  const double span_min = std::max({std::abs(range.low), std::abs(range.high), 1.0}) * 1e-6;
  if (range.high - range.low < span_min) {
    const double margin = range.low == range.high ? std::max(0.5, span_min) : span_min;
    range = {.low = range.low - margin, .high = range.high + margin};
  }
  return range;
}

// 3. The drawing.

enum class DrawingSize : std::uint8_t { narrow, wide };

struct Frame {
  double width = 440;
  double height = 260;
  double left = 40;
  double right = 430;
  double top = 28;
  double bottom = 218;
  Scale x;
  Scale y;

  double x_at(double value) const { return left + x.ratio(value) * (right - left); }
  double y_at(double value) const { return bottom - y.ratio(value) * (bottom - top); }
};

double width_of(const std::string& label) {
  const auto characters = std::ranges::count_if(
      label, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
  return glyph_width * static_cast<double>(characters);
}

/// The row of each event's number above the chart, so that numbers do not cover each other; those
/// that find all rows taken share the last.
std::vector<std::size_t> event_rows(const Panel& panel, const Frame& frame) {
  constexpr double number_width = 20;
  std::vector<double> row_ends(event_rows_max, -1e9);
  std::vector<std::size_t> rows;
  for (const ChartEvent& event : panel.events) {
    const double x = frame.x_at(event.x);
    std::size_t row = 0;
    while (row + 1 < event_rows_max && x - row_ends[row] < number_width) ++row;
    row_ends[row] = x;
    rows.push_back(row);
  }
  return rows;
}

Frame make_frame(const Figure& figure, std::span<const Panel> panels, DrawingSize size) {
  constexpr double event_row_height = 19;
  Frame frame;
  if (size == DrawingSize::wide) {
    frame.width = 960;
    frame.height = 290;
  }
  frame.y = y_scale(figure, panels);
  double label_width = 0;
  for (const double tick : frame.y.ticks.at) {
    label_width = std::max(label_width, width_of(format_tick(tick, frame.y.ticks)));
  }
  const Range range = x_range(figure, panels);
  frame.x.low = range.low;
  frame.x.high = range.high;
  frame.left = label_width + 12;
  std::size_t ticks_max = size == DrawingSize::wide ? 13 : 8;
  for (bool fits = false; !fits; --ticks_max) {
    frame.x.ticks = ticks_within(range.low, range.high, ticks_max);
    double widest = 0;
    for (const double tick : frame.x.ticks.at) {
      widest = std::max(widest, width_of(format_tick(tick, frame.x.ticks)));
    }
    frame.right = frame.width - std::max(8.0, widest / 2 + 2);
    frame.left = std::max(frame.left, widest / 2 + 2);
    fits = ticks_max <= 3 ||
           (widest + 16) * static_cast<double>(frame.x.ticks.at.size()) <= frame.right - frame.left;
  }
  std::size_t rows = 0;
  for (const Panel& panel : panels) {
    for (const std::size_t row : event_rows(panel, frame)) rows = std::max(rows, row + 1);
  }
  frame.top = 28 + event_row_height * static_cast<double>(rows);
  frame.height += event_row_height * static_cast<double>(rows);
  frame.bottom = frame.height - 44;
  return frame;
}

/// A coordinate; a tenth of a unit is finer than any screen.
std::string at(double coordinate) {
  std::string text = fmt::format("{:.1f}", coordinate);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string axis_text(const Axis& axis) {
  std::string text = axis.label;
  if (!axis.unit.empty()) text += (text.empty() ? "" : " ") + fmt::format("({})", axis.unit);
  return text;
}

/// Calls draw(first, last) for each run of neighbours for which known(i) holds.
template <class Known, class Draw>
void for_each_run(std::size_t count, Known known, Draw draw) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!known(i)) continue;
    const std::size_t first = i;
    while (i + 1 < count && known(i + 1)) ++i;
    draw(first, i);
  }
}

void draw_grid(std::string& out, const Frame& frame, const Figure& figure) {
  for (const double tick : frame.y.ticks.at) {
    const double y = frame.y_at(tick);
    out += fmt::format(R"(<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>)", at(frame.left),
                       at(frame.right), at(y), at(y));
    out += fmt::format(R"(<text class="tick" text-anchor="end" x="{}" y="{}">{}</text>)",
                       at(frame.left - 6), at(y + 4.5), format_tick(tick, frame.y.ticks));
  }
  out += fmt::format(R"(<text class="axis-label" x="0" y="13">{}</text>)",
                     escaped(axis_text(figure.y_axis), axis_label_length_max));
}

void draw_x_axis(std::string& out, const Frame& frame, const Figure& figure) {
  const double base = frame.y.low <= 0 && frame.y.kind == AxisScale::linear ? 0 : frame.y.low;
  out += fmt::format(R"(<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>)", at(frame.left),
                     at(frame.right), at(frame.y_at(base)), at(frame.y_at(base)));
  for (const double tick : frame.x.ticks.at) {
    const double x = frame.x_at(tick);
    out += fmt::format(R"(<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>)", at(x), at(x),
                       at(frame.bottom), at(frame.bottom + 4));
    out += fmt::format(R"(<text class="tick" text-anchor="middle" x="{}" y="{}">{}</text>)", at(x),
                       at(frame.bottom + 18), format_tick(tick, frame.x.ticks));
  }
  out += fmt::format(R"(<text class="axis-label" text-anchor="middle" x="{}" y="{}">{}</text>)",
                     at((frame.left + frame.right) / 2), at(frame.bottom + 37),
                     escaped(axis_text(figure.x_axis), axis_label_length_max));
}

void draw_bars(std::string& out, const Panel& panel, const Frame& frame) {
  const std::vector<double> heights = stack_heights(panel);
  std::vector<double> base(panel.x.size(), 0);
  for (const Line& line : panel.series) {
    out += fmt::format(R"(<g class="fill {}">)", line.classes);
    for (std::size_t i = 0; i < panel.x.size(); ++i) {
      if (std::isnan(heights[i])) continue;
      const double left = frame.x_at(panel.x[i]);
      const double right = frame.x_at(panel.x[i] + panel.window);
      const double gap = std::min(1.5, (right - left) / 6);
      const double top = frame.y_at(base[i] + line.values[i]);
      const double height = frame.y_at(base[i]) - top;
      base[i] += line.values[i];
      if (height < 0.05) continue;
      out += fmt::format(R"(<rect x="{}" y="{}" width="{}" height="{}"/>)", at(left + gap / 2),
                         at(top), at(right - left - gap), at(height));
    }
    out += "</g>";
  }
}

void draw_areas(std::string& out, const Panel& panel, const Frame& frame) {
  const std::vector<double> heights = stack_heights(panel);
  std::vector<double> base(panel.x.size(), 0);
  for (const Line& line : panel.series) {
    std::vector<double> top = base;
    for (std::size_t i = 0; i < top.size(); ++i) top[i] += line.values[i];
    std::string path;
    for_each_run(
        panel.x.size(), [&](std::size_t i) { return !std::isnan(heights[i]); },
        [&](std::size_t first, std::size_t last) {
          // A moment between two gaps has no width of its own.
          const double half = first == last ? 1.5 : 0;
          const auto x = [&](std::size_t i, double shift) {
            return at(std::clamp(frame.x_at(panel.x[i]) + shift, frame.left, frame.right));
          };
          path += fmt::format("M{} {}", x(first, -half), at(frame.y_at(top[first])));
          for (std::size_t i = first; i <= last; ++i) {
            path += fmt::format("L{} {}", x(i, half), at(frame.y_at(top[i])));
          }
          for (std::size_t i = last + 1; i-- > first;) {
            path += fmt::format("L{} {}", x(i, half), at(frame.y_at(base[i])));
          }
          path += fmt::format("L{} {}Z", x(first, -half), at(frame.y_at(base[first])));
        });
    if (!path.empty()) {
      out += fmt::format(R"(<path class="fill {}" d="{}"/>)", line.classes, path);
    }
    base = std::move(top);
  }
}

void draw_line(std::string& out, const Panel& panel, const Line& line, const Frame& frame) {
  std::string path;
  std::string dots;
  for_each_run(
      panel.x.size(), [&](std::size_t i) { return !std::isnan(line.values[i]); },
      [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i <= last; ++i) {
          path += fmt::format("{}{} {}", i == first ? 'M' : 'L', at(frame.x_at(panel.x[i])),
                              at(frame.y_at(line.values[i])));
        }
        if (first != last) return;
        dots += fmt::format(R"(<circle class="dot {}" cx="{}" cy="{}" r="2.5"/>)", line.classes,
                            at(frame.x_at(panel.x[first])), at(frame.y_at(line.values[first])));
      });
  if (!path.empty()) out += fmt::format(R"(<path class="line {}" d="{}"/>)", line.classes, path);
  out += dots;
}

/// A reference holds for the whole of each window.
void draw_steps(std::string& out, const Panel& panel, const Line& line, const Frame& frame) {
  std::string path;
  for_each_run(
      panel.x.size(), [&](std::size_t i) { return !std::isnan(line.values[i]); },
      [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i <= last; ++i) {
          const double end = i == last ? panel.x[i] + panel.window : panel.x[i + 1];
          const std::string y = at(frame.y_at(line.values[i]));
          path += fmt::format("{}{} {}H{}", i == first ? 'M' : 'L', at(frame.x_at(panel.x[i])), y,
                              at(frame.x_at(end)));
        }
      });
  if (!path.empty()) out += fmt::format(R"(<path class="line {}" d="{}"/>)", line.classes, path);
}

void draw_events(std::string& out, const Panel& panel, const Frame& frame) {
  const std::vector<std::size_t> rows = event_rows(panel, frame);
  for (std::size_t i = 0; i < panel.events.size(); ++i) {
    const double x = frame.x_at(panel.events[i].x);
    const double y = frame.top - 11 - 19 * static_cast<double>(rows[i]);
    out += fmt::format(R"(<line class="event" x1="{}" x2="{}" y1="{}" y2="{}"/>)", at(x), at(x),
                       at(y + 8), at(frame.bottom));
    out += fmt::format(R"(<circle class="event-number" cx="{}" cy="{}" r="8"/>)", at(x), at(y));
    out += fmt::format(R"(<text class="event-text" text-anchor="middle" x="{}" y="{}">{}</text>)",
                       at(x), at(y + 4), i + 1);
  }
}

/// One invisible column per sample that tells its values when pointed at.
void draw_tooltips(std::string& out, const Panel& panel, const Frame& frame, const Figure& figure) {
  const std::size_t count = panel.x.size();
  out += R"(<g class="columns">)";
  for (std::size_t i = 0; i < count; ++i) {
    const double x = frame.x_at(panel.x[i]);
    double left = i == 0 ? frame.left : (frame.x_at(panel.x[i - 1]) + x) / 2;
    double right = i + 1 == count ? frame.right : (x + frame.x_at(panel.x[i + 1])) / 2;
    if (figure.kind == FigureKind::stacked_bars) {
      left = x;
      right = frame.x_at(panel.x[i] + panel.window);
    }
    out += fmt::format(R"(<rect x="{}" y="{}" width="{}" height="{}"><title>)", at(left),
                       at(frame.top), at(right - left), at(frame.bottom - frame.top));
    out += escaped(figure.x_axis.label) + " " + format_number(panel.x[i]);
    if (!figure.x_axis.unit.empty()) out += " " + escaped(figure.x_axis.unit);
    const auto tell = [&](const Line& line) {
      out += "&#10;" + escaped(line.name) + ": " + format_number(line.values[i]);
      if (!figure.y_axis.unit.empty()) out += " " + escaped(figure.y_axis.unit);
    };
    // The upper part of a stack first, as it is seen.
    for (std::size_t s = panel.series.size(); s-- > 0;) tell(panel.series[s]);
    for (const Line& line : panel.references) tell(line);
    out += "</title></rect>";
  }
  out += "</g>";
}

/// What the drawing shows, for those who cannot see it.
std::string description(const Panel& panel, const Figure& figure) {
  std::string text = escaped(figure.title);
  if (!panel.title.empty() && panel.title != figure.title) text += ", " + escaped(panel.title);
  text += fmt::format(": {} by {}.", escaped(axis_text(figure.y_axis)),
                      escaped(axis_text(figure.x_axis)));
  const auto tell = [&](const Line& line) {
    Range range;
    for (const double value : line.values) range.include(value);
    text += " " + escaped(line.name);
    text += range.empty() ? std::string(" without values;")
                          : fmt::format(" from {} to {};", format_number(range.low),
                                        format_number(range.high));
  };
  for (const Line& line : panel.series) tell(line);
  for (const Line& line : panel.references) tell(line);
  if (text.ends_with(';')) text.back() = '.';
  return text;
}

/// Tells an empty drawing from a broken one.
std::string emptiness(const Panel& panel) {
  Range range;
  for (const Line& line : panel.series) {
    for (const double value : line.values) range.include(value);
  }
  if (range.empty()) return "no values";
  return range.low == 0 && range.high == 0 ? "0 throughout" : "";
}

std::string svg(const Figure& figure, const Panel& panel, const Frame& frame, DrawingSize size) {
  std::string out = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" class="plot {}" viewBox="0 0 {} {}" role="img" )"
      R"(aria-label="{}">)",
      size == DrawingSize::wide ? "wide" : "narrow", at(frame.width), at(frame.height),
      description(panel, figure));
  draw_grid(out, frame, figure);
  switch (figure.kind) {
    case FigureKind::stacked_areas:
      draw_areas(out, panel, frame);
      break;
    case FigureKind::stacked_bars:
      draw_bars(out, panel, frame);
      break;
    case FigureKind::lines:
      for (const Line& line : panel.series) draw_line(out, panel, line, frame);
      break;
  }
  for (const Line& line : panel.references) {
    if (figure.kind == FigureKind::stacked_bars) {
      draw_steps(out, panel, line, frame);
    } else {
      draw_line(out, panel, line, frame);
    }
  }
  draw_x_axis(out, frame, figure);
  draw_events(out, panel, frame);
  if (const std::string text = emptiness(panel); !text.empty()) {
    out +=
        fmt::format(R"(<text class="empty" text-anchor="middle" x="{}" y="{}">{}</text>)",
                    at((frame.left + frame.right) / 2), at((frame.top + frame.bottom) / 2), text);
  }
  draw_tooltips(out, panel, frame, figure);
  return out + "</svg>\n";
}

// 4. Around the drawing.

std::string legend_html(const Figure& figure, std::span<const Panel> panels) {
  constexpr std::string_view swatch_begin =
      R"(<svg xmlns="http://www.w3.org/2000/svg" class="swatch" viewBox="0 0 18 12" )"
      R"(aria-hidden="true">)";
  std::vector<std::pair<std::string, std::string>> entries;  // Name and classes, each once.
  const auto collect = [&](const std::vector<Line>& lines) {
    for (const Line& line : lines) {
      std::pair<std::string, std::string> entry{line.name, line.classes};
      if (std::ranges::find(entries, entry) == entries.end()) entries.push_back(std::move(entry));
    }
  };
  for (const Panel& panel : panels) collect(panel.series);
  for (const Panel& panel : panels) collect(panel.references);
  if (entries.empty()) return "";
  std::string out = R"(<ul class="legend">)";
  for (const auto& [name, classes] : entries) {
    const bool filled = is_stacked(figure.kind) && classes != "reference";
    out += fmt::format(R"(<li>{}<path class="{} {}" d="{}"/></svg>{}</li>)", swatch_begin,
                       filled ? "fill" : "line", classes, filled ? "M0 0H18V12H0Z" : "M0 6H18",
                       escaped(name));
  }
  return out + "</ul>\n";
}

std::string numbers_html(const Figure& figure, const Panel& panel) {
  std::string out = "<details><summary>Numbers";
  if (!panel.title.empty()) out += " of " + escaped(panel.title);
  out += "</summary><div class=\"scroll\"><table><thead><tr>";
  const auto heading = [&](const std::string& escaped_text) {
    out += R"(<th scope="col" class="right">)" + escaped_text + "</th>";
  };
  const std::string unit =
      figure.y_axis.unit.empty() ? "" : fmt::format(" ({})", escaped(figure.y_axis.unit));
  heading(escaped(axis_text(figure.x_axis)));
  for (const Line& line : panel.series) heading(escaped(line.name) + unit);
  for (const Line& line : panel.references) heading(escaped(line.name) + unit);
  out += "</tr></thead><tbody>";
  for (std::size_t i = 0; i < panel.x.size(); ++i) {
    out += R"(<tr><th scope="row" class="right">)" + format_number(panel.x[i]) + "</th>";
    const auto cell = [&](const Line& line) {
      out += R"(<td class="right">)" + format_number(line.values[i]) + "</td>";
    };
    for (const Line& line : panel.series) cell(line);
    for (const Line& line : panel.references) cell(line);
    out += "</tr>";
  }
  return out + "</tbody></table></div></details>\n";
}

std::string events_html(const Figure& figure, const Panel& panel) {
  if (panel.events.empty()) return "";
  std::string out = R"(<ol class="events">)";
  for (const ChartEvent& event : panel.events) {
    out += fmt::format("<li>{}{}{}: {}</li>", format_number(event.x),
                       figure.x_axis.unit.empty() ? "" : " ", escaped(figure.x_axis.unit),
                       escaped(event.label));
  }
  return out + "</ol>\n";
}

}  // namespace

Palette::Palette(const Report& report) {
  for (const Section& section : report.sections) {
    for (const SectionItem& item : section.items) {
      const auto* figure = std::get_if<Figure>(&item);
      if (figure == nullptr) continue;
      for (const Chart& chart : figure->charts) {
        for (const Series& series : chart.series) {
          if (series.colour == SeriesColour::by_name) add(series.name);
        }
      }
    }
  }
}

void Palette::add(const std::string& name) { places_.try_emplace(name, places_.size()); }

std::string Palette::classes_of(std::string_view name) const {
  const auto found = places_.find(name);
  if (found == places_.end()) return "others";
  // Once all colours are taken they come again, fainter and dashed.
  return fmt::format("by-name-{}{}", found->second % palette_size,
                     found->second < palette_size ? "" : " again");
}

std::string figure_html(const Figure& figure, const Palette& palette) {
  std::vector<Panel> panels;
  panels.reserve(figure.charts.size());
  for (const Chart& chart : figure.charts) panels.push_back(make_panel(chart, figure, palette));

  std::string out = "<figure>\n<figcaption>";
  if (!figure.title.empty()) out += "<h3>" + escaped(figure.title) + "</h3>";
  if (!figure.note.empty()) {
    out += "<p>" + escaped(figure.note, report_paragraph_length_max) + "</p>";
  }
  out += "</figcaption>\n" + legend_html(figure, panels);
  out += panels.size() == 1 ? "<div class=\"alone\">\n" : "<div class=\"side-by-side\">\n";
  const Frame narrow = make_frame(figure, panels, DrawingSize::narrow);
  for (const Panel& panel : panels) {
    out += "<div class=\"chart\">";
    if (!panel.title.empty()) out += "<h4>" + escaped(panel.title) + "</h4>\n";
    if (panels.size() == 1) {
      const Frame wide = make_frame(figure, panels, DrawingSize::wide);
      out += svg(figure, panel, wide, DrawingSize::wide);
    }
    out += svg(figure, panel, narrow, DrawingSize::narrow);
    out += events_html(figure, panel);
    for (const std::string& note : panel.notes) out += "<p class=\"small\">" + note + "</p>\n";
    out += numbers_html(figure, panel) + "</div>\n";
  }
  return out + "</div>\n</figure>\n";
}

}  // namespace dfaas
