// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/scenario/csv_rows.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {

bool CsvRows::next() {
  while (!rest_.empty()) {
    const std::size_t end = rest_.find('\n');
    std::string_view row = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    ++line_;
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (trim(row).empty()) continue;
    cells_.clear();
    for (;;) {
      const std::size_t comma = row.find(',');
      cells_.push_back(trim(row.substr(0, comma)));
      if (comma == std::string_view::npos) return true;
      row.remove_prefix(comma + 1);
    }
  }
  return false;
}

void CsvRows::take_header() { header_ = cells_; }

bool CsvRows::next_of_header() {
  if (!next()) return false;
  if (cells_.size() != header_.size()) {
    fail_with(fmt::format("{} cells are not the {} of the header", cells_.size(), header_.size()));
  }
  return true;
}

double CsvRows::number(std::size_t column, double low, double high) const {
  const auto value = parse_number(cells_[column]);
  if (!value || *value < low || *value > high) {
    fail_at(column,
            fmt::format("{} is not a number from {} to {}", in_quotes(cells_[column]), low, high));
  }
  return *value;
}

void CsvRows::fail_at(std::size_t column, const std::string& why) const {
  const std::string name =
      column < header_.size() ? fmt::format(" ({})", in_quotes(header_[column], 40)) : "";
  throw BadCell{fmt::format("line {}, column {}{}: {}", line_, column + 1, name, why)};
}

void CsvRows::fail_with(const std::string& why) const {
  throw BadCell{fmt::format("line {}: {}", std::max<std::size_t>(line_, 1), why)};
}

}  // namespace dfaas
