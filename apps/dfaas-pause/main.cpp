// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A function that takes as long as its caller says: microseconds on standard input, times the number in the
/// file that FACTOR_FILE names, if it is there.
///
/// Errors  Status 2 with a sentence where the input is no number of microseconds up to a day.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

constexpr double micros_max = 86'400e6;
constexpr long nanos_per_second = 1'000'000'000;

double factor() {
  const char* name = std::getenv("FACTOR_FILE");  // NOLINT: there is one thread.
  FILE* file = name == nullptr ? nullptr : std::fopen(name, "r");
  if (file == nullptr) return 1;
  double value = 1;
  const bool is_read = std::fscanf(file, "%lf", &value) == 1;  // NOLINT: checked below.
  std::fclose(file);
  return is_read && value >= 1 && value <= 1e6 ? value : 1;
}

}  // namespace

int main() {
  timespec until{};
  ::clock_gettime(CLOCK_MONOTONIC, &until);
  double micros = 0;
  const bool is_read = std::scanf("%lf", &micros) == 1;  // NOLINT: checked here.
  if (!is_read || !(micros >= 0 && micros <= micros_max)) {
    std::fputs("the body is not a number of microseconds from 0 to 86400000000\n", stderr);
    return 2;
  }
  const auto nanos = static_cast<long long>(micros * 1000 * factor()) + until.tv_nsec;
  until.tv_sec += static_cast<time_t>(nanos / nanos_per_second);
  until.tv_nsec = static_cast<long>(nanos % nanos_per_second);
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) continue;
  std::puts("done");
  return 0;
}
