// SPDX-License-Identifier: Apache-2.0
// Runs handler.cpp for one request: body on standard input, answer on standard output.
#include <exception>
#include <iostream>
#include <iterator>

#include "handler.hpp"

int main() {
  std::ios::sync_with_stdio(false);
  const std::string body{std::istreambuf_iterator<char>(std::cin),
                         std::istreambuf_iterator<char>()};
  try {
    std::cout << handle(body);
  } catch (const std::exception& problem) {
    std::cerr << problem.what() << '\n';
    return 1;
  }
}
