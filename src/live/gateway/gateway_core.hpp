// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What the parts of the gateway share: deployed functions, calls in flight, counters.
///
/// Internal to live/gateway.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include "core/openfaas/asynchronous.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/route.hpp"
#include "core/openfaas/scaling.hpp"
#include "live/async/async_queue.hpp"
#include "live/gateway/decision_log.hpp"
#include "live/gateway/function_logs.hpp"
#include "live/gateway/gateway.hpp"
#include "live/gateway/metrics.hpp"
#include "live/gateway/recording.hpp"
#include "live/gateway/secret_store.hpp"
#include "live/net/task_group.hpp"
#include "live/runtime/command.hpp"
#include "live/runtime/function_host.hpp"
#include "live/runtime/function_store.hpp"

namespace dfaas {

/// Where a request of this node has got to.
struct Call {
  explicit Call(boost::asio::any_io_executor executor)
      : wake(executor), deadline_timer(executor), upload_timer(executor) {}

  RequestId id = 0;
  std::string call_id;
  FunctionName function;
  std::string path;  ///< Behind the function's name.
  std::string query;
  std::string label;  ///< For metrics: "name.namespace", or "unknown".
  RequestHead head;
  ServerConnection* connection = nullptr;
  Instant arrived;
  Instant deadline;
  NodeId from;  ///< The neighbour that sent it; empty for users.
  std::string from_name;
  bool explain = false;
  std::vector<DecisionStep> steps;
  std::uint64_t recorded_as = 0;  ///< Its number in recordings; 0: nobody recorded when it came.
  std::optional<Instant> slot_since;  ///< While somebody records: when a waiting call got its slot.

  std::string body;            ///< What was read ahead.
  bool body_complete = false;  ///< `body` is all of it.
  std::uint64_t body_bytes = 0;

  /// Cancelled when something happened to a waiting call.
  boost::asio::steady_timer wake;
  boost::asio::steady_timer deadline_timer;
  boost::asio::steady_timer upload_timer;
  /// How long more of the body may be waited for; each byte earns a little, up to this much.
  static constexpr Micros upload_patience_max{5'000'000};
  Micros upload_patience = upload_patience_max;
  std::function<void()> abort;    ///< Ends what the call is waiting for now.
  bool started = false;           ///< Left the queue for a slot.
  bool removed = false;           ///< Left the queue because its function was removed.
  std::optional<Decision> moved;  ///< Left the queue because nothing runs here any more.
  bool gone = false;              ///< The user hung up.
  bool late = false;              ///< The deadline passed.
  bool too_large = false;         ///< More body came than is allowed.
  bool too_slow = false;          ///< The body did not come in time.
  bool peer_lost = false;         ///< The neighbour that has it was lost.
  bool answer_begun = false;

  /// Of an upload that was wanted and failed: unless the call says why, the user left.
  void upload_failed() { gone = gone || !(too_slow || too_large); }
  [[nodiscard]] bool over() const { return gone || late || too_large || too_slow; }
  void interrupt() {
    wake.cancel();
    if (abort) abort();
  }
};

using CallPtr = std::shared_ptr<Call>;

/// With status 408.
inline constexpr std::string_view too_slow_text = "the request body did not come in time\n";

/// Until the deadline of the call; at least 1 ms.
Millis time_left(const CallPtr& call);

/// From now on a user who hangs up ends the call.
void watch_hangup(const CallPtr& call);

/// The next piece of a body of which the first was read ahead, while the call holds a slot; 0 at its end. An
/// error when it comes too slowly or is too large, which the call says then, or breaks off.
boost::asio::awaitable<Result<std::size_t>> read_upload(const GatewaySettings* settings,
                                                        CallPtr call, std::span<char> piece);

/// How a call ended.
struct CallEnd {
  GatewayMetrics::End end = GatewayMetrics::End::failed;
  std::string by;  ///< "here", a neighbour's name, or the reason.
  int status = 0;
  std::optional<Micros> service_time;  ///< Of a local run.
  bool not_run = false;  ///< Nothing of it ran, and nothing was answered: it may go elsewhere.
};

struct DeployedFunction {
  FunctionDeployment deployment;
  FunctionTraits traits;
  std::string digest;
  std::string created_at;  ///< RFC 3339.
  ScalingLabels scaling;
  RetryPolicy retry;
  std::optional<int> max_inflight;  ///< Of one replica.
  int replicas = 1;                 ///< Wanted.
  int slots = 1;                    ///< 0: it cannot run here now.
  int ready = 0;                    ///< Replicas of a platform that can take calls.
  int ready_told = 0;               ///< Replicas that are ready, as the agent was told last.
  std::filesystem::path secrets;    ///< Directory with the function's secrets; empty without any.
  RunPlan plan;
  std::uint64_t change = 0;  ///< Which deployment made it so.

