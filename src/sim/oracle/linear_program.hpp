// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Linear programs as plain values, solved by GLPK without its printing, aborting or global state.
///
/// Input       Columns x >= 0, rows lower <= sum coefficient * x <= upper, and a basis to start from;
///             without one, all columns start at 0.
/// Output      A vertex: the value of each column.
/// Guarantees  Same program, same bytes. Nothing of GLPK outlives a call; its state is the calling
///             thread's own.
/// Errors      invalid_input for what GLPK would not take, not_found where no x satisfies the rows or
///             none is best, timed_out beyond the iterations allowed, unavailable where the solver
///             gave up. Each says which.
/// Cost        Primal simplex: iterations grow with the columns of the basis that are not yet right,
///             each costs about the rows. 9000 columns in 2000 rows take 40 ms from a good start.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "core/base/result.hpp"

namespace dfaas {

struct LinearRow {
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();
};

struct LinearEntry {
  std::size_t row = 0;
  double coefficient = 0;
};

struct LinearProgram {
  std::vector<LinearRow> rows;
  std::vector<std::vector<LinearEntry>> columns;  ///< Each row at most once.
  /// The start: these columns are free to move, and as many rows are at their upper bounds.
  std::vector<std::size_t> basic_columns;
  std::vector<std::size_t> tight_rows;
  std::size_t iterations_max = 0;  ///< 0: as many as rows and columns of its size may need.
};

/// One coefficient a column.
using LinearObjective = std::vector<double>;

/// Maximises the first objective, from there the second, and so on; answers where the last is greatest.
Result<std::vector<double>> maximise(const LinearProgram& program,
                                     std::span<const LinearObjective> objectives);

}  // namespace dfaas
