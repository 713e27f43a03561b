#include "skarv/program_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "ckpt/checkpoint.h"
#include "inputs.h"
#include "net/certificate.h"
#include "plan/search/planner.h"

namespace skarv {

namespace fs = std::filesystem;

namespace {

void must(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.to_string());
}
template <typename T>
T must(Result<T> result) {
  must(result.status());
  return std::move(result).value();
}

constexpr char kRun[] = R"([run]
name = "bad"
steps = 8
global_batch = 8

[model]
hidden = 16
blocks = 2
heads = 2
kv_heads = 1
ffn = 32
context = 16

[data]
folder = "data"

[exchange]
inner_steps = 4
overlap_steps = 1
min_contributors = 2  # steps are so short that no round would be worth its time
)";

constexpr char kCluster[] = R"([[site]]
name = "north"
[[site.host]]
name = "a"
memory = "4 GB"
devices = [{chip = "cpu", pace = 0.7, memory = "1 GB"}]

[[site]]
name = "south"
[[site.host]]
name = "b"
memory = "4 GB"
devices = [{chip = "cpu", pace = 0.4, memory = "1 GB"}]

[[link]]
from = "north"
to = "south"
bandwidth = "100 Mbit/s"
round_trip = "40 ms"
)";

Profile profile_of(const Model& model) {
  Profile profile;
  profile.model = digest_of(model).hex();
  for (const LayerKind kind : {LayerKind::kEmbedding, LayerKind::kBlock, LayerKind::kHead}) {
    for (const int microbatch : {1, 8}) {
      profile.layers.push_back({"cpu", kind, microbatch, 1, 1e-4 * microbatch, 1e-4 * microbatch,
                                1e-4 * microbatch, 1e-4, 1e4 * microbatch});
    }
  }
  profile.devices = {{"north/a/0", "cpu", 1e9, 1e8, 0.7}, {"south/b/0", "cpu", 1e9, 1e8, 0.4}};
  profile.links = {{"north", "south", 12.5e6, 0.02}};
  return profile;
}

void make_checkpoint(const fs::path& root, const Model& model) {
  const fs::path partial = must(begin_checkpoint(root, "step-4"));
  std::vector<Piece> pieces;
  for (const TensorSpec& tensor : tensors_of(model)) {
    pieces.push_back({"outer.w", tensor.name, tensor.shape, 0, tensor.num_elements()});
  }
  ShardWriter shard = must(ShardWriter::create(partial, "island", pieces));
  for (const Piece& piece : pieces) {
    must(shard.append(std::vector<float>(static_cast<size_t>(piece.size()), 0.5f)));
  }
  const Json written = must(shard.finish());
  must(commit_checkpoint(root, "step-4", {written}, {{"model", to_json(model)}, {"round", 1}}, 0));
}

}  // namespace

BackgroundProgram::BackgroundProgram(const std::vector<std::string>& command,
                                     const fs::path& folder, std::chrono::milliseconds deadline) {
  std::vector<char*> arguments;
  for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
  arguments.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  pipe_ = ends[0];
  const FileHandle writing(ends[1]);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(writing.get(), 1);
    ::dup2(writing.get(), 2);
    if (::chdir(folder.c_str()) == 0) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  pollfd waited{pipe_, POLLIN, 0};
  char letter;
  while (::poll(&waited, 1, static_cast<int>(deadline.count())) > 0 &&
         ::read(pipe_, &letter, 1) == 1 && letter != '\n') {
    first_line_ += letter;
  }
}

BackgroundProgram::~BackgroundProgram() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(pipe_);
}

ProgramEnd BackgroundProgram::interrupt(std::chrono::milliseconds deadline) {
  ProgramEnd end;
  ::kill(pid_, SIGTERM);
  pollfd waited{pipe_, POLLIN, 0};
  char block[4096];
  ssize_t count = 1;
  while (count > 0) {
    if (::poll(&waited, 1, static_cast<int>(deadline.count())) <= 0) {
      ::kill(pid_, SIGKILL);  // its exit code will not be the expected one
      break;
    }
    count = ::read(pipe_, block, sizeof block);
    if (count > 0) end.text.append(block, static_cast<size_t>(count));
  }
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return end;
}

