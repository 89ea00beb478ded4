// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Foreign text made fit for HTML and XML.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/report/report.hpp"

namespace dfaas {

/// `text` as the content of an element or of an attribute in double quotes: the five special
/// characters become references; bytes that are not UTF-8, control characters and characters that
/// change the direction of what follows become U+FFFD; after `length_max` characters follows an
/// ellipsis.
std::string escaped(std::string_view text, std::size_t length_max = report_label_length_max);

/// A sign for `mark` that needs no font; nothing for Mark::none.
std::string_view mark_html(Mark mark);

/// "good", "warning", "bad" or "".
std::string_view mark_class(Mark mark);

}  // namespace dfaas
