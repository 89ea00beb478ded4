// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One line about what goes on, written over again and again.
#pragma once

#include <unistd.h>

#include <string>

#include <fmt/format.h>

namespace dfaas {

/// On stderr, where somebody looks; else silence.
class ProgressLine {
 public:
  void show(const std::string& text) const {
    if (is_terminal_) fmt::print(stderr, "\r\x1b[K{}", text);
  }
  void clear() const { show(""); }

 private:
  bool is_terminal_ = isatty(STDERR_FILENO) != 0;
};

}  // namespace dfaas
