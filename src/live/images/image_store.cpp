// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/images/image_store.hpp"

#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/base/text.hpp"
#include "live/files/files.hpp"
#include "live/files/tree.hpp"
#include "live/images/program_run.hpp"
#include "live/net/task_group.hpp"
#include "live/telemetry/log.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
using SteadyClock = asio::steady_timer::clock_type;

constexpr int unpacking_max = 2;
constexpr int inspecting_max = 8;
constexpr Millis inspect_patience{30'000};
constexpr Millis round_min{100};
constexpr Millis round_max{30'000};
constexpr std::string_view algorithm = "sha256:";
constexpr std::string_view done_prefix = "sha256-";
constexpr std::string_view work_prefix = "work-";

fs::path name_in_store(const std::string& digest) {
  return std::string(done_prefix) + digest.substr(algorithm.size());
}

std::string digest_of(std::string_view bytes) {
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  // NOLINTNEXTLINE: bytes are bytes.
  ::SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return std::string(algorithm) + to_lower(hex_upper(digest));
}

tl::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::invalid_input, std::move(message));
}

tl::unexpected<Error> too_large(std::uint64_t bytes_max) {
  return refuse(
      fmt::format("it is larger than {} MB (setting images.unpacked_mb)", bytes_max >> 20U));
}

/// Which bytes a local source was, as far as its file tells.
std::string print_of(const fs::path& source, ImageKind kind) {
  const fs::path file = kind == ImageKind::oci_layout ? source / "index.json" : source;
  struct stat seen{};
  if (::stat(file.c_str(), &seen) != 0) return "missing";
  return fmt::format("{} {} {} {}.{}", seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtim.tv_sec,
                     seen.st_mtim.tv_nsec);
}

/// The digest of the manifest for this node, out of an index for several.
Result<std::string> choose_platform(const ImageManifest& index, const std::string& architecture) {
  std::string others;
  for (const ImageManifest::Platform& platform : index.platforms) {
    const bool fits = platform.system == "linux" && platform.architecture == architecture;
    if (fits || (index.platforms.size() == 1 && platform.architecture.empty())) {
      return platform.digest;
    }
    if (others.size() < 200) {
      others += (others.empty() ? "" : ", ") + platform.system + "/" + platform.architecture;
    }
  }
  return refuse(
      fmt::format("it is not for linux/{}, but for {}", architecture, in_quotes(others, 200)));
}

/// The directory that processes start in is made if it is missing, as container runtimes do.
void make_working_directory(const fs::path& root, const std::string& directory) {
  fs::path at = "/";
  for (const std::string_view part : split(directory, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return;  // Not worth the trouble: it will be missed.
    const auto inside = resolve_inside(root, (at / part).string());
    if (inside) {
      at = *inside;
      continue;
    }
    at /= part;
    if (::mkdir((root / at.relative_path()).c_str(), 0755) != 0) return;
  }
}

/// On the pool: whatever is slow with many files.
Result<std::uint64_t> finish_tree(const fs::path& root, const std::string& working_directory,
                                  std::uint64_t bytes_max) {
  auto bytes = open_up_tree(root);
  if (!bytes) return pass_on(std::move(bytes));
  if (*bytes > bytes_max) return too_large(bytes_max);
  make_working_directory(root, working_directory);
  // All of it is on disk before its name says that it is whole.
  const int directory = ::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::syncfs(directory);
    ::close(directory);
  }
  return bytes;
}

Result<UnpackedImage> read_unpacked(const fs::path& place) {
  auto text = read_file(place / "image.json", manifest_bytes_max);
  if (!text) return pass_on(std::move(text));
  auto size = read_file(place / "size", 64);
  if (!size) return pass_on(std::move(size));
  auto config = image_config_from_json(*text);
  if (!config) return pass_on(std::move(config));
  const auto bytes = parse_unsigned(trim(split(*size, '\n').front()));
  std::error_code ignored;  // What cannot be looked at is not there.
  std::string digest = place.filename().string();
  digest.replace(0, done_prefix.size(), algorithm);
  if (!bytes || !is_digest(digest) || !fs::is_directory(place / "rootfs", ignored)) {
    return fail(ErrorCode::not_found, place.string() + " is not whole");
  }
  return UnpackedImage{.digest = std::move(digest),
                       .root = place / "rootfs",
                       .bytes = *bytes,
                       .config = std::move(*config)};
}

}  // namespace

