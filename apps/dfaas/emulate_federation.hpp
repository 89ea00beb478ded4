// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The nodes of a scenario as real ones: each `dfaas node run` on a machine of its own (live/netem), linked as
/// the scenario says, with its functions deployed.
///
/// Guarantees  However the program ends, the machines, their networks and their control groups end with it.
/// Limits      emulated_nodes_max; what a scenario says that cannot be emulated is an Error, or a note.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"
#include "live/netem/janitor.hpp"
#include "live/netem/machine.hpp"
#include "live/netem/network_namespace.hpp"
#include "live/node/node_directory.hpp"

namespace dfaas {

/// Guessed: each takes about 60 MB and four processes.
inline constexpr std::size_t emulated_nodes_max = 40;
inline constexpr std::uint16_t emulated_user_port = 8080;

struct EmulatedNode {
  std::string name;
  std::string address;
  NodeDirectory directory{"."};
  NodeId id;
  NetworkNamespace network;
  std::vector<std::string> groups;
  std::unique_ptr<Machine> machine;
  bool is_on = false;     ///< It should be running.
  int crashes = 0;        ///< That are under way: they may overlap.
  int frozen_agents = 0;  ///< The same.
  std::vector<double> slowdowns;
};

struct EmulationPlace {
  std::filesystem::path directory;  ///< Empty.
  std::string strategy;
  Millis period{2'000};  ///< Of control.
  std::uint64_t seed = 1;
};

/// Can this scenario be emulated? Errors: invalid_input, saying what cannot.
Result<void> check_emulation(const Scenario& scenario);
/// What the emulator does otherwise than the simulator, a sentence each.
std::vector<std::string> emulation_notes(const Scenario& scenario);

class EmulatedFederation {
 public:
  /// Makes networks, authorities, directories and certificates. `scenario` must outlive this. Errors:
  /// denied, not_found, conflict or unavailable, naming what.
  static Result<std::unique_ptr<EmulatedFederation>> make(boost::asio::any_io_executor executor,
                                                          const Scenario& scenario,
                                                          const EmulationPlace& place,
                                                          Janitor& janitor);
  ~EmulatedFederation();
  EmulatedFederation(const EmulatedFederation&) = delete;
  EmulatedFederation& operator=(const EmulatedFederation&) = delete;
  EmulatedFederation(EmulatedFederation&&) = delete;
  EmulatedFederation& operator=(EmulatedFederation&&) = delete;

  [[nodiscard]] const std::vector<EmulatedNode>& nodes() const;
  [[nodiscard]] FrameSwitch& wires();
  [[nodiscard]] std::optional<NodeIndex> find(std::string_view name) const;

  /// Returns when every node has proved every node it is linked to.
  boost::asio::awaitable<Result<void>> start();
  /// Returns when every node has its functions and knows of its neighbours'.
  boost::asio::awaitable<Result<void>> deploy();

  /// As if the plug were pulled, and put back: crashes that overlap end with the last. Errors: unavailable,
  /// when the machine could not be started again.
  void power_off(NodeIndex node);
  Result<void> power_on(NodeIndex node, const std::map<std::string, std::string>& environment = {});
  /// Asks the node to stop, as an operator does, and returns when its last process has ended. Errors:
  /// timed_out, and it runs on.
  boost::asio::awaitable<Result<void>> stop(NodeIndex node);
  /// Returns when the node takes calls.
  boost::asio::awaitable<Result<void>> await_node(NodeIndex node);
  /// Mends the link of the two, both ways, but for what the plug of a node without power holds.
  void heal(NodeIndex a, NodeIndex b);
  void begin(const ScenarioFault& fault);
  Result<void> end(const ScenarioFault& fault);

  /// Told of a machine that ended by itself.
  std::function<void(NodeIndex node)> on_lost;

  /// The last lines that a node logged, for a failure.
  [[nodiscard]] std::string last_log_lines() const;

 private:
  struct State;
  explicit EmulatedFederation(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