ProgramEnd run_program(const std::vector<std::string>& command, const fs::path& folder,
                       std::chrono::milliseconds deadline, int max_file_bytes) {
  std::vector<char*> arguments;
  for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
  arguments.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const FileHandle reading(ends[0]);
  FileHandle writing(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    ::dup2(writing.get(), 1);
    ::dup2(writing.get(), 2);
    if (max_file_bytes > 0) {
      const auto bytes = static_cast<rlim_t>(max_file_bytes);
      const rlimit limit{bytes, bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (::chdir(folder.c_str()) == 0) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  writing = FileHandle();
  ProgramEnd end;
  const auto until = std::chrono::steady_clock::now() + deadline;
  bool late = false;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd waited{reading.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waited, 1, static_cast<int>(left.count())) == 0) {
      late = true;
      break;
    }
    char block[4096];
    const ssize_t count = ::read(reading.get(), block, sizeof block);
    if (count <= 0) break;
    end.text.append(block, static_cast<size_t>(count));
  }
  if (late) ::kill(-pid, SIGKILL);  // with its children: all are in a group of their own
  int status = 0;
  ::waitpid(pid, &status, 0);
  end.exit_code = late ? -1000 : WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return end;
}

std::vector<std::string> verbs_of_program() {
  const std::string text =
      run_program({SKARV_PROGRAM}, fs::temp_directory_path(), std::chrono::seconds(10)).text;
  const std::string before = "the verbs are ";
  const size_t place = text.find(before);
  if (place == std::string::npos) throw std::runtime_error("no verbs in: " + text);
  std::vector<std::string> verbs;
  for (const std::string& verb : split(split(text.substr(place + before.size()), '\n')[0], ',')) {
    verbs.push_back(verb.substr(verb.find_first_not_of(' ')));
  }
  return verbs;
}

std::map<std::string, std::string> picture_of(const fs::path& folder) {
  std::map<std::string, std::string> picture;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    // The lock of `skarv data` has no content.
    if (entry.path().filename() == ".lock") continue;
    const std::string name = entry.path().lexically_relative(folder).string();
    picture[name] = entry.is_regular_file() ? digest_of(read_text(entry.path())).hex() : "folder";
  }
  return picture;
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}
std::string read_text(const fs::path& path) { return must(read_file(path)); }

void edit(const fs::path& path, const std::string& from, const std::string& to) {
  std::string text = read_text(path);
  const size_t place = text.find(from);
  if (place == std::string::npos) throw std::runtime_error(path.string() + " has no " + from);
  write_text(path, text.replace(place, from.size(), to));
}

void make_good_inputs(const fs::path& folder) {
  fs::create_directories(folder / "corpus");
  fs::create_directories(folder / "empty");
  for (int file = 0; file < 6; ++file) {
    std::string text;
    for (int line = 0; line < 60; ++line) {
      text += cat("line ", line, " of file ", file, " says ", file * line, " and more\n");
    }
    write_text(folder / "corpus" / cat(file, ".txt"), text);
  }
  DataOptions options;
  options.corpus.path = folder / "corpus";
  options.output = folder / "data";
  options.vocabulary_size = 300;
  options.validation_fraction = 0.2;
  must(prepare_data(options).status());
  write_text(folder / "run.toml", kRun);
  write_text(folder / "cluster.toml", kCluster);
  RunInput input = must(read_run_input(folder / "run.toml"));
  input.run.data.folder = "data";
  const Cluster cluster = must(read_cluster(folder / "cluster.toml"));
  const Profile profile = profile_of(input.run.model);
  const Plan plan = must(make_plan(input.run, cluster, profile)).plan;
  write_text(folder / "profile.json", to_json(profile).dump(1));
  write_text(folder / "plan.json", to_json(plan).dump(1));
  write_text(folder / "job.json", to_json(Job{input.run, cluster, profile, plan}).dump(1));
  make_checkpoint(folder / "island" / "checkpoints", input.run.model);
  for (const char* certs : {"certs", "other"}) {
    must(net::make_authority(folder / certs, "bad"));
    must(net::make_token(folder / certs));
    for (const char* name : {"coordinator", "north", "south"}) {
      must(net::make_certificate(folder / certs, name).status());
    }
  }
}

const fs::path& good_inputs() {
  struct Made {
    fs::path folder = fs::temp_directory_path() / cat("skarv-good-inputs-", ::getpid());
    Made() { make_good_inputs(folder); }
    ~Made() {
      std::error_code ignored;
      fs::remove_all(folder, ignored);
    }
  };
  static const Made made;
  return made.folder;
}

fs::path worker_path() {
  return fs::path(SKARV_PROGRAM).parent_path().parent_path() / "worker" / "skarv-worker";
}

}  // namespace skarv
