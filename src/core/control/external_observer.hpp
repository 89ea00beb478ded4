// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What a model outside of the node is asked, out of what the gateway counted; and which of its answers
/// hold.
///
/// Use     Once a control period: questions() to ask, ExternalAnswers::take() for each good answer, then
///         hand ExternalAnswers::in_force() to the controller (event ExternalSaid).
/// Input   Counters of one gateway after the other; those of a new one (another boot) begin at zero.
/// Output  core/strategy/external_codec.hpp has the forms. `current` is the time since the last questions,
///         `previous` the time between the two before. What was not seen is 0.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/model/node_view.hpp"
#include "core/model/observation.hpp"
#include "core/strategy/external_codec.hpp"

namespace dfaas {

struct ExternalQuestion {
  FunctionName function;
  std::vector<NodeId> neighbours;  ///< Of whom the answer must speak; sorted.
  std::string json;                ///< The body of the request.
};

class ExternalObserver {
 public:
  /// One for each function that runs here or at a neighbour that is up, in order of their names.
  /// `cpu_ratio`: of the node's processor, since the last questions. `explore`: see the codec.
  std::vector<ExternalQuestion> questions(Instant now, const GatewayObservation& seen,
                                          const NodeView& view, double cpu_ratio, bool explore);

 private:
  /// A function at the last questions.
  struct Last {
    Instant at{};
    FunctionObservation seen;
    ExternalWindow window;
    std::map<NodeId, ExternalForwards> forwards;
  };

  std::string boot_;
  std::map<FunctionName, Last> functions_;
};

/// Good answers, each as long as it holds.
class ExternalAnswers {
 public:
  explicit ExternalAnswers(Micros keep) : keep_(keep) {}

  void take(const FunctionName& function, ExternalShares shares, Instant now);

  struct InForce {
    std::map<FunctionName, ExternalShares> shares;
    std::vector<FunctionName> expired;  ///< Since the last time.
  };
  InForce in_force(Instant now);

 private:
  struct Answer {
    ExternalShares shares;
    Instant at{};
  };

  Micros keep_;
  std::map<FunctionName, Answer> answers_;
};

}  // namespace dfaas
