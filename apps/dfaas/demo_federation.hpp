// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The three nodes of the demo: made, started, furnished with functions, steered and stopped.
///
/// They are ordinary nodes: each runs as `dfaas node run` in a directory of its own, with its own
/// HAProxy, gateway and agent, and is spoken to over the same sockets that operators use.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "live/net/http.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {

struct DemoNode {
  std::string name;
  int slots = 0;  ///< Of the loaded function.
  NodeDirectory directory{"."};
  Endpoint user;  ///< Where users call functions.
  NodeId id;
};

/// What the demo deploys everywhere.
struct DemoFunction {
  std::string name;
  std::string process;
  bool is_loaded =
      false;  ///< Its slots are the node's; the others have as many as there are cores.
};
const std::vector<DemoFunction>& demo_functions();

/// The function under load, and how long one run of it takes, on any machine.
inline constexpr std::string_view demo_loaded_function = "pause";
inline constexpr Millis demo_run_time{200};

struct DemoPlace {
  std::filesystem::path directory;  ///< Must not exist yet, or be empty.
  int user_port = 8081;             ///< Of the first node; the others follow. 0: any that are free.
};

/// What a function answered.
struct DemoAnswer {
  std::string text;
  std::string served_by;
  Micros took{0};
};

class DemoFederation {
 public:
  /// Makes authority, directories and certificates. Errors: conflict or unavailable, naming what.
  static Result<std::unique_ptr<DemoFederation>> make(boost::asio::any_io_executor executor,
                                                      const DemoPlace& place);
  ~DemoFederation();
  DemoFederation(const DemoFederation&) = delete;
  DemoFederation& operator=(const DemoFederation&) = delete;
  DemoFederation(DemoFederation&&) = delete;
  DemoFederation& operator=(DemoFederation&&) = delete;

  [[nodiscard]] const std::vector<DemoNode>& nodes() const;

  /// Returns when every node serves and has proved every other. `is_up` hears of each node.
  boost::asio::awaitable<Result<void>> start(std::function<void(const DemoNode&)> is_up);
  /// Returns when every node has them and knows that the others do.
  boost::asio::awaitable<Result<void>> deploy();
  /// Calls a function of one node, as a user.
  boost::asio::awaitable<Result<DemoAnswer>> call(std::size_t node, std::string function,
                                                  std::string body);
  /// Returns when every gateway works by a plan of this strategy.
  boost::asio::awaitable<Result<void>> use_strategy(std::string name);

  /// Stops the nodes in order, then calls back; nothing is left running.
  void stop(std::function<void()> done);
  /// The last lines that a node logged, for a failure.
  [[nodiscard]] std::string last_log_lines() const;

 private:
  struct State;
  explicit DemoFederation(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
