// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/oracle/linear_program.hpp"

#include <glpk.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csetjmp>
#include <cstring>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {
namespace {

/// GLPK's own limit on rows and on columns.
constexpr std::size_t size_max = 100'000'000;
/// Measured: up to 2 for a row or column. Beyond 50 it goes round in circles.
constexpr std::size_t iterations_per_line = 50;
constexpr std::size_t iterations_at_least = 1000;

/// All that run() reads and writes. It allocates nothing itself, because GLPK leaves by longjmp where it
/// fails, past every destructor.
struct Job {
  const LinearProgram* program;
  std::span<const LinearObjective> objectives;
  std::vector<int> entry_rows;  ///< GLPK counts from 1: the first of each is not read.
  std::vector<int> entry_columns;
  std::vector<double> coefficients;
  std::vector<double> values;
  int iterations_max = 0;
  int outcome = 0;
  int status = GLP_UNDEF;
  std::array<char, 200> told{};  ///< What GLPK printed first: the reason, then its own line number.
  std::jmp_buf way_out{};
};

extern "C" {
static int listen(void* info, const char* text) {
  auto& told = static_cast<Job*>(info)->told;
  if (told.front() == '\0') std::strncpy(told.data(), text, told.size() - 1);
  return 1;  // Taken: GLPK prints nothing.
}

static void leave(void* info) { std::longjmp(static_cast<Job*>(info)->way_out, 1); }
}

int number(std::size_t index) { return static_cast<int>(index) + 1; }

void set_row(glp_prob* glpk, int row, const LinearRow& bounds) {
  const bool has_lower = std::isfinite(bounds.lower);
  const bool has_upper = std::isfinite(bounds.upper);
  int kind = GLP_FR;
  if (has_lower && has_upper) {
    kind = bounds.lower == bounds.upper ? GLP_FX : GLP_DB;
  } else if (has_lower || has_upper) {
    kind = has_lower ? GLP_LO : GLP_UP;
  }
  glp_set_row_bnds(glpk, row, kind, bounds.lower, bounds.upper);
}

void load(glp_prob* glpk, const Job& job) {
  const LinearProgram& program = *job.program;
  glp_set_obj_dir(glpk, GLP_MAX);
  if (!program.rows.empty()) glp_add_rows(glpk, static_cast<int>(program.rows.size()));
  if (!program.columns.empty()) glp_add_cols(glpk, static_cast<int>(program.columns.size()));
  for (std::size_t row = 0; row < program.rows.size(); ++row) {
    set_row(glpk, number(row), program.rows[row]);
  }
  for (std::size_t column = 0; column < program.columns.size(); ++column) {
    glp_set_col_bnds(glpk, number(column), GLP_LO, 0, 0);
  }
  glp_load_matrix(glpk, static_cast<int>(job.coefficients.size()) - 1, job.entry_rows.data(),
                  job.entry_columns.data(), job.coefficients.data());
  for (const std::size_t column : program.basic_columns) {
    glp_set_col_stat(glpk, number(column), GLP_BS);
  }
  for (const std::size_t row : program.tight_rows) glp_set_row_stat(glpk, number(row), GLP_NU);
}

void run(Job& job) {
  glp_prob* glpk = glp_create_prob();
  load(glpk, job);
  glp_smcp settings;
  glp_init_smcp(&settings);
  settings.msg_lev = GLP_MSG_OFF;
  settings.it_lim = job.iterations_max;
  for (const LinearObjective& objective : job.objectives) {
    for (std::size_t column = 0; column < objective.size(); ++column) {
      glp_set_obj_coef(glpk, number(column), objective[column]);
    }
    job.outcome = glp_simplex(glpk, &settings);
    job.status = glp_get_status(glpk);
    if (job.outcome != 0 || job.status != GLP_OPT) return;
  }
  for (std::size_t column = 0; column < job.values.size(); ++column) {
    job.values[column] = glp_get_col_prim(glpk, number(column));
  }
}

/// False where GLPK gave up with what is now in job.told.
bool run_guarded(Job& job) {
  if (setjmp(job.way_out) != 0) return false;
  glp_term_hook(listen, &job);
  glp_error_hook(leave, &job);
  run(job);
  return true;
}

Result<void> check(const LinearProgram& program, std::span<const LinearObjective> objectives) {
  const auto bad = [](std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); };
  const std::size_t rows = program.rows.size();
  const std::size_t columns = program.columns.size();
  if (rows > size_max || columns > size_max) {
    return bad(fmt::format("{} rows and {} columns are more than {}", rows, columns, size_max));
  }
  for (const LinearRow& row : program.rows) {
    if (!(row.lower <= row.upper)) {
      return bad(fmt::format("no number is {} or more and {} or less", row.lower, row.upper));
    }
  }
  for (const auto& column : program.columns) {
    for (const LinearEntry& entry : column) {
      if (entry.row >= rows) return bad(fmt::format("row {} is not below {}", entry.row, rows));
      if (!std::isfinite(entry.coefficient)) return bad("a coefficient is not finite");
    }
  }
  if (program.basic_columns.size() != program.tight_rows.size() ||
      std::ranges::any_of(program.basic_columns, [&](auto c) { return c >= columns; }) ||
      std::ranges::any_of(program.tight_rows, [&](auto r) { return r >= rows; })) {
    return bad("the start is not of this program");
  }
  for (const LinearObjective& objective : objectives) {
    if (objective.size() != columns) return bad("an objective is not of this program");
    if (!std::ranges::all_of(objective, [](double c) { return std::isfinite(c); })) {
      return bad("an objective is not finite");
    }
  }
  return {};
}

