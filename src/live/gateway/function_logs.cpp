// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/function_logs.hpp"

#include <algorithm>
#include <utility>

namespace dfaas {

std::vector<std::string> LineSplitter::add(std::string_view piece) {
  std::vector<std::string> lines;
  while (!piece.empty()) {
    const std::size_t end = piece.find('\n');
    const std::string_view part = piece.substr(0, end);
    const std::size_t room = line_bytes_max - rest_.size();
    rest_.append(part.substr(0, room));
    if (end != std::string_view::npos) {
      if (rest_.ends_with('\r')) rest_.pop_back();
      lines.push_back(std::exchange(rest_, {}));
      piece.remove_prefix(end + 1);
    } else if (part.size() >= room) {
      lines.push_back(std::exchange(rest_, {}));
      piece.remove_prefix(room);
    } else {
      break;
    }
  }
  return lines;
}

std::vector<std::string> LineSplitter::finish() {
  if (rest_.empty()) return {};
  return {std::exchange(rest_, {})};
}

struct FunctionLogs::Reader::Ring {
  std::deque<LogLine> lines;
  std::uint64_t first = 0;  ///< Number of the oldest line.
  std::size_t bytes = 0;
  std::set<boost::asio::steady_timer*> waiting;
  bool closed = false;

  void wake_all() const {
    for (boost::asio::steady_timer* timer : waiting) timer->cancel();
  }
};

void FunctionLogs::write(const FunctionName& function, LogLine line) {
  const auto ring = this->ring(function);
  if (line.text.size() > LineSplitter::line_bytes_max) {
    line.text.resize(LineSplitter::line_bytes_max);
  }
  ring->bytes += line.text.size();
  ring->lines.push_back(std::move(line));
  while (ring->lines.size() > lines_max || ring->bytes > bytes_max) {
    ring->bytes -= ring->lines.front().text.size();
    ring->lines.pop_front();
    ++ring->first;
  }
  ring->wake_all();
}

void FunctionLogs::forget(const FunctionName& function) {
  const auto found = rings_.find(function);
  if (found == rings_.end()) return;
  found->second->closed = true;
  found->second->wake_all();
  rings_.erase(found);
}

void FunctionLogs::close() {
  for (const auto& [function, ring] : rings_) {
    ring->closed = true;
    ring->wake_all();
  }
}

std::shared_ptr<FunctionLogs::Reader::Ring> FunctionLogs::ring(const FunctionName& function) {
  auto& place = rings_[function];
  if (!place) place = std::make_shared<Reader::Ring>();
  return place;
}

std::unique_ptr<FunctionLogs::Reader> FunctionLogs::read(const FunctionName& function,
                                                         boost::asio::steady_timer* wake) {
  return std::unique_ptr<Reader>(new Reader(ring(function), wake));
}

FunctionLogs::Reader::Reader(std::shared_ptr<Ring> ring, boost::asio::steady_timer* wake)
    : ring_(std::move(ring)), wake_(wake) {
  ring_->waiting.insert(wake_);
}

FunctionLogs::Reader::~Reader() { ring_->waiting.erase(wake_); }

std::vector<LogLine> FunctionLogs::Reader::take() {
  const std::uint64_t from = std::max(next_, ring_->first);
  next_ = ring_->first + ring_->lines.size();
  const auto begin = ring_->lines.begin() + static_cast<std::ptrdiff_t>(from - ring_->first);
  return {begin, ring_->lines.end()};
}

bool FunctionLogs::Reader::closed() const { return ring_->closed; }

}  // namespace dfaas
