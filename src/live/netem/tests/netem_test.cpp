// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Real networks and machines of the kernel, where the tests may make them; else skipped, saying why.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "live/netem/echo.hpp"
#include "live/netem/groups.hpp"
#include "live/netem/janitor.hpp"
#include "live/netem/machine.hpp"
#include "live/netem/network_namespace.hpp"
#include "live/netem/virtual_switch.hpp"

namespace dfaas {
namespace {

namespace asio = boost::asio;

Scenario pair(Micros rtt) {
  Scenario scenario;
  for (const char* name : {"a", "b"}) {
    scenario.nodes.push_back({.name = NodeName::parse(name).value()});
  }
  scenario.links = {{.a = 0, .b = 1, .rtt = rtt}};
  return scenario;
}

class Networks : public testing::Test {
 protected:
  void SetUp() override {
    const auto possible = check_networks();
    const bool is_allowed = possible || (possible.error().code != ErrorCode::denied &&
                                         possible.error().code != ErrorCode::not_found);
    if (!is_allowed) GTEST_SKIP() << possible.error().message;
    ASSERT_TRUE(possible) << possible.error().message;
  }

  void make(Micros rtt) {
    const Scenario scenario = pair(rtt);
    std::vector<Descriptor> taps;
    for (NodeIndex node = 0; node < 2; ++node) {
      networks.push_back(NetworkNamespace::make().value());
      taps.push_back(networks.back().make_tap(hardware_address_of(node), address_of(node)).value());
    }
    wires = std::make_unique<VirtualSwitch>(context.get_executor(), FrameSwitch(scenario, 1),
                                            std::move(taps));
    wires->start();
  }

  /// From the first to the second.
  std::optional<Micros> ping(Millis patience) {
    auto asked =
        asio::co_spawn(context, echo(&networks[0], address_of(1), patience), asio::use_future);
    context.restart();
    while (asked.wait_for(std::chrono::seconds{0}) != std::future_status::ready) {
      context.run_one();
    }
    auto answer = asked.get();
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(std::nullopt);
  }