  [[nodiscard]] std::string image_digest() const { return plan.image ? plan.image->digest : ""; }
};

/// What the agent wants to know of a function beside what the dispatcher counts, with the same names.
struct AnswerCounters {
  std::uint64_t kept = 0;
  std::uint64_t kept_good = 0;
  std::uint64_t served_here = 0;
  Micros served_here_time{0};
  struct Peer {
    std::uint64_t good = 0;
    Micros answer_time{0};
  };
  std::map<NodeId, Peer> peers;
};

/// How many calls `replicas` of the function carry at once.
int slots_with(const GatewaySettings& settings, const DeployedFunction& function, int replicas);

/// Idle connections to one place: the front door's egress socket, or a platform.
class ConnectionPool {
 public:
  explicit ConnectionPool(Endpoint endpoint, std::shared_ptr<const TlsClient> tls = nullptr)
      : endpoint_(std::move(endpoint)), tls_(std::move(tls)) {}

  struct Taken {
    ClientConnection connection;
    bool is_fresh = true;
  };
  boost::asio::awaitable<Result<Taken>> take(Millis patience);
  void give_back(ClientConnection connection);
  void clear() { idle_.clear(); }

 private:
  static constexpr std::size_t idle_max = 256;
  Endpoint endpoint_;
  std::shared_ptr<const TlsClient> tls_;  ///< Null for none.
  std::vector<ClientConnection> idle_;
};

class Platform;

struct GatewayCore {
  GatewayCore(boost::asio::any_io_executor executor_, GatewaySettings settings_,
              FunctionStore store_, SecretStore secrets_, std::unique_ptr<AsyncQueue> async_,
              std::unique_ptr<ImageStore> images_, std::unique_ptr<FunctionHost> runner_);
  ~GatewayCore();
  GatewayCore(const GatewayCore&) = delete;
  GatewayCore& operator=(const GatewayCore&) = delete;
  GatewayCore(GatewayCore&&) = delete;
  GatewayCore& operator=(GatewayCore&&) = delete;

  GatewaySettings settings;
  boost::asio::any_io_executor executor;
  FunctionStore store;
  SecretStore secrets;
  FunctionLogs logs;
  std::map<std::string, Namespace> namespaces;  ///< Those that were made.
  std::unique_ptr<AsyncQueue> async;
  std::unique_ptr<ImageStore> images;
  /// Of functions that the database has and that could not be deployed: kept on disk for the next start.
  std::map<FunctionName, ImagePtr> reserved_images;
  /// Exactly one of the two is there: who runs the functions of this node.
  std::unique_ptr<FunctionHost> runner;
  std::unique_ptr<Platform> platform;
  Dispatcher dispatcher;
  GatewayMetrics metrics;
  std::optional<MembershipSummary> membership;  ///< As the agent told it last; none before.
  DecisionLog decisions;
  Recordings recordings;
  ConnectionPool egress;
  std::string boot;
  std::map<FunctionName, DeployedFunction> functions;
  std::map<FunctionName, AnswerCounters> answers;  ///< Of functions that the dispatcher knows.
  std::unordered_map<RequestId, CallPtr> calls;
  RequestId next_id = 1;
  std::uint64_t next_change = 1;  ///< Deployments in the order they came.
  std::uint64_t version = 1;      ///< Of functions, slots and replicas that are ready.
  std::vector<std::shared_ptr<boost::asio::steady_timer>> watchers;  ///< Of `version`.
  bool draining = false;
  std::function<void()> on_idle;  ///< Set while somebody waits for the last call to end.

