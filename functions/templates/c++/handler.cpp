// SPDX-License-Identifier: Apache-2.0
#include "handler.hpp"

#include <algorithm>
#include <cctype>

std::string handle(std::string_view body) {
  std::string answer(body);
  std::transform(answer.begin(), answer.end(), answer.begin(),
                 [](unsigned char letter) { return std::toupper(letter); });
  return answer;
}
