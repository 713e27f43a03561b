// skarv data: a corpus becomes a tokenizer and token files.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/text.h"
#include "data/prepare.h"
#include "progress.h"
#include "verb.h"

namespace skarv {

namespace {

constexpr double kMaxMegabytes = 1e9;

struct DataFlags {
  DataOptions options;
  std::string corpus, output, tokenizer;
  double max_megabytes = 0;
  bool json = false, quiet = false;
};

Status make_data(DataFlags flags) {
  DataOptions options = flags.options;
  if (!(flags.max_megabytes >= 0 &&
        flags.max_megabytes <= kMaxMegabytes)) {  // false for what is no number, too
    return config_error(cat("--max-mb is ", flags.max_megabytes))
        .at("skarv data")
        .with_hint(cat("choose 0 (all of it) to ", kMaxMegabytes));
  }
  options.corpus.path = flags.corpus;
  options.output = flags.output;
  options.tokenizer = flags.tokenizer;
  options.corpus.max_bytes = static_cast<uint64_t>(flags.max_megabytes * 1e6);
  Progress progress(flags.quiet || flags.json);
  options.progress = [&](double fraction, const std::string& text) {
    progress.update(fraction, text);
  };
  const auto prepared = prepare_data(options);
  if (!prepared.ok()) {
    Status why = prepared.status();
    if (why.hint().empty() && !flags.tokenizer.empty()) {
      why = why.with_hint(
          "--tokenizer takes a tokenizer.json with byte-level BPE; without it one is "
          "learned");
    }
    return why.origin().empty() ? why.at("skarv data") : why;
  }
  const DataReport& report = *prepared;
  progress.finish();
  if (flags.json) {
    Json json = report.to_json();
    json["left_out"] = report.num_left_out;
    std::printf("%s\n", json.dump(2).c_str());
    return Status();
  }
  std::printf("%s%s: %s of text in %llu files\n", flags.output.c_str(),
              report.was_done ? " (was there already)" : "",
              human_bytes(static_cast<double>(report.num_text_bytes)).c_str(),
              static_cast<unsigned long long>(report.num_files));
  std::printf("  tokenizer   byte-level BPE, %d tokens, %.2f bytes a token\n",
              report.vocabulary_size,
              static_cast<double>(report.num_text_bytes) /
                  static_cast<double>(report.train.num_tokens + report.validation.num_tokens));
  if (flags.tokenizer.empty() && report.vocabulary_size < flags.options.vocabulary_size) {
    std::printf("              fewer than %d: no pair in this corpus comes twice any more\n",
                flags.options.vocabulary_size);
  }
  std::printf("  training    %s tokens in %s documents\n",
              human_count(static_cast<double>(report.train.num_tokens)).c_str(),
              human_count(static_cast<double>(report.train.num_documents)).c_str());
  std::printf("  validation  %s tokens, held out; unigram loss %.3f nats\n",
              human_count(static_cast<double>(report.validation.num_tokens)).c_str(),
              report.unigram_nats);
  if (report.num_left_out > 0) {
    std::printf("  %llu files that are no UTF-8 text were left out; --extension takes them\n",
                static_cast<unsigned long long>(report.num_left_out));
  }
  if (report.num_replaced > 0) {
    std::printf("  %llu invalid parts of UTF-8 were replaced\n",
                static_cast<unsigned long long>(report.num_replaced));
  }
  return Status();
}

}  // namespace

void add_data(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<DataFlags>();
  CLI::App* verb = app.add_subcommand("data", "turn a corpus into a tokenizer and token files");
  verb->add_option("corpus", flags->corpus, "a text file, a .jsonl file, or a folder")->required();
  verb->add_option("--out", flags->output, "folder for tokenizer.json and token files")->required();
  verb->add_option("--extension", flags->options.corpus.extensions,
                   "of the files to take from a folder, with its dot (may be repeated); default: "
                   "all that look "
                   "like text")
      ->allow_extra_args(false);
  verb->add_option("--field", flags->options.corpus.text_field, "text field of .jsonl lines")
      ->capture_default_str();
  verb->add_option("--max-mb", flags->max_megabytes,
                   "take at most so many megabytes of the corpus");
  verb->add_option("--vocabulary", flags->options.vocabulary_size, "tokens to learn")
      ->check(CLI::Range(258, 1 << 20))
      ->capture_default_str();
  verb->add_option("--tokenizer", flags->tokenizer,
                   "use this tokenizer.json instead of learning one");
  verb->add_option("--validation", flags->options.validation_fraction, "part that is held out")
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "print JSON");
  verb->add_flag("--quiet", flags->quiet, "no progress");
  verb->footer("Example: skarv data books/ --extension .txt --vocabulary 8192 --out data/books");
  verb->callback([flags, &action] { action = [flags] { return make_data(*flags); }; });
}

}  // namespace skarv
