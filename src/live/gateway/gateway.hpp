// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The gateway: decides per request by the last plan, runs functions, forwards what does not fit.
///
/// It speaks plain HTTP/1.1 on local unix sockets only: the front door brings users and neighbours, the
/// agent its plans. The rules are core/dataplane; the OpenFaaS API is core/openfaas as data.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>

#include "core/base/instant.hpp"
#include "core/base/names.hpp"
#include "core/base/result.hpp"
#include "core/dataplane/dispatcher.hpp"
#include "live/images/image_store.hpp"
#include "live/net/http.hpp"
#include "live/net/listener.hpp"
#include "live/runtime/replica_spec.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {

/// An OpenFaaS gateway or faasd that somebody else runs.
struct PlatformSettings {
  std::string url;  ///< For people.
  Endpoint endpoint;
  std::shared_ptr<const TlsClient> tls;  ///< Null for http.
  std::string host;                      ///< What the header Host says.
  std::string path;                      ///< In front of /function and /system: "" or "/prefix".
  std::string user;                      ///< Empty: no credentials.
  std::string password;
  Millis period{2'000};   ///< Between two readings of its functions.
  Millis timeout{2'000};  ///< For a connection, and for such a reading.
};

struct GatewaySettings {
  NodeId self;
  NodeName name;
  std::string version;
  std::string store_catalogue;  ///< The body of /store.json.
  std::string system_user;      ///< Of /system/*.
  std::string system_password;
  std::filesystem::path launcher;  ///< The program that makes sandboxes.
  ImageSettings images;
  SandboxSettings sandbox;
  ReplicaDefaults replica;
  std::optional<PlatformSettings> platform;  ///< Who runs the functions; nothing: this node does.
  std::filesystem::path last_plan;           ///< Left by a gateway that stopped, for its successor.
  std::filesystem::path database;            ///< Desired state.
  std::filesystem::path function_secrets;    ///< Directory of the functions' secrets.
  std::filesystem::path async_database;      ///< Asynchronous calls.
  std::filesystem::path certificate;         ///< Of the node, to tell how long it is valid.
  std::filesystem::path authorities;  ///< Of the organisations that functions may be shared with.
  Endpoint egress;                    ///< Front door socket towards neighbours.
  Endpoint async;                     ///< Our own socket, where asynchronous calls are delivered.
  Millis exec_timeout{60'000};        ///< Of a function without `dfaas.timeout_ms`.
  Millis head_timeout{15'000};        ///< Silence between requests of one connection.
  std::uint64_t request_bytes_max = 1ULL << 30U;
  std::uint64_t system_body_bytes_max = 1ULL << 20U;
  std::size_t async_calls_max = 100'000;           ///< That wait.
  std::uint64_t async_body_bytes_max = 4U << 20U;  ///< Of an asynchronous call.
  std::size_t buffered_body_bytes = 16 * 1024;     ///< Bodies up to this can be offered twice.
  int body_bytes_per_second_min = 1000;            ///< Of longer ones, once a slot is taken.
  Millis log_follow_time{30'000};  ///< After that GET /system/logs?follow=true ends.
  int replicas_max = 100;          ///< Of one function.
  int cores = 1;
  DispatcherSettings dispatcher;
  std::uint64_t seed = 0;
};

/// One thread runs it; every call comes from that thread.
class Gateway {
 public:
  /// Opens the database, starts the launcher and deploys what the database holds.
  /// Errors: unavailable or invalid_input, naming the file or program.
  static Result<std::unique_ptr<Gateway>> start(boost::asio::any_io_executor executor,
                                                GatewaySettings settings);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  Gateway(Gateway&&) = delete;
  Gateway& operator=(Gateway&&) = delete;

  /// Each socket has its own powers: `user` calls functions and, with credentials, /system; `peer` takes
  /// proved neighbours' forwarded calls; `admin` is read-only status and metrics; `control` is the agent;
  /// `async` is our own queue, which calls functions as a user does.
  enum class Port : unsigned char { user, peer, admin, control, async };
  void serve(Port port, UnixAcceptor acceptor);

  /// Stops accepting, refuses guests, waits for what is in flight at most `patience`, then calls back.
  void stop(Millis patience, std::function<void()> done);

 private:
  struct State;
  explicit Gateway(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace dfaas
