// SPDX-License-Identifier: AGPL-3.0-or-later
#include "sim/world/node_ids.hpp"

#include <string>
#include <string_view>

namespace dfaas {
namespace {

constexpr std::string_view digits = "234567abcdefghijklmnopqrstuvwxyz";  // As characters sort.

}  // namespace

NodeId node_id_of(NodeIndex index) {
  std::string text(NodeId::length, digits.front());
  for (auto digit = text.rbegin(); index > 0; ++digit, index /= digits.size()) {
    *digit = digits[index % digits.size()];
  }
  return *NodeId::parse(text);
}

NodeIndex index_of(const NodeId& id) {
  constexpr std::size_t digits_max = 7;  // 32^7 nodes.
  NodeIndex index = 0;
  const std::string_view letters = id.view();
  for (const char letter : letters.substr(letters.size() - digits_max)) {
    index = index * digits.size() +
            static_cast<NodeIndex>(letter >= 'a' ? letter - 'a' + 6 : letter - '2');
  }
  return index;
}

}  // namespace dfaas