struct ImageStore::State : std::enable_shared_from_this<ImageStore::State> {
  State(asio::any_io_executor executor_, ImageSettings settings_)
      : executor(std::move(executor_)),
        settings(std::move(settings_)),
        round_timer(executor),
        tasks(executor),
        pool(1) {}

  /// One image that is being fetched and unpacked.
  struct Job {
    std::optional<Result<ImagePtr>> result;
    std::vector<std::shared_ptr<asio::steady_timer>>
        waiting;  ///< Cancelled when there is a result.
  };
  struct Entry {
    ImagePtr image;
    std::optional<SteadyClock::time_point> unused_since;
  };

  /// So many at a time; the others wait in line.
  struct Turns {
    int free = 0;
    std::deque<std::shared_ptr<asio::steady_timer>> waiting;
  };
  /// One turn; given back by its destructor.
  class Turn {
   public:
    explicit Turn(Turns* turns) : turns_(turns) {}
    ~Turn() {
      ++turns_->free;
      if (!turns_->waiting.empty()) turns_->waiting.front()->cancel();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Turn(Turn&&) = delete;
    Turn& operator=(Turn&&) = delete;

   private:
    Turns* turns_;
  };

  asio::any_io_executor executor;
  ImageSettings settings;
  std::map<std::string, Entry> images;               ///< By digest.
  std::map<std::string, std::shared_ptr<Job>> jobs;  ///< By digest.
  Turns unpacking{.free = unpacking_max, .waiting = {}};
  Turns inspecting{.free = inspecting_max, .waiting = {}};
  std::uint64_t next_work = 1;
  asio::steady_timer round_timer;
  TaskGroup tasks;
  asio::thread_pool pool;  ///< For work on many files.

  /// Waits for a turn, in line; false when it did not come until then.
  asio::awaitable<bool> wait_for_turn(Turns* turns, SteadyClock::time_point until) {
    while (turns->free == 0) {
      const auto timer = std::make_shared<asio::steady_timer>(executor, until);
      turns->waiting.push_back(timer);
      std::ignore = co_await timer->async_wait(as_result);
      std::erase(turns->waiting, timer);
      if (SteadyClock::now() >= until) co_return false;
    }
    --turns->free;
    co_return true;
  }

  fs::path new_work() {
    return settings.directory / (std::string(work_prefix) + std::to_string(next_work++));
  }

  /// Runs `work` on the pool.
  template <class T>
  asio::awaitable<T> on_pool(std::function<T()> work) {
    struct Answer {
      explicit Answer(const asio::any_io_executor& executor) : changed(executor) {
        changed.expires_at(SteadyClock::time_point::max());
      }
      asio::steady_timer changed;
      std::optional<T> value;
    };
    const auto answer = std::make_shared<Answer>(executor);
    asio::post(pool, [answer, work = std::move(work), home = executor] {
      auto value = std::make_shared<T>(work());
      asio::post(home, [answer, value] {
        answer->value = std::move(*value);
        answer->changed.cancel();
      });
    });
    while (!answer->value) std::ignore = co_await answer->changed.async_wait(as_result);
    co_return std::move(*answer->value);
  }

  void remove_later(const fs::path& place) {
    asio::post(pool, [place] {
      if (auto removed = remove_tree(place); !removed) {
        log_event(LogLevel::warn, "image_not_removed", {{"error", removed.error().message}});
      }
    });
  }