Result<void> verdict(const Job& job) {
  if (job.outcome == GLP_EITLIM) {
    return fail(ErrorCode::timed_out,
                fmt::format("no optimum after {} iterations", job.iterations_max));
  }
  if (job.outcome != 0) {
    return fail(ErrorCode::unavailable, fmt::format("glp_simplex failed with {}", job.outcome));
  }
  switch (job.status) {
    case GLP_OPT:
      return {};
    case GLP_NOFEAS:
      return fail(ErrorCode::not_found, "it is infeasible: nothing satisfies every row");
    case GLP_UNBND:
      return fail(ErrorCode::not_found, "it is unbounded: the objective has no maximum");
    default:
      return fail(ErrorCode::unavailable, fmt::format("glp_simplex ended with {}", job.status));
  }
}

}  // namespace

Result<std::vector<double>> maximise(const LinearProgram& program,
                                     std::span<const LinearObjective> objectives) {
  constexpr std::string_view scope = "linear program";
  if (auto valid = check(program, objectives); !valid) {
    return tl::unexpected(std::move(valid).error().within(scope));
  }
  Job job{.program = &program,
          .objectives = objectives,
          .entry_rows = {0},
          .entry_columns = {0},
          .coefficients = {0},
          .values = std::vector<double>(program.columns.size())};
  const std::size_t lines = program.rows.size() + program.columns.size();
  const std::size_t allowed = program.iterations_max > 0
                                  ? program.iterations_max
                                  : iterations_at_least + iterations_per_line * lines;
  job.iterations_max =
      static_cast<int>(std::min<std::size_t>(allowed, std::numeric_limits<int>::max()));
  for (std::size_t column = 0; column < program.columns.size(); ++column) {
    for (const LinearEntry& entry : program.columns[column]) {
      job.entry_rows.push_back(number(entry.row));
      job.entry_columns.push_back(number(column));
      job.coefficients.push_back(entry.coefficient);
    }
  }
  const bool is_done = run_guarded(job);
  glp_free_env();  // With it all that GLPK allocated, whichever way it left.
  if (!is_done) {
    return fail(ErrorCode::unavailable,
                fmt::format("{}: the solver gave up: {}", scope,
                            split(std::string_view(job.told.data()), '\n').front()));
  }
  if (auto fine = verdict(job); !fine) {
    return tl::unexpected(std::move(fine).error().within(scope));
  }
  return std::move(job.values);
}

}  // namespace dfaas
