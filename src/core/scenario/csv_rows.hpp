// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Comma-separated values, row by row, with line and column in every complaint.
///
/// Input   Lines end with LF or CRLF; blank ones are skipped. Cells hold no commas, quotes mean nothing.
/// Use     next() until false; a bad cell throws BadCell, which must not leave the reader of a format.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dfaas {

/// "line 3, column 2 (rate): \"x\" is not a number from 0 to 9".
struct BadCell {
  std::string message;
};

class CsvRows {
 public:
  /// `text` must outlive this.
  explicit CsvRows(std::string_view text) : rest_(text) {}

  /// Moves on to the next row that is not blank; false at the end.
  bool next();
  /// Makes the present row the header, whose names stand in messages.
  void take_header();
  /// Moves on as next() does; the row must have as many cells as the header.
  bool next_of_header();

  [[nodiscard]] std::size_t line() const { return line_; }
  [[nodiscard]] const std::vector<std::string_view>& cells() const { return cells_; }
  [[nodiscard]] const std::vector<std::string_view>& header() const { return header_; }

  [[nodiscard]] double number(std::size_t column, double low, double high) const;
  [[noreturn]] void fail_at(std::size_t column, const std::string& why) const;
  [[noreturn]] void fail_with(const std::string& why) const;

 private:
  std::string_view rest_;
  std::size_t line_ = 0;
  std::vector<std::string_view> cells_;
  std::vector<std::string_view> header_;
};

}  // namespace dfaas