  /// As skopeo names it; the work directory holds a link to a local one.
  [[nodiscard]] static std::string source_text(const ImageName& name) {
    const std::string reference = name.reference.empty() ? "" : ":" + name.reference;
    if (name.kind == ImageKind::oci_layout) return "oci:source" + reference;
    if (name.kind == ImageKind::docker_archive) return "docker-archive:source" + reference;
    return "docker://" + name.place + name.reference;
  }

  [[nodiscard]] ProgramCall program(std::string path, const fs::path& work,
                                    std::vector<std::string> arguments) const {
    ProgramCall call{.environment = settings.environment, .directory = work.string()};
    call.environment.push_back("TMPDIR=" + work.string());
    if (!settings.setpriv.empty()) call.arguments = {settings.setpriv, "--pdeathsig", "KILL", "--"};
    call.arguments.push_back(std::move(path));
    call.arguments.insert(call.arguments.end(), std::make_move_iterator(arguments.begin()),
                          std::make_move_iterator(arguments.end()));
    call.file_bytes_max = settings.unpacked_bytes_max;
    return call;
  }

  [[nodiscard]] ProgramCall skopeo(const fs::path& work, const ImageName& name,
                                   std::vector<std::string> command) const {
    std::vector<std::string> arguments{"--override-os", "linux", "--tmpdir", work.string()};
    if (!settings.has_policy) arguments.emplace_back("--insecure-policy");
    arguments.insert(arguments.end(), command.begin(), command.end());
    if (name.kind == ImageKind::registry) {
      const bool copies = command.front() == "copy";
      std::error_code ignored;  // What cannot be looked at is not there.
      if (fs::exists(settings.credentials, ignored)) {
        arguments.emplace_back(copies ? "--src-authfile" : "--authfile");
        arguments.push_back(settings.credentials.string());
      }
      if (is_own_registry(name)) {
        arguments.emplace_back(copies ? "--src-tls-verify=false" : "--tls-verify=false");
      }
    }
    return program(settings.skopeo, work, std::move(arguments));
  }

  /// Is there anything to ask for, and may one ask? Before any program is started.
  [[nodiscard]] Result<void> check(const ImageName& name) const {
    if (name.kind == ImageKind::registry) {
      if (!is_registry_allowed(name, settings.registries)) {
        return refuse(fmt::format(
            "this node fetches nothing from {} (setting images.registries); use another registry, "
            "oci:PATH, docker-archive:FILE, dir:NAME or host:",
            in_quotes(registry_of(name))));
      }
    } else {
      const fs::path source = settings.sources / name.place;
      std::error_code ignored;  // What cannot be looked at is not there.
      const bool is_layout = name.kind == ImageKind::oci_layout;
      if (is_layout ? !fs::is_directory(source, ignored) : !fs::is_regular_file(source, ignored)) {
        return refuse(
            fmt::format("there is no {} {}", is_layout ? "directory" : "file", source.string()));
      }
    }
    for (const auto& [path, package] :
         {std::pair{&settings.skopeo, "skopeo"}, std::pair{&settings.umoci, "umoci"}}) {
      if (!path->empty()) continue;
      return refuse(fmt::format(
          "this node has no program {0}: install it (Debian: apt-get install {0}) and start the "
          "node again",
          package));
    }
    return {};
  }

  Result<void> make_work(const fs::path& work, const ImageName& name) const {
    if (auto made = make_directory(work, 0700); !made) return made;
    if (name.kind == ImageKind::registry) return {};
    std::error_code error;
    fs::create_symlink(settings.sources / name.place, work / "source", error);
    if (error) return fail(ErrorCode::unavailable, work.string() + ": " + error.message());
    return {};
  }

