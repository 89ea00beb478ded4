// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/launcher.hpp"

#include <ftw.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "live/sandbox/cgroups.hpp"
#include "live/sandbox/landlock.hpp"
#include "live/sandbox/packet.hpp"
#include "live/sandbox/replica.hpp"
#include "live/sandbox/spec.hpp"

namespace dfaas {
namespace {

constexpr int trial_patience_ms = 5000;

void remove_tree(const std::string& directory) {
  if (directory.empty()) return;
  ::nftw(
      directory.c_str(),
      [](const char* path, const struct stat*, int, struct FTW*) {
        std::remove(path);  // What cannot be removed stays; it is in nobody's way.
        return 0;
      },
      16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

class Launcher {
 public:
  explicit Launcher(int socket) : socket_(socket) {}

  int run() {
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &watched, nullptr);
    const int signals = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) return 1;
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGINT, SIG_IGN);  // A terminal's Ctrl-C is the supervisor's business.
    ::signal(SIGTERM, SIG_IGN);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    for (;;) {
      std::array<pollfd, 2> watch{{{socket_, POLLIN, 0}, {signals, POLLIN, 0}}};
      if (::poll(watch.data(), watch.size(), -1) < 0 && errno != EINTR) break;
      if (watch[1].revents != 0) {
        std::array<char, sizeof(signalfd_siginfo) * 16> drained{};
        while (::read(signals, drained.data(), drained.size()) > 0) {
        }
        reap();
      }
      if (watch[0].revents != 0 && !receive()) break;
    }
    end();
    return 0;
  }

 private:
  bool receive() {
    static std::array<char, packet_bytes_max> buffer;
    PacketDescriptors descriptors;
    const long size =
        receive_packet(socket_, buffer.data(), buffer.size(), descriptors, MSG_DONTWAIT);
    if (size == 0) return false;
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    PacketHead head;
    std::vector<const char*> texts;
    if (!parse_packet(buffer.data(), static_cast<std::size_t>(size), head, texts)) return true;
    if (head.verb == Verb::setup) set_up(settings_from_texts(texts));
    if (head.verb == Verb::create && descriptors.count() == 1) {
      create(spec_from_texts(texts), descriptors.at(0));
    }
    return true;
  }

  /// Finds the best that works here, by trying it.
  void set_up(SandboxSettings settings) {
    settings_ = std::move(settings);
    SandboxReport report;
    cgroups_ = Cgroups::find(report.notes);
    report.limits = cgroups_.by();
    report.memory = cgroups_.has("memory");
    report.cpu = cgroups_.has("cpu");
    if (auto chosen = choose_tier(report.notes)) {
      tier_ = report.tier = *chosen;
    } else {
      report.failure = failure_;
    }
    if (report.tier == SandboxTier::landlock) {
      for (std::string& note : landlock_notes(landlock_version())) {
        report.notes.push_back(std::move(note));
      }
    }
    if (report.failure.empty()) make_spare();
    send_packet(socket_, make_packet({.verb = Verb::hello, .number = ::getpid()}, to_texts(report)),
                nullptr, 0, 0);
  }

  std::optional<SandboxTier> choose_tier(std::vector<std::string>& notes) {
    use_user_namespace_ = ::geteuid() != 0;
    if (settings_.tier == SandboxTier::none) return SandboxTier::none;
    for (const SandboxTier tier : {SandboxTier::namespaces, SandboxTier::landlock}) {
      if (settings_.tier && *settings_.tier != tier) continue;
      const std::string why = try_tier(tier);
      if (why.empty()) return tier;
      const std::string note = std::string(to_text(tier)) + ": " + why;
      notes.push_back(note);
      failure_ += (failure_.empty() ? "" : "; ") + note;
    }
    return std::nullopt;
  }

  /// Why not; empty when it works.
  std::string try_tier(SandboxTier tier) {
    tier_ = tier;
    if (tier == SandboxTier::landlock) ::mkdir(scratch().c_str(), 0711);
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      return "no socket";
    }
    ReplicaSpec spec;
    spec.name = "trial";
    spec.tmp_bytes = 1 << 20;
    const auto started = start_replica(plan_for(spec), cgroups_, ends[1]);
    ::close(ends[1]);
    std::string why = started ? trial_answer(ends[0]) : started.error().message;
    ::close(ends[0]);
    if (started) {
      ::waitpid(*started, nullptr, 0);  // Its socket is closed: it ends.
      clean_up(last_id_);
    }
    return why;
  }

