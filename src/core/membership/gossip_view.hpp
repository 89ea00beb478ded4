// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What gossip says of members, kept within bounds: serf's lists and events in, hints out.
///
/// Guarantees  Whoever holds the gossip key may say anything, under as many names as it likes: what is kept is
///             bounded, and when it is full, whoever has most from one address loses one for the newcomer
///             of another. So nobody crowds out the members at other addresses.
/// Limits      A member that takes another's name before that one is there keeps it: gossip is a hint.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/membership/hint.hpp"
#include "core/membership/serf_rpc.hpp"

namespace dfaas {

/// The hint of a member of our federation. Errors: denied when it is of another one; conflict when it says that
/// it is us; invalid_input for anything that is no node.
Result<MemberHint> hint_of(const SerfMember& member, const NodeId& self,
                           const std::string& federation);

class GossipView {
 public:
  struct Settings {
    NodeId self;
    std::string federation;
    std::size_t members_max = 10'000;
  };
  struct Counters {
    std::size_t ignored_other_federation = 0;
    std::size_t ignored_malformed = 0;
    std::size_t ignored_copies_of_self = 0;
    std::size_t crowded_out = 0;
  };

  explicit GossipView(Settings settings) : settings_(std::move(settings)) {}

  /// All that serf knows: whom it does not name is gone.
  void replace(const std::vector<SerfMember>& members);
  /// "member-join", "member-update": they are there. Other events: they are gone.
  void apply(const SerfMembers& event);

  /// What changed since the last call, by key.
  std::vector<HintChange> take_changes();
  /// Sentences for operators about members that are not believed: each once, 100 at most.
  std::vector<std::string> take_complaints();
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t size() const { return hints_.size(); }
  /// Is somebody there who gossips at this HOST:PORT?
  [[nodiscard]] bool knows_gossip_at(const std::string& address) const;

 private:
  void put(const SerfMember& member);
  void remove(const std::string& key);
  void complain(const std::string& sentence);
  /// Makes room for one more of this group. False: it has most already.
  bool make_room(const std::string& group);

  Settings settings_;
  std::map<std::string, MemberHint> hints_;                ///< By key.
  std::map<std::string, std::set<std::string>> by_group_;  ///< Keys.
  std::map<std::string, MemberHint> reported_;             ///< As the last take_changes() left it.
  std::set<std::string> touched_;                          ///< Keys that may differ from it.
  std::set<std::string> complained_;
  std::vector<std::string> complaints_;
  Counters counters_;
};

}  // namespace dfaas
