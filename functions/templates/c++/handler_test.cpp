// SPDX-License-Identifier: Apache-2.0
// Run with: g++ -std=c++17 -o handler_test handler.cpp handler_test.cpp && ./handler_test
#include <cstdlib>
#include <iostream>

#include "handler.hpp"

void expect_answer(std::string_view body, std::string_view expected) {
  const std::string answer = handle(body);
  if (answer == expected) return;
  std::cerr << body << ": answered '" << answer << "', not '" << expected << "'\n";
  std::exit(1);
}

int main() {
  expect_answer("hello", "HELLO");
  expect_answer("", "");
  std::cout << "ok\n";
}