  asio::io_context context{1};
  std::vector<NetworkNamespace> networks;
  std::unique_ptr<VirtualSwitch> wires;
};

TEST_F(Networks, AreLinkedWithTheDelayOfTheLink) {
  make(Micros{40'000});
  ASSERT_TRUE(ping(Millis{5000})) << "the first one also asks for the hardware address";
  const auto took = ping(Millis{5000});
  ASSERT_TRUE(took);
  EXPECT_GE(*took, Micros{40'000});
}

TEST_F(Networks, HearNothingOverACutLinkAndAllOfItWhenItHeals) {
  make(Micros{1000});
  ASSERT_TRUE(ping(Millis{5000}));
  const ScenarioFault cut{.kind = FaultKind::one_way_cut, .nodes = {1, 0}};
  wires->model().begin(cut);
  EXPECT_FALSE(ping(Millis{300}));
  wires->model().end(cut);
  EXPECT_TRUE(ping(Millis{5000}));
}

class Machines : public Networks {
 protected:
  std::unique_ptr<Machine> start(const std::string& script) {
    auto machine = Machine::start(context.get_executor(),
                                  {.name = "tested",
                                   .command = {"/bin/sh", "-c", script},
                                   .log_file = log,
                                   .network = networks.front().descriptor(),
                                   .groups = {}},
                                  [this] { has_ended = true; });
    EXPECT_TRUE(machine.has_value()) << machine.error().message;
    return machine ? std::move(*machine) : nullptr;
  }
  void run_until_end() {
    context.restart();
    while (!has_ended) context.run_one();
  }
  std::string logged() const {
    std::ifstream file(log);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void TearDown() override { std::filesystem::remove(log); }

  std::string log = testing::TempDir() + "dfaas-machine-" + std::to_string(::getpid()) + ".log";
  bool has_ended = false;
};

TEST_F(Machines, SeeTheirOwnProcessesAndName) {
  make(Micros{1000});
  const auto machine = start("echo $$ $(cat /proc/sys/kernel/hostname)");
  ASSERT_TRUE(machine);
  run_until_end();
  EXPECT_EQ(logged(), "2 tested\n") << "the first process is ours";
  EXPECT_FALSE(machine->is_running());
}

TEST_F(Machines, DieWithEveryProcessAtOnce) {
  make(Micros{1000});
  auto machine = start("sleep 1000 & setsid sleep 1000 & wait");
  ASSERT_TRUE(machine);
  while (machine->programs().size() < 2) ::usleep(1000);
  std::vector<int> inside{machine->program_pid()};
  for (const auto& [name, pid] : machine->programs()) inside.push_back(pid);
  machine->kill();
  run_until_end();
  for (const int pid : inside) EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(Machines, OutliveTheirProgramAsLongAsItsOrphans) {
  make(Micros{1000});
  const auto machine = start("sleep 1000 & wait");
  ASSERT_TRUE(machine);
  while (machine->programs().count("sleep") == 0)
    ::usleep(1000);  // Until then it is a fork of the shell.
  const int orphan = machine->programs().find("sleep")->second;
  ::kill(machine->program_pid(), SIGKILL);
  while (machine->program_pid() > 0) ::usleep(1000);
  context.restart();
  context.poll();
  EXPECT_FALSE(has_ended);
  EXPECT_EQ(::kill(orphan, SIGKILL), 0);
  run_until_end();
  EXPECT_FALSE(machine->is_running());
}

TEST_F(Machines, ListTheirProgramsWhileTheseComeAndGo) {
  make(Micros{1000});
  const auto machine =
      start("sleep 1000 & for i in 1 2 3 4; do (while :; do /bin/true; done) & done; wait");
  ASSERT_TRUE(machine);
  while (machine->programs().count("sleep") == 0) ::usleep(1000);
  for (int times = 0; times < 200; ++times) EXPECT_EQ(machine->programs().count("sleep"), 1U);
}

TEST_F(Machines, AreAskedToStopByASignalToTheirProgram) {
  make(Micros{1000});
  const auto machine =
      start("trap 'echo stopped; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
  ASSERT_TRUE(machine);
  while (logged() != "ready\n") ::usleep(1000);
  machine->ask_to_stop();
  run_until_end();
  EXPECT_EQ(logged(), "ready\nstopped\n");
}

TEST_F(Networks, LoseTheirDeviceAndGetItBack) {
  make(Micros{1000});
  ASSERT_TRUE(ping(Millis{5000}));
  ASSERT_TRUE(networks[1].switch_device(false));
  EXPECT_FALSE(ping(Millis{300}));
  ASSERT_TRUE(networks[1].switch_device(true));
  EXPECT_TRUE(ping(Millis{5000}));
}

TEST_F(Machines, RunCommandsInTheirNetwork) {
  make(Micros{1000});
  const auto machine = start("exec sleep 1000");
  ASSERT_TRUE(machine);
  EXPECT_EQ(run_command(networks.front(), machine->pid(),
                        "test $(cat /proc/sys/kernel/hostname) = tested")
                .value(),
            0);
  EXPECT_EQ(run_command(networks.front(), 0, "exit 3").value(), 3);
}

TEST_F(Networks, HaveAShareOfTheProcessorsWhereTheHostLetsGroupsBeMade) {
  auto janitor = Janitor::start();
  ASSERT_TRUE(janitor);
  std::vector<std::string> files;
  {
    const MachineGroups groups("dfaas-emulate-test-" + std::to_string(::getpid()), **janitor);
    auto made = groups.make("light", 0.5);
    if (!made) GTEST_SKIP() << made.error().message;
    files = std::move(*made);
  }
  ASSERT_FALSE(files.empty());
  bool is_limited = false;
  for (const std::string& file : files) {
    const auto group = std::filesystem::path(file).parent_path();
    EXPECT_TRUE(std::filesystem::exists(group));
    for (const char* limit : {"cpu.max", "cpu.cfs_quota_us"}) {
      int quota = 0;
      if (std::ifstream(group / limit) >> quota) is_limited = quota == 50'000;
    }
  }
  EXPECT_TRUE(is_limited);
  janitor->reset();
  for (const std::string& file : files) {
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(file).parent_path()));
  }
}

TEST(Janitor, RemovesWhatItWasToldOf) {
  std::string directory = testing::TempDir() + "dfaas-janitor-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  std::ofstream(directory + "/file") << "x";
  auto janitor = Janitor::start();
  ASSERT_TRUE(janitor);
  (*janitor)->add_directory(directory);
  EXPECT_TRUE(std::filesystem::exists(directory));
  janitor->reset();
  EXPECT_FALSE(std::filesystem::exists(directory));
}

}  // namespace
}  // namespace dfaas
