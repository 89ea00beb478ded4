// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A real server and real clients over unix sockets, raw bytes where the client must misbehave.
#include "live/net/http.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "live/net/listener.hpp"
#include "live/net/task_group.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
constexpr Millis patience{5000};

/// Answers each request with its method, target and body.
asio::awaitable<void> serve_echo(ServerConnection connection) {
  for (;;) {
    auto head = co_await connection.read_head(patience);
    if (!head) co_return;
    std::string body;
    std::array<char, 1000> piece{};
    for (;;) {
      const auto filled = co_await connection.read_body(piece, patience);
      if (!filled) co_return;
      if (*filled == 0) break;
      body.append(piece.data(), *filled);
    }
    ResponseHead answer{.status = 200, .headers = {}, .body = {.chunked = true}};
    if (head->target == "/chunked") {
      connection.write_head(std::move(answer));
      for (std::size_t at = 0; at < body.size(); at += 700) {
        const auto part = std::span(body).subspan(at, std::min<std::size_t>(700, body.size() - at));
        if (!co_await connection.write_body(part, patience)) co_return;
      }
      if (!co_await connection.finish_body()) co_return;
    } else {
      if (!co_await connection.respond(std::move(answer),
                                       head->method + " " + head->target + " " + body)) {
        co_return;
      }
    }
    if (!connection.reusable()) co_return;
  }
}

class Http : public testing::Test {
 protected:
  Http()
      : path_("/tmp/dfaas-http-test-" + std::to_string(::getpid()) + ".sock"),
        tasks_(context_.get_executor()) {
    acceptor_.emplace(listen_unix(context_.get_executor(), path_).value());
    tasks_.spawn(accept_loop(&*acceptor_, [this](StreamSocket socket) {
      tasks_.spawn(serve_echo(ServerConnection(std::move(socket))));
    }));
  }
  ~Http() override { std::filesystem::remove(path_); }

  void run(asio::awaitable<void> test) {
    asio::co_spawn(context_, std::move(test), [this](const std::exception_ptr& thrown) {
      EXPECT_FALSE(thrown);
      context_.stop();
    });
    context_.run();
  }

  /// What the server answers to these bytes before it closes, or falls silent.
  std::string raw(const std::string& bytes) {
    std::string answer;
    run([](std::string path, std::string request, std::string* into) -> asio::awaitable<void> {
      asio::local::stream_protocol::socket socket(co_await asio::this_coro::executor);
      co_await socket.async_connect({path}, asio::use_awaitable);
      co_await asio::async_write(socket, asio::buffer(request), asio::use_awaitable);
      socket.shutdown(asio::socket_base::shutdown_send);
      std::array<char, 4096> piece{};
      for (;;) {
        boost::system::error_code error;
        const std::size_t read = co_await socket.async_read_some(
            asio::buffer(piece), asio::redirect_error(asio::use_awaitable, error));
        if (error) co_return;
        into->append(piece.data(), read);
      }
    }(path_, bytes, &answer));
    return answer;
  }

  std::string path_;
  asio::io_context context_{1};
  TaskGroup tasks_;
  std::optional<UnixAcceptor> acceptor_;
};

