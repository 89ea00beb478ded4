// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The page of this node in a browser, /ui/: three texts that were embedded at build time, and what the page cannot
/// learn from /system.
///
/// Guarantees The page asks nobody but this node, works without a network, and may run no script but its own: whatever
///            names and answers of functions hold, a browser that keeps to the policy sent with it shows them as text.
#include <array>
#include <string_view>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/json/fields.hpp"
#include "live/gateway/platform.hpp"
#include "live/gateway/system_api.hpp"

namespace dfaas {

extern const std::string_view page_html;
extern const std::string_view page_css;
extern const std::string_view page_js;

namespace {

namespace asio = boost::asio;

constexpr std::string_view policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types "
    "'none'";

struct PageFile {
  std::string_view path;
  const std::string_view* text;
  std::string_view type;
};

constexpr std::array<PageFile, 3> files{{{"/", &page_html, "text/html; charset=utf-8"},
                                         {"/page.css", &page_css, "text/css; charset=utf-8"},
                                         {"/page.js", &page_js, "text/javascript; charset=utf-8"}}};

ResponseHead page_head(std::string_view type) {
  ResponseHead head;
  head.headers.add("Content-Type", std::string(type));
  head.headers.add("Content-Security-Policy", std::string(policy));
  head.headers.add("X-Content-Type-Options", "nosniff");
  head.headers.add("X-Frame-Options", "DENY");
  head.headers.add("Referrer-Policy", "no-referrer");
  head.headers.add("Cross-Origin-Opener-Policy", "same-origin");
  head.headers.add("Cross-Origin-Resource-Policy", "same-origin");
  head.headers.add("Cache-Control", "no-store");
  return head;
}

/// Node and neighbours, of the plan in force.
std::string node_json(const GatewayCore& core) {
  const RoutingPlan& plan = core.dispatcher.plan();
  nlohmann::json neighbours = nlohmann::json::array();
  for (const PeerPlan& peer : plan.peers) {
    neighbours.push_back({{"id", peer.id.text()},
                          {"name", core.name_of(peer.id)},
                          {"organisation", peer.organisation},
                          {"up", peer.up},
                          {"rtt_ms", to_millis(peer.rtt)}});
  }
  const std::string platform = core.platform ? core.platform->settings.url : "embedded";
  return json_text({{"node", core.settings.name.text()},
                    {"id", core.settings.self.text()},
                    {"version", core.settings.version},
                    {"healthy", core.is_healthy()},
                    {"strategy", plan.strategy},
                    {"platform", platform},
                    {"neighbours", neighbours}});
}

}  // namespace

asio::awaitable<void> serve_page(GatewayCore* core, ServerConnection* connection, RequestHead head,
                                 std::string path) {
  if (head.method != "GET" && head.method != "HEAD") {
    co_await respond_wrong_method(connection, "GET, HEAD");
    co_return;
  }
  if (path.empty()) {
    ResponseHead answer{.status = 308};
    answer.headers.add("Location", "/ui/");
    std::ignore = co_await connection->respond(std::move(answer), "");
    co_return;
  }
  if (path == "/node.json") {
    ResponseHead answer = page_head("application/json");
    std::string text = node_json(*core);
    std::ignore = co_await connection->respond(std::move(answer), std::move(text));
    co_return;
  }
  for (const PageFile& file : files) {
    if (path != file.path) continue;
    ResponseHead answer = page_head(file.type);
    std::string text(*file.text);
    std::ignore = co_await connection->respond(std::move(answer), std::move(text));
    co_return;
  }
  co_await respond_text(connection, 404, "not here: see /ui/\n");
}

}  // namespace dfaas
