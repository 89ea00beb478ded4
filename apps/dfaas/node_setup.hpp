// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Making a node's directory and running the programs in it: what `dfaas node` and `dfaas demo` share.
#pragma once

#include <sys/socket.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/programs.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "live/node/node_directory.hpp"
#include "live/node/supervisor.hpp"

namespace dfaas {

struct NodeInit {
  std::filesystem::path directory;
  std::string name;
  std::filesystem::path authority;  ///< Empty: a new one in `<directory>/ca`.
  std::string organisation;         ///< Of that new one; empty: as `name`.
  std::vector<std::string> overrides;
  int certificate_days = 7;
  std::filesystem::path gossip_keys;  ///< Of a member, to be copied; empty: a new key.
};

/// In the directories of programs of the system; empty where it is in none.
std::string find_program(std::string_view name);
/// Is the address of this setting free? Tried by binding it. `socket_type`: SOCK_STREAM or SOCK_DGRAM. Errors:
/// conflict, naming it.
Result<void> check_port(const Settings& settings, std::string_view name,
                        int socket_type = SOCK_STREAM);

/// Makes everything a node needs, or nothing. Errors: conflict when the directory is not empty.
Result<NodeId> init_node(const NodeInit& init);

struct MadeIdentity {
  NodeId id;
  std::map<std::string, std::string>
      settings{};                          ///< Of the federation, where `overrides` say nothing.
  std::vector<std::string> gossip_keys{};  ///< Empty: as NodeInit says.
};
/// Key, certificate, authorities and the list of neighbours of a directory under way.
using MakeIdentity = std::function<Result<MadeIdentity>(const NodeDirectory& draft)>;
/// The same with an identity that comes from elsewhere.
Result<NodeId> init_node(const NodeInit& init, const MakeIdentity& make_identity);

/// The HAProxy to run; `chosen` is the setting haproxy.program. Errors: not_found, unavailable when it is too old.
Result<std::string> find_haproxy(const std::string& chosen);

/// A node whose programs run. Destroy it only after stop().
class RunningNode {
 public:
  /// Checks settings, HAProxy and ports, then makes the sockets. Errors: one sentence each.
  static Result<std::unique_ptr<RunningNode>> prepare(boost::asio::any_io_executor executor,
                                                      const NodeOptions& options);
  ~RunningNode();
  RunningNode(const RunningNode&) = delete;
  RunningNode& operator=(const RunningNode&) = delete;
  RunningNode(RunningNode&&) = delete;
  RunningNode& operator=(RunningNode&&) = delete;

  void start(std::function<void(Result<void>)> done);
  /// HAProxy, agent and gateway are replaced in turn, without a lost call, by what their programs and the
  /// settings are now. Errors: one sentence; what could not be replaced goes on.
  void reload(std::function<void(Result<void>)> done);
  void stop(std::function<void()> done);
  [[nodiscard]] const NodeIdentity& identity() const;
  [[nodiscard]] const Supervisor& supervisor() const;

 private:
  struct State;
  explicit RunningNode(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
