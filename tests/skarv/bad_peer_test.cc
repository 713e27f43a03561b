// Bad company, for the real program: a port that is taken, nobody where somebody should answer, a
// guest with another token or certificate, a second coordinator, half an export.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "skarv/program_fixture.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;

constexpr auto kDeadline = std::chrono::seconds(10);

class BadPeer : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / cat("skarv-bad-peer-", ::getpid());
    fs::remove_all(folder_);
    fs::copy(good_inputs(), folder_, fs::copy_options::recursive);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

// A port of this machine's own, taken but not necessarily listened at.
class TakenPort {
 public:
  TakenPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    place_ = cat("127.0.0.1:", ntohs(address.sin_port));
  }
  void listen() { EXPECT_EQ(::listen(socket_.get(), 1), 0); }
  const std::string& place() const { return place_; }

 private:
  FileHandle socket_;
  std::string place_;
};

TEST_F(BadPeer, PortInUse) {
  TakenPort taken;
  taken.listen();
  const ProgramEnd end = run_program({SKARV_PROGRAM, "coordinator", "--job", "job.json", "--folder",
                                      "c", "--plain", "--listen", taken.place()},
                                     folder_, kDeadline);
  EXPECT_EQ(end.exit_code, 3) << end.text;
  for (const std::string& word :
       {taken.place(), std::string("in use"), std::string("another port")}) {
    EXPECT_NE(end.text.find(word), std::string::npos) << end.text;
  }
}

TEST_F(BadPeer, JoinSaysThatNoCoordinatorAnswers) {
  const TakenPort closed;
  const BackgroundProgram join(
      {SKARV_PROGRAM, "join", "--job", "job.json", "--island", "south", "--folder", "j", "--certs",
       "certs", "--listen", "127.0.0.1:0", "--coordinator", closed.place()},
      folder_, kDeadline);
  for (const std::string& word : {std::string("does not answer yet"), closed.place()}) {
    EXPECT_NE(join.first_line().find(word), std::string::npos) << join.first_line();
  }
}

TEST_F(BadPeer, TruncatedExport) {
  if (!fs::exists(worker_path())) GTEST_SKIP() << "skarv-worker is not built (preset core)";
  const ProgramEnd made =
      run_program({SKARV_PROGRAM, "export", "island", "--out", "x"}, folder_, kDeadline);
  ASSERT_EQ(made.exit_code, 0) << made.text;
  fs::resize_file(folder_ / "x/model.safetensors",
                  fs::file_size(folder_ / "x/model.safetensors") / 2);
  const auto before = picture_of(folder_);
  const std::vector<std::vector<std::string>> commands = {
      {SKARV_PROGRAM, "generate", "x"},
      {worker_path().string(), "evaluate", "--checkpoint", "x", "--data", "data"}};
  for (const auto& command : commands) {
    const ProgramEnd end = run_program(command, folder_, kDeadline);
    EXPECT_EQ(end.exit_code, 4) << end.text;
    for (const char* word : {"x/model.safetensors", "not a whole", "hint: "}) {
      EXPECT_NE(end.text.find(word), std::string::npos) << end.text;
    }
  }
  EXPECT_EQ(picture_of(folder_), before);
}

// A coordinator that is up, and what comes to it.
class BadGuest : public BadPeer {
 protected:
  // What a program tells a script when it listens; null when it said something else.
  static Json told(const BackgroundProgram& program) {
    const auto json = parse_json(program.first_line(), "its first line");
    return json.ok() && json->is_object() && json->contains("address") ? *json : Json();
  }
  static std::string address_of(const BackgroundProgram& coordinator) {
    const Json json = told(coordinator);
    return json.is_null() ? "" : json["address"].get<std::string>();
  }
  std::vector<std::string> coordinator(const std::string& folder) const {
    return {SKARV_PROGRAM, "coordinator", "--job",    "job.json",    "--folder", folder,
            "--certs",     "certs",       "--listen", "127.0.0.1:0", "--json"};
  }
  static std::vector<std::string> join(const std::string& certs, const BackgroundProgram& host) {
    return {SKARV_PROGRAM, "join",     "--job",       "job.json",      "--island",
            "south",       "--folder", "j",           "--json",        "--certs",
            certs,         "--listen", "127.0.0.1:0", "--coordinator", address_of(host)};
  }
  void expect_refused(const std::string& certs, const std::vector<std::string>& words) {
    const BackgroundProgram host(coordinator("c"), folder_, kDeadline);
    ASSERT_FALSE(told(host).is_null()) << host.first_line();
    const ProgramEnd end = run_program(join(certs, host), folder_, kDeadline);
    EXPECT_EQ(end.exit_code, 3) << end.text;
    EXPECT_NE(end.text.find(address_of(host)), std::string::npos) << end.text;
    for (const std::string& word : words) {
      EXPECT_NE(end.text.find(word), std::string::npos) << end.text;
    }
    EXPECT_NE(end.text.find("hint: "), std::string::npos) << end.text;
    EXPECT_FALSE(fs::exists(folder_ / "j"));
  }
};

