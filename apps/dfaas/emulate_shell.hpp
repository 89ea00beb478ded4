// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// `dfaas emulate --shell`: an emulated federation at one's fingertips.
///
/// Input  Lines of standard input; what is wrong with one is told in a sentence, and the next one is read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "apps/dfaas/emulate_federation.hpp"
#include "apps/dfaas/emulate_users.hpp"
#include "core/base/result.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

class EmulationShell {
 public:
  /// All must outlive this.
  EmulationShell(boost::asio::any_io_executor executor, EmulatedFederation& federation,
                 const Scenario& scenario, std::uint64_t seed);
  ~EmulationShell();
  EmulationShell(const EmulationShell&) = delete;
  EmulationShell& operator=(const EmulationShell&) = delete;
  EmulationShell(EmulationShell&&) = delete;
  EmulationShell& operator=(EmulationShell&&) = delete;

  /// Until `quit` or the end of the input: how many commands failed.
  boost::asio::awaitable<int> run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