  asio::awaitable<Result<std::string>> inspect(fs::path work, ImageName name);
  asio::awaitable<Result<ImagePtr>> unpack(fs::path work, ImageName name, std::string digest,
                                           std::string print);
  static asio::awaitable<void> run_job(std::shared_ptr<State> self, ImageName name,
                                       std::string digest, std::string print,
                                       std::shared_ptr<Job> job);
  /// Errors as `watch` of a program has them.
  asio::awaitable<Result<void>> watch_size(fs::path work) {
    std::function<std::uint64_t()> measure = [work = std::move(work)] {
      return measure_tree(work);
    };
    const auto bytes = co_await on_pool(std::move(measure));
    if (bytes > settings.unpacked_bytes_max) co_return too_large(settings.unpacked_bytes_max);
    co_return Result<void>{};
  }

  void look_after() {
    const auto at = SteadyClock::now();
    for (auto entry = images.begin(); entry != images.end();) {
      Entry& known = entry->second;
      if (known.image.use_count() > 1) known.unused_since.reset();
      if (known.image.use_count() == 1 && !known.unused_since) known.unused_since = at;
      if (!known.unused_since || at - *known.unused_since < settings.keep) {
        ++entry;
        continue;
      }
      const fs::path work = new_work();
      std::error_code error;
      fs::rename(known.image->root.parent_path(), work, error);
      log_event(LogLevel::info, "image_removed", {{"digest", entry->first}});
      if (!error) remove_later(work);
      entry = images.erase(entry);
    }
  }

  void wait_for_round() {
    round_timer.expires_after(std::clamp(settings.keep / 4, round_min, round_max));
    round_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      self->look_after();
      self->wait_for_round();
    });
  }
};

namespace {

/// What a program that failed had to say.
tl::unexpected<Error> complaint(const ProgramEnd& end, std::string_view program) {
  const std::string text = last_complaint(end.errors);
  return refuse(text.empty() ? fmt::format("{} ended with status {}", program, end.status) : text);
}

}  // namespace

/// The digest of the manifest that `name` stands for now, on this platform.
asio::awaitable<Result<std::string>> ImageStore::State::inspect(fs::path work, ImageName name) {
  std::vector<std::string> command{"inspect", "--raw", source_text(name)};
  ProgramCall call = skopeo(work, name, std::move(command));
  call.patience = inspect_patience;
  call.output_bytes_max = manifest_bytes_max;
  auto ended = co_await run_program(executor, std::move(call));
  if (!ended) co_return pass_on(std::move(ended));
  if (ended->status != 0) co_return complaint(*ended, "skopeo");
  auto manifest = manifest_from_json(ended->output);
  if (!manifest) co_return pass_on(std::move(manifest));
  if (manifest->is_index()) co_return choose_platform(*manifest, settings.architecture);
  if (manifest->layer_bytes > settings.unpacked_bytes_max) {
    co_return too_large(settings.unpacked_bytes_max);
  }
  co_return digest_of(ended->output);
}