TEST_F(BadGuest, WrongToken) {
  fs::copy(folder_ / "certs", folder_ / "wrong", fs::copy_options::recursive);
  fs::copy(folder_ / "other/token", folder_ / "wrong/token", fs::copy_options::overwrite_existing);
  expect_refused("wrong", {"token of 'south'", "same token file"});
}

TEST_F(BadGuest, AnotherAuthority) { expect_refused("other", {"certificate", "authority"}); }

// With any free port to listen at, only the program itself knows which.
TEST_F(BadGuest, CoordinatorTellsAPersonAndAScriptWhereItListens) {
  std::vector<std::string> command = coordinator("c");
  {
    const BackgroundProgram host(command, folder_, kDeadline);
    const Json json = told(host);
    ASSERT_FALSE(json.is_null()) << host.first_line();
    EXPECT_TRUE(address_of(host).starts_with("127.0.0.1:")) << json;
    EXPECT_FALSE(address_of(host).ends_with(":0")) << json;
    EXPECT_EQ(json["run"], "bad");
    EXPECT_EQ(json["folder"], "c");
  }
  command.pop_back();
  const BackgroundProgram host(command, folder_, kDeadline);
  EXPECT_TRUE(host.first_line().starts_with("coordinator of run 'bad' listens at 127.0.0.1:"))
      << host.first_line();
}

class SlowGuest : public BadGuest {};

TEST_F(SlowGuest, TellsAScriptWhereItListensAndWhatItJoined) {
  constexpr auto kWorkerDeadline = std::chrono::seconds(60);
  const BackgroundProgram host(coordinator("c"), folder_, kDeadline);
  ASSERT_FALSE(told(host).is_null()) << host.first_line();
  BackgroundProgram guest(join("certs", host), folder_, kWorkerDeadline);
  if (!fs::exists(worker_path())) {
    EXPECT_NE(guest.first_line().find("skarv-worker"), std::string::npos) << guest.first_line();
    return;
  }
  const Json json = told(guest);
  ASSERT_FALSE(json.is_null()) << guest.first_line();
  EXPECT_TRUE(address_of(guest).starts_with("127.0.0.1:")) << json;
  EXPECT_FALSE(address_of(guest).ends_with(":0")) << json;
  EXPECT_EQ(json["run"], "bad");
  EXPECT_EQ(json["island"], "south");
  EXPECT_EQ(json["coordinator"], address_of(host));
  // In order, for the sake of its workers, which would outlive it.
  const ProgramEnd end = guest.interrupt(kWorkerDeadline);
  EXPECT_EQ(end.exit_code, 130) << end.text;
}

TEST_F(BadGuest, InterruptedCoordinatorSaysHowToGoOn) {
  BackgroundProgram host(coordinator("c"), folder_, kDeadline);
  ASSERT_FALSE(told(host).is_null()) << host.first_line();
  const ProgramEnd end = host.interrupt(kDeadline);
  EXPECT_EQ(end.exit_code, 130) << end.text;
  for (const char* word : {"interrupted", "ledger", "hint: the same command"}) {
    EXPECT_NE(end.text.find(word), std::string::npos) << end.text;
  }
}

TEST_F(BadGuest, SecondCoordinatorOfOneFolder) {
  const BackgroundProgram host(coordinator("c"), folder_, kDeadline);
  ASSERT_FALSE(told(host).is_null()) << host.first_line();
  const ProgramEnd end = run_program(coordinator("c"), folder_, kDeadline);
  EXPECT_EQ(end.exit_code, 3) << end.text;
  for (const char* word : {"c/ledger.sqlite", "another coordinator", "hint: "}) {
    EXPECT_NE(end.text.find(word), std::string::npos) << end.text;
  }
}

}  // namespace
}  // namespace skarv
