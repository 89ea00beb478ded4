// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A Graph as HTML: heading, legend, the drawing wide and narrow, the widest links as a table.
///
/// Guarantees  Every coordinate is finite and inside its viewBox, whatever the values. Names that would
///             cover something else are left out, those of the nodes that fare worst last; pointing at a
///             node tells its name always.
#pragma once

#include <string>

#include "core/report/report.hpp"

namespace dfaas {

std::string graph_html(const Graph& graph);

}  // namespace dfaas
