// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// An open-loop load generator: requests go out when the plan says, whatever became of earlier ones.
///
/// Use         make(), start(), run the loop; on_done comes once, also after cancel(). Keep the object
///             until then. One thread.
/// Output      A LoadSecond for each second of the run, in order, when its last request has ended; then
///             the report. Latency counts from the intended send time, so a server that stalls shows
///             in every request that was due meanwhile, not only in the one it held.
/// Guarantees  A request is sent once. The exception: a GET or HEAD on a kept connection that the server
///             closed without a byte of answer goes out again on a fresh one, within the same time
///             limit, and is counted in `retried`. Other methods may have run: they are not repeated,
///             and count as transport errors. To make that rare, a connection that was idle for 4 s
///             is not used again.
/// Limits      plan.outstanding_max open requests, or what the limit on file descriptors leaves; each
///             takes a descriptor and some kB. One more is not sent: it is a transport error.
/// Errors      Only to begin with: invalid_input for the plan, unavailable for a target that nobody
///             listens at (unless the phase says which node to expect), conflict for another node.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>

#include "core/base/result.hpp"
#include "core/workload/plan.hpp"
#include "core/workload/results.hpp"
#include "core/workload/schedule.hpp"
#include "core/workload/tally.hpp"

namespace dfaas {

struct LoadRun;

class LoadGenerator {
 public:
  using OnSecond = std::function<void(const LoadSecond&)>;
  /// A request that came to its end; `status` is 0 where there was no complete answer.
  using OnEnd =
      std::function<void(const LoadArrival& arrival, const LoadOutcome& outcome, int status)>;
  using OnDone = std::function<void(Result<LoadReport>)>;

  /// The executor must be that of a loop with one thread.
  static Result<std::unique_ptr<LoadGenerator>> make(boost::asio::any_io_executor executor,
                                                     LoadPlan plan);
  ~LoadGenerator();
  LoadGenerator(const LoadGenerator&) = delete;
  LoadGenerator& operator=(const LoadGenerator&) = delete;
  LoadGenerator(LoadGenerator&&) = delete;
  LoadGenerator& operator=(LoadGenerator&&) = delete;

  /// Told of each request as it ends. Before start().
  void on_end(OnEnd on_end);
  /// The run begins then, not as soon as the targets have answered. Before start().
  void begin_at(std::chrono::steady_clock::time_point when);
  /// Asks each target at /healthz who it is, then follows the plan. Once.
  void start(OnSecond on_second, OnDone on_done);
  /// Sends nothing more and gives up what is open; the report is of what had ended by then.
  void cancel();

 private:
  explicit LoadGenerator(std::unique_ptr<LoadRun> run);
  std::unique_ptr<LoadRun> run_;
};

/// Lets this process open as many descriptors as its hard limit allows: the soft one is often 1024,
/// too few for a load that waits.
void raise_descriptor_limit();

}  // namespace dfaas
