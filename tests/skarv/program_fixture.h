// A folder of small good inputs, and the real program run on them with a deadline.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace skarv {

struct ProgramEnd {
  int exit_code = -1;  // minus the signal; -1000: it did not end in time and was killed
  std::string text;    // stdout and stderr
};

// Runs `command` in `folder`; `max_file_bytes` > 0 limits the size of the files that it writes,
// which is what a full disk looks like to it.
ProgramEnd run_program(const std::vector<std::string>& command, const std::filesystem::path& folder,
                       std::chrono::milliseconds deadline, int max_file_bytes = 0);

// A program that runs beside the test; its first line is read before the constructor returns.
class BackgroundProgram {
 public:
  BackgroundProgram(const std::vector<std::string>& command, const std::filesystem::path& folder,
                    std::chrono::milliseconds deadline);
  ~BackgroundProgram();  // kills it
  BackgroundProgram(const BackgroundProgram&) = delete;
  const std::string& first_line() const { return first_line_; }
  // SIGTERM; how it ended, with what it printed after its first line. Once.
  ProgramEnd interrupt(std::chrono::milliseconds deadline);

 private:
  int pid_ = -1, pipe_ = -1;
  std::string first_line_;
};

// The verbs of the program, as it tells them to one who names none.
std::vector<std::string> verbs_of_program();

// Everything that lies below `folder`: path and digest of the content.
std::map<std::string, std::string> picture_of(const std::filesystem::path& folder);

void write_text(const std::filesystem::path& path, const std::string& text);
std::string read_text(const std::filesystem::path& path);
// Replaces the first `from` in the file, which has to have it.
void edit(const std::filesystem::path& path, const std::string& from, const std::string& to);

// Makes the good inputs in `folder`: corpus/, data/, run.toml, cluster.toml, profile.json,
// plan.json, job.json, island/checkpoints/step-4, certs/, other/ (another authority), empty/.
void make_good_inputs(const std::filesystem::path& folder);
// The same, made once a process; to copy from.
const std::filesystem::path& good_inputs();

// Where the program looks for its worker; it may not be built (preset core).
std::filesystem::path worker_path();

}  // namespace skarv
