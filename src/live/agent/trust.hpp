// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Keeps this node believed by others, and up to date on whom it believes itself.
///
/// Its certificate is renewed in time and changed over without a lost connection: neighbours hear of the next one
/// before it is used. Authorities and revoked nodes may change at any time; lists of revoked nodes are passed on.
/// On the node that holds the authority, nodes join and renew.
///
/// Guarantees  Nothing of a peer is taken that its authority did not sign. What cannot be read changes nothing and
///             is told once.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "live/haproxy/front_door.hpp"
#include "live/net/http.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {

struct TrustSettings {
  NodeDirectory directory{"."};
  NodeId self;
  std::string organisation;
  std::chrono::minutes validity{};  ///< Of certificates that are given here.
  std::string join_address;         ///< Written into invitations; may be empty.
  int peer_port = 0;
  std::filesystem::path peers_file;  ///< Nodes that join are added to it.
  /// Settings for them, if members find each other by gossip; they get its keys, too.
  std::map<std::string, std::string> gossip;
};

/// What it needs of the agent around it.
struct TrustHooks {
  std::function<std::vector<NodeId>()> neighbours_up;
  /// POST of JSON or PEM to a neighbour; the status, or why there is none.
  std::function<boost::asio::awaitable<Result<HttpReply>>(NodeId, std::string target, std::string)>
      post;
  /// Whoever of the neighbours is no longer believed must go at once, and be proved again.
  std::function<void()> on_change;
};

class Trust {
 public:
  struct JoinCall {
    std::string target;
    std::string certificate;  ///< That the front door saw, base64 DER; empty for none.
    std::string from;         ///< Numeric address.
    std::string body;
  };
  struct Answer {
    int status = 200;
    std::string json = "{}";
  };

  /// Reads what is on disk. Errors: as TrustBundle::read(), naming the file.
  static Result<std::unique_ptr<Trust>> start(boost::asio::any_io_executor executor,
                                              TrustSettings settings, FrontDoor* front_door,
                                              TrustHooks hooks);
  ~Trust();
  Trust(const Trust&) = delete;
  Trust& operator=(const Trust&) = delete;
  Trust(Trust&&) = delete;
  Trust& operator=(Trust&&) = delete;

  /// Why this node is not believed; empty when it is.
  [[nodiscard]] std::string complaint_of(const NodeId& id, const std::string& organisation) const;
  /// It hears which nodes are revoked.
  void greet(const NodeId& neighbour);

  /// POST /dfaas/v1/certificate and /dfaas/v1/revocations of a proved neighbour.
  [[nodiscard]] static bool is_for_peers(const std::string& target);
  boost::asio::awaitable<Answer> answer_peer(NodeId from, std::string target, std::string body);
  /// POST /dfaas/v1/join and /dfaas/v1/renew.
  Answer answer_join(const JoinCall& call);
  /// GET /v1/trust; POST /v1/invitations; PUT /v1/revocations, a signed list.
  [[nodiscard]] static bool is_local(const std::string& target);
  Answer answer_local(const std::string& method, const std::string& target,
                      const std::string& body);

  void stop();

 private:
  struct State;
  explicit Trust(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
