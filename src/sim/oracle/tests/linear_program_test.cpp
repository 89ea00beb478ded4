// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Programs small enough to solve by eye, and every way in which a solver says no.
#include "sim/oracle/linear_program.hpp"

#include <limits>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dfaas {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;

/// Two kinds of cake of 1 and 3 eggs, 12 eggs, no more than 8 cakes.
LinearProgram cakes() {
  return {.rows = {{.upper = 12}, {.upper = 8}}, .columns = {{{0, 1}, {1, 1}}, {{0, 3}, {1, 1}}}};
}

Result<std::vector<double>> maximise_one(const LinearProgram& program, LinearObjective objective) {
  return maximise(program, std::vector<LinearObjective>{std::move(objective)});
}

/// "not_found" and so on stand for themselves in what a failing test prints.
Error error_of(const Result<std::vector<double>>& result) {
  return result ? Error{ErrorCode::conflict, "none"} : result.error();
}

TEST(LinearProgram, FindsTheBestCorner) {
  EXPECT_THAT(*maximise_one(cakes(), {1, 2}),
              ElementsAre(DoubleNear(6, 1e-9), DoubleNear(2, 1e-9)));
}

TEST(LinearProgram, GoesOnFromTheFirstObjectiveToTheNext) {
  const auto values = maximise(cakes(), std::vector<LinearObjective>{{1, 2}, {0, 1}});
  EXPECT_THAT(*values, ElementsAre(DoubleNear(0, 1e-9), DoubleNear(4, 1e-9)));
}

TEST(LinearProgram, FindsTheSameFromAnotherStart) {
  LinearProgram program = cakes();
  program.basic_columns = {1};
  program.tight_rows = {0};
  EXPECT_EQ(*maximise_one(program, {1, 2}), *maximise_one(cakes(), {1, 2}));
}

TEST(LinearProgram, OfNothingIsNothing) {
  EXPECT_TRUE(maximise_one(LinearProgram{}, {})->empty());
  EXPECT_TRUE(maximise_one({.rows = {{.upper = 1}}}, {})->empty());
}

TEST(LinearProgram, SaysThatNothingSatisfiesIt) {
  LinearProgram program = cakes();
  program.rows.push_back({.lower = 9});
  for (auto& column : program.columns) column.push_back({2, 1});
  for (const auto& result :
       {maximise_one(program, {1, 2}), maximise_one({.rows = {{.lower = 1}}}, {})}) {
    EXPECT_EQ(error_of(result).code, ErrorCode::not_found);
    EXPECT_THAT(error_of(result).message, HasSubstr("infeasible"));
  }
}

TEST(LinearProgram, SaysThatNothingBoundsIt) {
  LinearProgram program = cakes();
  program.columns.emplace_back();
  const LinearProgram no_rows{.columns = {{}}};
  for (const auto& result : {maximise_one(program, {1, 2, 1}), maximise_one(no_rows, {1})}) {
    EXPECT_EQ(error_of(result).code, ErrorCode::not_found);
    EXPECT_THAT(error_of(result).message, HasSubstr("unbounded"));
  }
  EXPECT_THAT(*maximise_one(no_rows, {-1}), ElementsAre(0));
}

TEST(LinearProgram, SaysThatItTookTooLong) {
  LinearProgram program = cakes();
  program.iterations_max = 1;
  const auto result = maximise_one(program, {1, 2});
  EXPECT_EQ(error_of(result).code, ErrorCode::timed_out);
  EXPECT_THAT(error_of(result).message, HasSubstr("no optimum after 1 iterations"));
}

/// GLPK would print and abort on this one, were it let.
TEST(LinearProgram, OutlivesWhatTheSolverAbortsOnAndPrintsNothing) {
  LinearProgram program = cakes();
  program.columns[0].push_back({0, 5});
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const auto result = maximise_one(program, {1, 2});
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(error_of(result).code, ErrorCode::unavailable);
  EXPECT_THAT(error_of(result).message, HasSubstr("the solver gave up: "));
  EXPECT_THAT(error_of(result).message, HasSubstr("duplicate"));
  EXPECT_TRUE(maximise_one(cakes(), {1, 2})) << "and works on";
}

TEST(LinearProgram, RefusesWhatIsNoProgram) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refuses = [](const LinearProgram& program, LinearObjective objective) {
    return error_of(maximise_one(program, std::move(objective))).code == ErrorCode::invalid_input;
  };
  EXPECT_TRUE(refuses(cakes(), {1}));
  EXPECT_TRUE(refuses(cakes(), {1, nan}));
  LinearProgram program = cakes();
  program.rows[0] = {.lower = 2, .upper = 1};
  EXPECT_TRUE(refuses(program, {1, 2}));
  program = cakes();
  program.rows[0].upper = nan;
  EXPECT_TRUE(refuses(program, {1, 2}));
  program = cakes();
  program.columns[0][0].row = 2;
  EXPECT_TRUE(refuses(program, {1, 2}));
  program = cakes();
  program.columns[0][0].coefficient = nan;
  EXPECT_TRUE(refuses(program, {1, 2}));
  program = cakes();
  program.basic_columns = {2};
  program.tight_rows = {0};
  EXPECT_TRUE(refuses(program, {1, 2}));
  program.tight_rows = {};
  EXPECT_TRUE(refuses(program, {1, 2}));
}

TEST(LinearProgram, SaysThatItCannotStartThere) {
  const LinearProgram program{.rows = {{.upper = 1}, {.upper = 2}},
                              .columns = {{{0, 1}, {1, 1}}, {{0, 1}, {1, 1}}},
                              .basic_columns = {0, 1},
                              .tight_rows = {0, 1}};
  EXPECT_EQ(error_of(maximise_one(program, {1, 1})).code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace dfaas