  static std::string trial_answer(int socket) {
    pollfd watch{socket, POLLIN, 0};
    if (::poll(&watch, 1, trial_patience_ms) != 1) return "it was not ready in time";
    std::array<char, 8192> buffer{};
    PacketDescriptors descriptors;
    const long size = receive_packet(socket, buffer.data(), buffer.size(), descriptors, 0);
    PacketHead head;
    std::vector<const char*> texts;
    if (size <= 0 || !parse_packet(buffer.data(), static_cast<std::size_t>(size), head, texts)) {
      return "it died";
    }
    if (head.verb == Verb::ready) return {};
    return texts.empty() ? "refused" : texts[0];
  }

  /// Not below the node's directory, through which functions with users of their own could not pass.
  [[nodiscard]] std::string scratch() const {
    return settings_.scratch + "/dfaas-" + std::to_string(::getpid());
  }

  [[nodiscard]] std::string temporary_of(std::uint64_t id) const {
    if (tier_ != SandboxTier::landlock) return {};
    return scratch() + "/" + std::to_string(id);
  }

  ReplicaPlan plan_for(ReplicaSpec spec) {
    const std::uint64_t id = ++last_id_;
    return {.id = id,
            .tier = tier_,
            .use_user_namespace = use_user_namespace_ && tier_ == SandboxTier::namespaces,
            .settings = settings_,
            .spec = std::move(spec),
            .temporary = temporary_of(id)};
  }

  /// Without one, the next replica takes longer; nothing else.
  void make_spare() {
    if (auto spare = start_spare(plan_for({}), cgroups_)) {
      spare_ = std::move(*spare);
    } else {
      clean_up(last_id_);
    }
  }

  void create(ReplicaSpec spec, int socket) {
    if (spare_ && !spec.host_network) {
      Spare spare = std::move(*spare_);
      spare_.reset();
      spare.plan.spec = spec;
      if (use_spare(spare, cgroups_, socket)) {
        replicas_[spare.pid] = spare.plan.id;
        make_spare();
        return;
      }
      replicas_[spare.pid] = spare.plan.id;  // It ends, and is cleared away then.
    }
    const ReplicaPlan plan = plan_for(std::move(spec));
    const auto started = start_replica(plan, cgroups_, socket);
    if (started) {
      replicas_[*started] = plan.id;
      return;
    }
    clean_up(plan.id);
    send_packet(socket, make_packet({.verb = Verb::refused}, {started.error().message}), nullptr, 0,
                MSG_DONTWAIT);
  }

  void reap() {
    for (;;) {
      const pid_t pid = ::waitpid(-1, nullptr, WNOHANG);
      if (pid <= 0) return;
      if (spare_ && spare_->pid == pid) {
        ::close(spare_->socket);
        clean_up(spare_->plan.id);
        spare_.reset();
      }
      const auto found = replicas_.find(pid);
      if (found == replicas_.end()) continue;
      clean_up(found->second);
      replicas_.erase(found);
    }
  }

  void clean_up(std::uint64_t id) const {
    cgroups_.remove(id);
    remove_tree(temporary_of(id));
  }

  /// The gateway is gone, so every keeper ends.
  void end() {
    if (spare_) {
      ::close(spare_->socket);
      replicas_[spare_->pid] = spare_->plan.id;
      spare_.reset();
    }
    while (!replicas_.empty()) {
      const pid_t pid = ::waitpid(-1, nullptr, 0);
      if (pid < 0 && errno != EINTR) break;
      const auto found = replicas_.find(pid);
      if (found == replicas_.end()) continue;
      clean_up(found->second);
      replicas_.erase(found);
    }
    cgroups_.remove_all();
    if (tier_ == SandboxTier::landlock) ::rmdir(scratch().c_str());
  }

  int socket_;
  SandboxSettings settings_;
  SandboxTier tier_ = SandboxTier::none;
  bool use_user_namespace_ = false;
  Cgroups cgroups_;
  std::string failure_;
  std::uint64_t last_id_ = 0;
  std::optional<Spare> spare_;
  std::map<pid_t, std::uint64_t> replicas_;  ///< And their ids here.
};

}  // namespace

int launcher_main(int socket) { return Launcher(socket).run(); }

}  // namespace dfaas
