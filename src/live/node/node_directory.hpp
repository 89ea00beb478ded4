// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Where a node keeps its things. Several nodes on one machine differ by directory and ports alone.
#pragma once

#include <filesystem>
#include <utility>

namespace dfaas {

class NodeDirectory {
 public:
  using Path = std::filesystem::path;
  explicit NodeDirectory(Path root) : root_(std::move(root)) {}

  [[nodiscard]] const Path& root() const { return root_; }
  [[nodiscard]] Path settings() const { return root_ / "node.toml"; }
  [[nodiscard]] Path certificate() const { return root_ / "pki/node.crt"; }
  [[nodiscard]] Path key() const { return root_ / "pki/node.key"; }
  [[nodiscard]] Path certificate_and_key() const { return root_ / "pki/node.pem"; }
  [[nodiscard]] Path authorities() const { return root_ / "pki/ca.pem"; }
  /// A renewed certificate and the key, until it is in use.
  [[nodiscard]] Path next_certificate() const { return root_ / "pki/next.pem"; }
  /// Where certificates are renewed: HOST:PORT and the id of the node there.
  [[nodiscard]] Path issuer() const { return root_ / "pki/issuer.txt"; }
  [[nodiscard]] Path revocations() const { return root_ / "pki/revoked"; }
  /// The authority of the organisation, on the node that has it.
  [[nodiscard]] Path authority() const { return root_ / "ca"; }
  [[nodiscard]] Path maps() const { return root_ / "maps"; }
  [[nodiscard]] Path run() const { return root_ / "run"; }
  [[nodiscard]] Path state() const { return root_ / "state"; }
  [[nodiscard]] Path images() const { return root_ / "images"; }
  [[nodiscard]] Path unpacked_images() const { return state() / "images"; }
  /// What `skopeo login --authfile` writes; usually not there.
  [[nodiscard]] Path registry_credentials() const { return secrets() / "registries.json"; }
  [[nodiscard]] Path secrets() const { return root_ / "secrets"; }
  [[nodiscard]] Path user_file() const { return secrets() / "basic-auth-user"; }
  [[nodiscard]] Path password_file() const { return secrets() / "basic-auth-password"; }
  [[nodiscard]] Path gossip_keys() const { return secrets() / "gossip-keys"; }
  [[nodiscard]] Path lock() const { return root_ / "run/node.lock"; }

  [[nodiscard]] Path front_door_config() const { return run() / "front-door.cfg"; }
  [[nodiscard]] Path haproxy_socket() const { return run() / "haproxy.sock"; }
  /// What a front door and a gateway leave to their successors.
  [[nodiscard]] Path haproxy_state() const { return run() / "servers.state"; }
  [[nodiscard]] Path last_plan() const { return run() / "plan.json"; }
  [[nodiscard]] Path egress_socket() const { return run() / "egress.sock"; }
  [[nodiscard]] Path gateway_user_socket() const { return run() / "gateway-user.sock"; }
  [[nodiscard]] Path gateway_peer_socket() const { return run() / "gateway-peer.sock"; }
  [[nodiscard]] Path gateway_admin_socket() const { return run() / "gateway-admin.sock"; }
  [[nodiscard]] Path gateway_control_socket() const { return run() / "gateway-control.sock"; }
  [[nodiscard]] Path gateway_async_socket() const { return run() / "gateway-async.sock"; }
  [[nodiscard]] Path agent_peer_socket() const { return run() / "agent-peer.sock"; }
  [[nodiscard]] Path agent_join_socket() const { return run() / "agent-join.sock"; }
  [[nodiscard]] Path join_socket() const { return run() / "join.sock"; }
  [[nodiscard]] Path agent_socket() const { return run() / "agent.sock"; }
  [[nodiscard]] Path serf_config() const { return run() / "serf.json"; }
  [[nodiscard]] Path serf_log() const { return run() / "serf.log"; }
  [[nodiscard]] Path credits() const { return state() / "credits.json"; }
  [[nodiscard]] Path serf_snapshot() const { return state() / "serf.snapshot"; }
  [[nodiscard]] Path function_database() const { return state() / "functions.db"; }
  [[nodiscard]] Path async_database() const { return state() / "async.db"; }
  [[nodiscard]] Path function_secrets() const { return state() / "function-secrets"; }

 private:
  Path root_;
};

}  // namespace dfaas
