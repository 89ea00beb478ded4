// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a source of membership says: here might be a node. Nothing of it is believed before it is proved.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/base/names.hpp"

namespace dfaas {

struct MemberHint {
  std::string key;    ///< Of this hint in its source: a line of the list, a name in gossip.
  std::string group;  ///< Whoever shares it shares one part of what is tried; empty for the list.
  NodeId id;          ///< As claimed; may be empty.
  std::string host;
  std::uint16_t port = 0;                     ///< Of its peer port.
  std::map<std::string, std::string> labels;  ///< "name": as claimed.

  friend bool operator==(const MemberHint&, const MemberHint&) = default;
};

struct HintChange {
  enum class Kind : std::uint8_t { appeared, changed, gone };
  Kind kind = Kind::appeared;
  MemberHint hint;

  friend bool operator==(const HintChange&, const HintChange&) = default;
};

}  // namespace dfaas
