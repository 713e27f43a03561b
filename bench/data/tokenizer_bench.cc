// How fast tokenizers are learned and text is encoded, on one core.
//   SKARV_BENCH_CORPUS=<folder with *.py> build/bench/skarv_data_bench
// Without the variable the Python sources of .venv in the working folder are read, and without
// these made-up text. An encoder begins each iteration with a cold cache.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <map>
#include <random>

#include "data/corpus.h"
#include "data/encoder.h"
#include "data/trainer.h"

namespace skarv {
namespace {

constexpr uint64_t kCorpusBytes = 50'000'000;

std::filesystem::path corpus_folder() {
  if (const char* path = std::getenv("SKARV_BENCH_CORPUS")) return path;
  return ".venv/lib";
}

std::string made_up_source() {
  std::mt19937_64 random(1);
  std::string text;
  while (text.size() < kCorpusBytes) {
    text.append(4 * (random() % 4), ' ');
    for (int word = static_cast<int>(random() % 8); word >= 0; --word) {
      for (int letter = static_cast<int>(random() % 7); letter >= 0; --letter) {
        text += static_cast<char>('a' + random() % 26 % (1 + random() % 26));
      }
      text += " _.()=,1"[random() % 8];
    }
    text += '\n';
  }
  return text;
}

// The documents of the corpus as one text.
const std::string& source_text() {
  static const std::string kText = [] {
    CorpusOptions options;
    options.path = corpus_folder();
    options.extensions = {".py"};
    options.max_bytes = kCorpusBytes;
    std::string text;
    const Result<Corpus> corpus = Corpus::open(options);
    if (!corpus.ok()) return made_up_source();
    CorpusReader reader = corpus->read();
    CorpusDocument document;
    for (Result<bool> found = reader.next(&document); found.ok() && *found;
         found = reader.next(&document)) {
      text += document.text;
    }
    return text;
  }();
  return kText;
}

// Code points of all planes alike, valid UTF-8: no word comes twice.
std::string random_unicode(size_t num_bytes) {
  std::mt19937_64 random(2);
  std::string text;
  while (text.size() < num_bytes) {
    const uint32_t point = 0x80 + static_cast<uint32_t>(random() % (0x110000 - 0x80));
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    if (point >= 0x10000) {
      text += static_cast<char>(0xF0 | point >> 18);
      text += static_cast<char>(0x80 | (point >> 12 & 0x3F));
    } else {
      text += static_cast<char>(0xE0 | point >> 12);
    }
    if (point < 0x800) {
      text.back() = static_cast<char>(0xC0 | point >> 6);
    } else {
      text += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    }
    text += static_cast<char>(0x80 | (point & 0x3F));
  }
  return text;
}

const Tokenizer& tokenizer_of(int32_t vocabulary_size) {
  static const WordCounter kWords = [] {
    WordCounter words;
    words.add(source_text());
    return words;
  }();
  static std::map<int32_t, Tokenizer> known;
  const auto found = known.find(vocabulary_size);
  if (found != known.end()) return found->second;
  return known.emplace(vocabulary_size, *train_tokenizer(kWords, vocabulary_size)).first->second;
}

void count_bytes(benchmark::State& state, const std::string& text) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void BM_Learn(benchmark::State& state) {
  const std::string& text = source_text();
  for (auto _ : state) {
    WordCounter words;
    words.add(text);
    const auto tokenizer = train_tokenizer(words, static_cast<int32_t>(state.range(0)));
    state.counters["tokens"] = tokenizer->vocabulary_size();
    state.counters["distinct_words"] = static_cast<double>(words.num_words());
  }
  count_bytes(state, text);
}
BENCHMARK(BM_Learn)->Arg(4096)->Arg(8192)->Unit(benchmark::kSecond)->Iterations(1);

void encode_bench(benchmark::State& state, const std::string& text) {
  const Tokenizer& tokenizer = tokenizer_of(static_cast<int32_t>(state.range(0)));
  std::vector<int32_t> ids;
  for (auto _ : state) {
    Encoder encoder(tokenizer);
    ids.clear();
    // In documents, as a corpus comes.
    for (size_t begin = 0; begin < text.size(); begin += 64 << 10) {
      encoder.encode(std::string_view(text).substr(begin, 64 << 10), ids);
    }
    benchmark::DoNotOptimize(ids.data());
  }
  state.counters["bytes_per_token"] =
      static_cast<double>(text.size()) / static_cast<double>(ids.size());
  count_bytes(state, text);
}

void BM_EncodeSource(benchmark::State& state) { encode_bench(state, source_text()); }
BENCHMARK(BM_EncodeSource)->Arg(4096)->Arg(8192)->Unit(benchmark::kMillisecond);

void BM_EncodeRandomUnicode(benchmark::State& state) {
  static const std::string kText = random_unicode(8 << 20);
  encode_bench(state, kText);
}
BENCHMARK(BM_EncodeRandomUnicode)->Arg(8192)->Unit(benchmark::kMillisecond);

// One word of a million letters: the worst that text can do to the merging.
void BM_EncodeOneLongWord(benchmark::State& state) {
  static const std::string kText(1 << 20, 'e');
  const Tokenizer& tokenizer = tokenizer_of(8192);
  Encoder encoder(tokenizer);
  std::vector<int32_t> ids;
  for (auto _ : state) {
    ids.clear();
    encoder.encode(kText, ids);
  }
  count_bytes(state, kText);
}
BENCHMARK(BM_EncodeOneLongWord)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace skarv
