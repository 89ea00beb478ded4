// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A Figure as HTML: heading, legend, one SVG drawing per chart, its numbers as a table.
///
/// Guarantees  Every coordinate is finite and inside its viewBox, whatever the values.
/// Limits      A figure of one chart is drawn twice, wide and narrow; the style sheet shows one.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/report/report.hpp"

namespace dfaas {

/// Gives each series name of a report one place in the palette, in order of first appearance.
class Palette {
 public:
  explicit Palette(const Report& report);

  /// The style classes of the series called `name`.
  std::string classes_of(std::string_view name) const;

 private:
  void add(const std::string& name);

  std::map<std::string, std::size_t, std::less<>> places_;
};

std::string figure_html(const Figure& figure, const Palette& palette);

}  // namespace dfaas