asio::awaitable<Result<ImagePtr>> ImageStore::State::unpack(fs::path work, ImageName name,
                                                            std::string digest, std::string print) {
  const auto until = SteadyClock::now() + settings.time_limit;
  const auto left = [until] {
    return std::max(std::chrono::duration_cast<Millis>(until - SteadyClock::now()), Millis{1});
  };
  const auto watch = [this, work] { return watch_size(work); };
  if (name.kind == ImageKind::registry) name.reference = "@" + digest;
  std::vector<std::string> command{"copy", "--quiet", source_text(name), "oci:layout:image"};
  ProgramCall copy = skopeo(work, name, std::move(command));
  copy.patience = left();
  copy.watch = watch;
  auto copied = co_await run_program(executor, std::move(copy));
  if (!copied) co_return pass_on(std::move(copied));
  if (copied->status != 0) co_return complaint(*copied, "skopeo");
  if (name.kind != ImageKind::registry &&
      print_of(settings.sources / name.place, name.kind) != print) {
    co_return fail(ErrorCode::conflict, "it changed while it was read: deploy again");
  }

  const fs::path layout = work / "layout";
  const auto read_blob = [&layout](const std::string& blob) {
    return read_file(layout / "blobs" / "sha256" / blob.substr(algorithm.size()),
                     manifest_bytes_max);
  };
  auto index =
      read_file(layout / "index.json", manifest_bytes_max).and_then([](const std::string& text) {
        return manifest_from_json(text);
      });
  if (!index) co_return pass_on(std::move(index));
  if (index->platforms.size() != 1) co_return refuse("it is not one image");
  auto manifest = read_blob(index->platforms.front().digest).and_then([](const std::string& text) {
    return manifest_from_json(text);
  });
  if (!manifest) co_return pass_on(std::move(manifest));
  if (manifest->is_index()) co_return refuse("it is not one image");
  auto config = read_blob(manifest->config).and_then([](const std::string& text) {
    return image_config_from_json(text);
  });
  if (!config) co_return pass_on(std::move(config));
  if (auto fits = check_platform(*config, settings.architecture); !fits) {
    co_return pass_on(std::move(fits));
  }

  // Two levels down: umoci lets a layer that removes ".." take the directory above the root with it.
  const fs::path root = work / "done" / "rootfs";
  if (auto made = make_directory(work / "done", 0700); !made) co_return pass_on(std::move(made));
  std::vector<std::string> words{"raw",     "unpack",       "--rootless",
                                 "--image", "layout:image", "done/rootfs"};
  ProgramCall unpacking_call = program(settings.umoci, work, std::move(words));
  unpacking_call.patience = left();
  unpacking_call.watch = watch;
  auto unpacked = co_await run_program(executor, std::move(unpacking_call));
  if (!unpacked) co_return pass_on(std::move(unpacked));
  if (unpacked->status != 0) co_return complaint(*unpacked, "umoci");
  std::function<Result<std::uint64_t>()> finish = [root, directory = config->directory,
                                                   bytes_max = settings.unpacked_bytes_max] {
    return finish_tree(root, directory, bytes_max);
  };
  auto finished = co_await on_pool(std::move(finish));
  if (!finished) co_return pass_on(std::move(finished));

  const std::string facts = image_config_to_json(*config) + "\n";
  if (auto written = write_file(work / "done" / "image.json", facts, 0600); !written) {
    co_return pass_on(std::move(written));
  }
  const std::string size = std::to_string(*finished) + "\n";
  if (auto written = write_file(work / "done" / "size", size, 0600); !written) {
    co_return pass_on(std::move(written));
  }
  const fs::path place = settings.directory / name_in_store(digest);
  std::error_code error;
  fs::rename(work / "done", place, error);
  if (error) co_return fail(ErrorCode::unavailable, place.string() + ": " + error.message());
  auto image = read_unpacked(place);
  if (!image) co_return pass_on(std::move(image));
  co_return std::make_shared<const UnpackedImage>(std::move(*image));
}

asio::awaitable<void> ImageStore::State::run_job(std::shared_ptr<State> self, ImageName name,
                                                 std::string digest, std::string print,
                                                 std::shared_ptr<Job> job) {
  const auto started = SteadyClock::now();
  const bool is_on =
      co_await self->wait_for_turn(&self->unpacking, started + self->settings.time_limit);
  Result<ImagePtr> result = fail(ErrorCode::timed_out, "other images took all the time");
  if (is_on) {
    const Turn turn(&self->unpacking);
    const fs::path work = self->new_work();
    if (auto made = self->make_work(work, name); !made) {
      result = pass_on(std::move(made));
    } else {
      result = co_await self->unpack(work, name, digest, print);
    }
    self->remove_later(work);
  }
  if (result) {
    const auto took = std::chrono::duration_cast<Millis>(SteadyClock::now() - started);
    log_event(LogLevel::info, "image_unpacked",
              {{"image", name.text},
               {"digest", digest},
               {"bytes", std::to_string((*result)->bytes)},
               {"ms", std::to_string(took.count())}});
    self->images.insert_or_assign(digest, Entry{.image = *result, .unused_since = std::nullopt});
  }
  job->result = std::move(result);
  self->jobs.erase(digest);
  for (const auto& timer : job->waiting) timer->cancel();
}

