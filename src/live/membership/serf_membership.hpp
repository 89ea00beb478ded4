// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Membership by the serf beside this node: its members as hints, and addresses to join until somebody is there.
///
/// Guarantees  Neither serf's death nor anything that it says ends more than the link to it: it is made again, after
///             pauses from 100 ms to 5 s, and what was known stays known meanwhile. Addresses are joined again and
///             again, after pauses from 2 s to 60 s, while nobody is known there.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/membership/gossip_view.hpp"
#include "live/membership/membership.hpp"

namespace dfaas {

struct SerfSettings {
  std::filesystem::path agent_file;  ///< Read again for each connection: serf may have moved.
  std::filesystem::path log_file;    ///< Of serf; emptied when it has grown.
  NodeId self;
  std::string federation;
  std::string join;                 ///< Addresses, by ','.
  std::filesystem::path join_file;  ///< More of them, a line each; read again when it changes.
};

/// For operators.
struct SerfStatus {
  bool is_connected = false;
  std::size_t members = 0;  ///< Believed to be nodes of our federation, without ourselves.
  GossipView::Counters counters;
  std::map<std::string, std::string> not_joined;  ///< Why, by address.
};

class SerfMembership : public MembershipSource {
 public:
  SerfMembership(boost::asio::any_io_executor executor, SerfSettings settings);
  ~SerfMembership() override;
  SerfMembership(const SerfMembership&) = delete;
  SerfMembership& operator=(const SerfMembership&) = delete;
  SerfMembership(SerfMembership&&) = delete;
  SerfMembership& operator=(SerfMembership&&) = delete;

  std::vector<HintChange> poll() override;
  [[nodiscard]] SerfStatus status() const;
  /// Tells serf to say goodbye and end; does not wait for it.
  boost::asio::awaitable<void> leave();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
