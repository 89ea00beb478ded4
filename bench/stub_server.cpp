// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// The least that an HTTP server in this codebase's manner costs: the baseline of `make bench`.
///
/// Boost.Beast, one thread, one coroutine per connection, a deadline on every wait; it reads each request
/// whole and answers it with the message in a file. What a gateway takes on top is the gateway's.
#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Local = asio::local::stream_protocol;
using Stream = beast::basic_stream<Local>;
using Answer = http::response<http::string_body>;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds patience{60};

asio::awaitable<void> serve_connection(Stream stream, const Answer* answer) {
  beast::flat_buffer buffer;
  for (bool keep_alive = true; keep_alive;) {
    http::request<http::string_body> request;
    stream.expires_after(patience);
    const auto [read_error, read_bytes] =
        co_await http::async_read(stream, buffer, request, as_result);
    if (read_error) co_return;
    keep_alive = request.keep_alive();
    Answer reply = *answer;
    reply.keep_alive(keep_alive);
    stream.expires_after(patience);
    const auto [write_error, write_bytes] = co_await http::async_write(stream, reply, as_result);
    if (write_error) co_return;
  }
}

asio::awaitable<void> accept_all(Local::acceptor acceptor, const Answer* answer) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(as_result);
    if (error) co_return;
    asio::co_spawn(acceptor.get_executor(), serve_connection(Stream(std::move(socket)), answer),
                   asio::detached);
  }
}

/// The message in `file`, as the parser of the other side would see it.
Answer read_answer(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  beast::error_code error;
  parser.put(asio::buffer(text), error);
  if (error || !parser.is_done()) throw std::runtime_error(file + " holds no whole HTTP answer");
  return parser.release();
}

}  // namespace

int main(int argc, char** argv) try {
  std::string listen;
  std::string answer_file;
  CLI::App app{"Answers every request on a unix socket with one message"};
  app.add_option("--listen", listen, "Path of the unix socket")->required();
  app.add_option("--answer", answer_file, "File with the whole answer, head and body")->required();
  CLI11_PARSE(app, argc, argv);

  const Answer answer = read_answer(answer_file);
  asio::io_context context(1);
  asio::signal_set stop(context, SIGTERM, SIGINT);
  stop.async_wait([&context](const beast::error_code&, int) { context.stop(); });
  asio::co_spawn(context, accept_all(Local::acceptor(context, Local::endpoint(listen)), &answer),
                 asio::detached);
  context.run();
  return 0;
} catch (const std::exception& error) {
  std::cerr << "stub_server: " << error.what() << '\n';
  return 1;
}