ImageStore::ImageStore(std::shared_ptr<State> state) : state_(std::move(state)) {}
ImageStore::~ImageStore() {
  state_->tasks.cancel();
  // Before the event loop goes, to which the pool's answers go.
  state_->pool.stop();
  state_->pool.join();
}

Result<std::unique_ptr<ImageStore>> ImageStore::open(asio::any_io_executor executor,
                                                     ImageSettings settings) {
  if (auto made = make_directory(settings.directory, 0700); !made) return pass_on(std::move(made));
  auto state = std::make_shared<State>(std::move(executor), std::move(settings));
  std::error_code error;
  std::vector<fs::path> places;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(state->settings.directory, error)) {
    places.push_back(entry.path());
  }
  if (error) {
    return fail(ErrorCode::unavailable,
                state->settings.directory.string() + ": " + error.message());
  }
  for (const fs::path& place : places) {
    const std::string name = place.filename().string();
    auto image = name.starts_with(done_prefix)
                     ? read_unpacked(place)
                     : Result<UnpackedImage>(fail(ErrorCode::not_found, "work"));
    if (image) {
      std::string digest = image->digest;
      auto held = std::make_shared<const UnpackedImage>(std::move(*image));
      state->images.emplace(std::move(digest),
                            State::Entry{.image = std::move(held), .unused_since = {}});
    } else if (auto removed = remove_tree(place); !removed) {
      return pass_on(std::move(removed));
    }
  }
  state->wait_for_round();
  return std::unique_ptr<ImageStore>(new ImageStore(std::move(state)));
}

ImagePtr ImageStore::find(const std::string& digest) const {
  const auto found = state_->images.find(digest);
  return found == state_->images.end() ? nullptr : found->second.image;
}

asio::awaitable<Result<ImagePtr>> ImageStore::get(ImageName name, Millis patience) {
  const std::shared_ptr<State> state = state_;
  const auto until = SteadyClock::now() + patience;
  const std::string scope = "image " + in_quotes(name.text);
  if (auto checked = state->check(name); !checked) {
    co_return tl::unexpected(std::move(checked).error().within(scope));
  }
  const bool is_on = co_await state->wait_for_turn(&state->inspecting, until);
  if (!is_on) co_return fail(ErrorCode::timed_out, scope + ": too many are asked for at once");
  // Before it is looked at: what changes from now on is noticed.
  const std::string print = name.kind == ImageKind::registry
                                ? std::string()
                                : print_of(state->settings.sources / name.place, name.kind);
  Result<std::string> digest = fail(ErrorCode::unavailable, "");
  {
    const State::Turn turn(&state->inspecting);
    const fs::path work = state->new_work();
    if (auto made = state->make_work(work, name); !made) {
      digest = pass_on(std::move(made));
    } else {
      digest = co_await state->inspect(work, name);
    }
    state->remove_later(work);
  }
  if (!digest) co_return tl::unexpected(std::move(digest).error().within(scope));
  if (const auto known = state->images.find(*digest); known != state->images.end()) {
    co_return known->second.image;
  }
  auto& job = state->jobs[*digest];
  if (!job) {
    job = std::make_shared<State::Job>();
    state->tasks.spawn(State::run_job(state, name, *digest, print, job));
  }
  const std::shared_ptr<State::Job> awaited = job;
  if (!awaited->result) {
    const auto timer = std::make_shared<asio::steady_timer>(state->executor, until);
    awaited->waiting.push_back(timer);
    std::ignore = co_await timer->async_wait(as_result);
  }
  if (!awaited->result) {
    co_return fail(ErrorCode::timed_out,
                   fmt::format("{}: it is still being fetched and unpacked: deploy again to wait "
                               "for it",
                               scope));
  }
  if (!*awaited->result) {
    Error error = awaited->result->error();
    co_return tl::unexpected(std::move(error).within(scope));
  }
  co_return **awaited->result;
}

}  // namespace dfaas
