// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A closed loop of keep-alive connections: each sends its next request when it has the last answer.
///
/// Use      To give a server a fixed amount of work, whose CPU time is then read from outside. It measures
///          no latency: for that, and for an open loop, there is `dfaas load`.
/// Input    A file of targets, one a line: METHOD PATH [BYTES OF BODY]; each request draws one of them.
/// Output   One line of JSON: requests done, and answers by status.
/// Limits   HTTP/1.1 with Content-Length, which is what the servers under test send here.
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;
using asio::use_awaitable;

struct Work {
  asio::generic::stream_protocol::endpoint server;
  std::vector<std::string> requests;  ///< Whole messages to draw from.
  std::uint64_t left = 0;
  std::minstd_rand random{1};  // The same draws in every run.
  std::map<int, std::uint64_t> by_status;
};

/// A path of a unix socket, or HOST:PORT with a numeric host.
asio::generic::stream_protocol::endpoint parse_endpoint(const std::string& text) {
  if (text.find('/') != std::string::npos) return asio::local::stream_protocol::endpoint(text);
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  if (colon == std::string::npos ||
      std::from_chars(text.data() + colon + 1, end, port).ptr != end) {
    throw std::runtime_error(text + " is neither a path nor HOST:PORT");
  }
  return asio::ip::tcp::endpoint(asio::ip::make_address(text.substr(0, colon)), port);
}

std::vector<std::string> read_targets(const std::string& file, const std::string& more_headers) {
  std::ifstream in(file);
  std::vector<std::string> requests;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string method;
    std::string path;
    std::size_t body_bytes = 0;
    if (!(words >> method >> path)) continue;
    words >> body_bytes;
    std::string request = method;
    request.append(" ").append(path).append(" HTTP/1.1\r\nHost: localhost\r\n");
    request.append("User-Agent: closed_loop\r\nAccept: */*\r\n").append(more_headers);
    if (body_bytes > 0) {
      request +=
          "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body_bytes) + "\r\n";
    }
    requests.push_back(request + "\r\n" + std::string(body_bytes, 'x'));
  }
  if (requests.empty()) throw std::runtime_error(file + " lists no target");
  return requests;
}

/// The length of the body behind `head`.
std::size_t content_length(std::string_view head) {
  constexpr std::string_view name = "content-length:";
  const auto same = [](char left, char right) { return (left | 0x20) == (right | 0x20); };
  const auto at = std::ranges::search(head, name, same);
  std::size_t length = 0;
  if (!at.empty()) {
    const char* digits = at.data() + at.size();
    while (*digits == ' ') ++digits;
    std::from_chars(digits, head.data() + head.size(), length);
  }
  return length;
}

asio::awaitable<void> run_connection(Work* work) {
  Socket socket(co_await asio::this_coro::executor);
  co_await socket.async_connect(work->server, use_awaitable);
  std::string buffer;
  while (work->left > 0) {
    --work->left;
    const std::string& request = work->requests[work->random() % work->requests.size()];
    co_await asio::async_write(socket, asio::buffer(request), use_awaitable);
    auto store = asio::dynamic_buffer(buffer);
    const std::size_t head_bytes =
        co_await asio::async_read_until(socket, store, "\r\n\r\n", use_awaitable);
    const std::string_view head(buffer.data(), head_bytes);
    int status = 0;
    if (head.size() > 12) std::from_chars(head.data() + 9, head.data() + 12, status);
    const std::size_t whole = head_bytes + content_length(head);
    if (buffer.size() < whole) {
      const std::size_t missing = whole - buffer.size();
      co_await asio::async_read(socket, store, asio::transfer_exactly(missing), use_awaitable);
    }
    ++work->by_status[status];
    buffer.erase(0, whole);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  std::string connect;
  std::string targets;
  std::vector<std::string> headers;
  int connections = 16;
  Work work;
  CLI::App app{"Sends a fixed number of requests over keep-alive connections"};
  app.add_option("--connect", connect, "Path of a unix socket, or HOST:PORT")->required();
  app.add_option("--targets", targets, "File of METHOD PATH [BYTES] lines")->required();
  app.add_option("--header", headers, "NAME: VALUE, sent with each request; may be repeated");
  app.add_option("--connections", connections, "How many")->capture_default_str();
  app.add_option("--requests", work.left, "How many in all")->required();
  CLI11_PARSE(app, argc, argv);

  work.server = parse_endpoint(connect);
  std::string more_headers;
  for (const std::string& header : headers) more_headers += header + "\r\n";
  work.requests = read_targets(targets, more_headers);
  asio::io_context context(1);
  for (int at = 0; at < connections; ++at) {
    asio::co_spawn(context, run_connection(&work), [](const std::exception_ptr& error) {
      if (error) std::rethrow_exception(error);
    });
  }
  context.run();
  std::uint64_t done = 0;
  std::string statuses;
  for (const auto& [status, count] : work.by_status) {
    done += count;
    statuses += (statuses.empty() ? "\"" : ", \"") + std::to_string(status) +
                "\": " + std::to_string(count);
  }
  std::cout << "{\"done\": " << done << ", \"by_status\": {" << statuses << "}}\n";
  return 0;
} catch (const std::exception& error) {
  std::cerr << "closed_loop: " << error.what() << '\n';
  return 1;
}