  void tell_if_idle();
  /// Functions, slots or replicas that are ready changed: whoever watches is told.
  void tell_change();
  /// Hands out what the dispatcher started or refused meanwhile. After every call that frees a slot.
  void pump();
  /// Deploys into the running gateway; the caller has stored it.
  void put(DeployedFunction function);
  void erase(const FunctionName& function);
  /// Can the node serve its users at all?
  [[nodiscard]] bool is_healthy() const;
  /// After the number of its replicas, or of those that are ready, changed.
  void adjust_slots(const FunctionName& name);
  /// Stores and puts in force another number of replicas, which the caller has checked.
  Result<void> scale(const FunctionName& function, int replicas);
  [[nodiscard]] std::string name_of(const NodeId& peer) const;
  /// Everything that the agent is told.
  [[nodiscard]] GatewayObservation observe();
};

/// That can take calls now.
int available_replicas(const GatewayCore& core, const DeployedFunction& function);

Instant now();
WallTime wall_now();
std::string rfc3339_now();
std::string make_call_id();
/// The caller's own id, if it can do no harm in logs and headers; else a new one.
std::string choose_call_id(const Headers& headers);

/// Serves one function call to its end, and records it. `head` is the request's.
boost::asio::awaitable<void> serve_function_call(GatewayCore* core, ServerConnection* connection,
                                                 RequestHead head, FunctionCallRoute route,
                                                 NodeId from);

/// Runs the function here; the slot is taken.
boost::asio::awaitable<CallEnd> run_here(GatewayCore* core, CallPtr call);

/// What became of one try at a neighbour.
struct ForwardEnd {
  enum class Kind : unsigned char {
    answered,     ///< The user has the answer, or as much of it as came.
    not_started,  ///< Safe to go elsewhere.
    lost,         ///< It may have run.
    over,         ///< The user left or the deadline passed.
  };
  Kind kind = Kind::not_started;
  Outcome outcome = Outcome::unreachable;
  bool replayable = false;
  int status = 0;
  bool complete = true;  ///< With answered: the whole answer came.
};

/// Offers the call to the neighbour `peer`, whose window has a place for it.
boost::asio::awaitable<ForwardEnd> forward_to(GatewayCore* core, CallPtr call, NodeId peer);

/// Takes, tells of or cancels an asynchronous call.
boost::asio::awaitable<void> serve_async(GatewayCore* core, ServerConnection* connection,
                                         RequestHead head, AsyncFunctionRoute route);

/// Answers a request under /system, /healthz, /metrics or the agent's paths.
boost::asio::awaitable<void> serve_system(GatewayCore* core, ServerConnection* connection,
                                          RequestHead head, Route route);
boost::asio::awaitable<void> serve_admin(GatewayCore* core, ServerConnection* connection,
                                         RequestHead head);
boost::asio::awaitable<void> serve_control(GatewayCore* core, ServerConnection* connection,
                                           RequestHead head);

/// Tells what happens until the reader leaves: GET /v1/recording of the control socket.
boost::asio::awaitable<void> serve_recording(GatewayCore* core, ServerConnection* connection);

/// A deployed function as recordings tell of it.
RecordedFunction recorded_function(const GatewayCore& core, const DeployedFunction& function);

/// Says which node answers: its id, and its name as the original prototype's plots expect it.
void add_server_headers(Headers& headers, const NodeId& id, const std::string& name);

/// 200 when this node can run functions, else 503; signed, so that a client learns whom it talks to.
boost::asio::awaitable<void> respond_health(const GatewayCore* core, ServerConnection* connection);

/// A short plain-text answer.
boost::asio::awaitable<void> respond_text(ServerConnection* connection, int status,
                                          std::string text);
boost::asio::awaitable<void> respond_json(ServerConnection* connection, int status,
                                          std::string text);

/// Why a request body is refused with 413.
std::string too_large_text(const GatewaySettings& settings);

/// The whole body as text; overloaded when it is over `bytes_max`.
boost::asio::awaitable<Result<std::string>> read_whole_body(ServerConnection* connection,
                                                            std::uint64_t bytes_max);

/// Does `head` carry these basic credentials? In constant time of the lengths given.
bool is_authorized(const RequestHead& head, const std::string& user, const std::string& password);

/// Checks and prepares a deployment for this node. Changes nothing but the function's directory of secrets.
/// `replicas` are those it had before, `container` is its image if that is one of a container.
Result<DeployedFunction> prepare(GatewayCore& core, FunctionDeployment deployment,
                                 std::string created_at, std::optional<int> replicas,
                                 ImagePtr container);

/// The image of a deployment, unpacked; null for one that needs none. Errors: as ImageStore::get(), naming the function.
boost::asio::awaitable<Result<ImagePtr>> fetch_container(GatewayCore* core,
                                                         FunctionDeployment deployment);

}  // namespace dfaas