asio::awaitable<void> send_both_ways(std::string path) {
  auto connection = co_await ClientConnection::connect(Endpoint::unix_socket(path), patience);
  EXPECT_TRUE(connection);
  const std::string body(100'000, 'x');
  for (const bool chunked : {false, true, false}) {
    RequestHead head{.method = "POST", .target = "/chunked", .headers = {}, .body = {}};
    head.headers.add("Host", "h");
    head.body =
        chunked ? BodyFraming{.length = {}, .chunked = true} : BodyFraming{.length = body.size()};
    EXPECT_TRUE(co_await connection->write_head(head, patience));
    for (std::size_t at = 0; at < body.size(); at += 10'000) {
      EXPECT_TRUE(co_await connection->write_body(std::span(body).subspan(at, 10'000), patience));
    }
    EXPECT_TRUE(co_await connection->finish_body(patience));
    const auto answer = co_await connection->read_head(patience);
    EXPECT_TRUE(answer && answer->status == 200 && answer->body.chunked);
    std::string got;
    std::array<char, 3000> piece{};
    for (;;) {
      const auto filled = co_await connection->read_body(piece, patience);
      EXPECT_TRUE(filled);
      if (!filled || *filled == 0) break;
      got.append(piece.data(), *filled);
    }
    EXPECT_EQ(got, body);
    if (!chunked) {
      EXPECT_TRUE(connection->reusable());
    }
    EXPECT_FALSE(connection->stale());
  }
}

TEST_F(Http, StreamsBodiesBothWaysAndKeepsTheConnection) { run(send_both_ways(path_)); }

asio::awaitable<void> expect_continue(std::string path) {
  auto connection = co_await ClientConnection::connect(Endpoint::unix_socket(path), patience);
  RequestHead head{.method = "POST", .target = "/x", .headers = {}, .body = {.length = 3}};
  head.headers.add("Host", "h");
  head.expects_continue = true;
  EXPECT_TRUE(co_await connection->write_head(head, patience));
  const auto interim = co_await connection->read_head(patience);
  EXPECT_EQ(interim->status, 100);
  EXPECT_TRUE(co_await connection->write_body(std::span("abc", 3), patience));
  EXPECT_TRUE(co_await connection->finish_body(patience));
  EXPECT_EQ((co_await connection->read_head(patience))->status, 200);
}

TEST_F(Http, TellsAClientThatWaitsToSendItsBody) { run(expect_continue(path_)); }

/// A client that closes while its body, sent in part, is unread.
asio::awaitable<void> notice_hangup(bool* noticed) {
  const auto executor = co_await asio::this_coro::executor;
  asio::local::stream_protocol::socket client(executor);
  asio::local::stream_protocol::socket server(executor);
  asio::local::connect_pair(client, server);
  ServerConnection connection{StreamSocket(std::move(server))};
  const std::string request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc";
  co_await asio::async_write(client, asio::buffer(request), asio::use_awaitable);
  EXPECT_TRUE(co_await connection.read_head(patience));
  asio::steady_timer wait(executor, patience);
  connection.watch_hangup([noticed, &wait] {
    *noticed = true;
    wait.cancel();
  });
  client.close();
  boost::system::error_code ignored;  // Cancelled is what we hope for.
  co_await wait.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

TEST_F(Http, NoticesAClientThatLeavesWhileItsBodyIsUnread) {
  bool noticed = false;
  run(notice_hangup(&noticed));
  EXPECT_TRUE(noticed);
}

TEST_F(Http, ServesAGetWithABody) {
  EXPECT_NE(raw("GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi").find("GET /x hi"),
            std::string::npos);
}

struct Malformed {
  const char* name;
  const char* request;
  const char* status;
};

class HttpMalformed : public Http, public testing::WithParamInterface<Malformed> {};

TEST_P(HttpMalformed, IsRefusedAndTheConnectionDropped) {
  const std::string answer = raw(GetParam().request);
  EXPECT_EQ(answer.find(std::string("HTTP/1.1 ") + GetParam().status), 0U) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_EQ(answer.find("smuggled"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Requests, HttpMalformed,
    testing::Values(
        Malformed{
            "length_and_chunked",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            "400"},
        Malformed{"two_lengths",
                  "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                  "400"},
        Malformed{"signed_length", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
                  "400"},
        Malformed{"blank_before_colon", "GET /a HTTP/1.1\r\nHost : h\r\n\r\n", "400"},
        Malformed{"bare_line_feed", "GET /a HTTP/1.1\nHost: h\n\n", "400"},
        Malformed{"no_host", "GET /a HTTP/1.1\r\n\r\n", "400"},
        Malformed{"two_hosts", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
        Malformed{"odd_expectation", "GET /a HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n", "417"}),
    [](const auto& tested) { return tested.param.name; });

TEST_F(Http, RefusesAHeadThatIsTooLarge) {
  const std::string answer =
      raw("GET /a HTTP/1.1\r\nHost: h\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(answer.find("HTTP/1.1 431"), 0U) << answer.substr(0, 100);
}

TEST(Endpoint, ParsesItsThreeFormsAndNamesTheRest) {
  EXPECT_EQ(Endpoint::parse("unix:/a/b")->unix_path, "/a/b");
  EXPECT_EQ(Endpoint::parse("edge.example:80")->port, 80);
  EXPECT_EQ(Endpoint::parse("[::1]:80")->host, "::1");
  EXPECT_EQ(Endpoint::parse("[::1]:80")->text(), "[::1]:80");
  for (const char* bad :
       {"", "host", "host:0", "host:65536", "host:x", "::1:80", "unix:", "a b:80"}) {
    const auto endpoint = Endpoint::parse(bad);
    ASSERT_FALSE(endpoint) << bad;
    EXPECT_NE(endpoint.error().message.find(bad), std::string::npos);
  }
}

}  // namespace
}  // namespace dfaas
