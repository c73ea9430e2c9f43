// Runs a fuzz target where there is no libFuzzer: replays inputs, then makes new ones of them, in the same order for
// the same --seed. A child process runs the target; its parent keeps the input that was under way when the child died,
// hung or grew too large. Where our code is compiled with -fsanitize-coverage=trace-pc, inputs that reach something new
// are built upon.
//
//   NAME_fuzz [--seconds N] [--seed N] [--dictionary FILE] [--artifacts DIR] FILE|DIR...
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/mutator.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

using sslmeme::fuzz::Bytes, sslmeme::fuzz::max_input_bytes, sslmeme::fuzz::Mutator;

constexpr std::size_t max_corpus_bytes = 64 << 20;
constexpr auto max_input_time = std::chrono::seconds{60};  // far more than a busy machine adds
constexpr std::size_t max_resident_bytes = std::size_t{3} << 30;

constexpr std::size_t map_size = 1 << 16;
std::array<unsigned char, map_size> hits;  // of each edge, by a hash, in this run
std::array<unsigned char, map_size> seen;  // in which powers of two, over all runs
std::uintptr_t previous_place;
bool recording;

}  // namespace

#ifdef __clang__
#define SSLMEME_UNWATCHED __attribute__((no_sanitize("coverage", "address", "undefined")))
#else
#define SSLMEME_UNWATCHED __attribute__((no_sanitize_coverage, no_sanitize("address"), no_sanitize("undefined")))
#endif

/// What the compiler calls on each block of code.
extern "C" SSLMEME_UNWATCHED void __sanitizer_cov_trace_pc() {
  if (!recording) return;
  // Relative to this function, since programs lie elsewhere in each run.
  const auto place = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) -
                     reinterpret_cast<std::uintptr_t>(&__sanitizer_cov_trace_pc);
  auto& count = hits[(place ^ previous_place) % map_size];
  if (count < 255) ++count;
  previous_place = place >> 1U;
}

namespace {

bool reached_something_new() {
  bool fresh = false;
  for (std::size_t i = 0; i < map_size; ++i) {
    if (std::uint64_t eight = 0; i % 8 == 0 && (std::memcpy(&eight, &hits[i], 8), eight == 0)) i += 7;
    if (hits[i] == 0) continue;
    unsigned char power = 1;
    for (unsigned left = hits[i]; left > 1; left >>= 1U) power = static_cast<unsigned char>(power << 1U);
    fresh |= (seen[i] & power) == 0;
    seen[i] |= power;
  }
  return fresh;
}

Bytes read(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) throw std::runtime_error(fmt::format("cannot open {}", path.string()));
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// The words of a dictionary in libFuzzer's format: "text" or name="text" a line, with \xNN, \\ and \".
std::vector<Bytes> read_dictionary(const fs::path& path) {
  std::vector<Bytes> words;
  std::ifstream file{path};
  if (!file) throw std::runtime_error(fmt::format("cannot open {}", path.string()));
  for (std::string line; std::getline(file, line);) {
    const auto begin = line.find('"'), end = line.rfind('"');
    if (line.empty() || line[0] == '#') continue;
    if (begin == end) throw std::runtime_error(fmt::format("{}: no word in the line {}", path.string(), line));
    Bytes word;
    for (auto i = begin + 1; i < end; ++i) {
      if (line[i] != '\\') {
        word += line[i];
      } else if (line[++i] == 'x') {
        word += static_cast<char>(std::stoi(line.substr(i + 1, 2), nullptr, 16));
        i += 2;
      } else {
        word += line[i];
      }
    }
    words.push_back(std::move(word));
  }
  return words;
}

struct Options {
  double seconds = 0;
  std::uint64_t seed = 1;
  fs::path artifacts = ".";
  std::vector<Bytes> words;
  std::vector<fs::path> inputs;
};

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const auto value = [&] {
      if (i + 1 == count) throw std::runtime_error(argument + " needs a value");
      return std::string{arguments[++i]};
    };
    if (argument == "--seconds")
      options.seconds = std::stod(value());
    else if (argument == "--seed")
      options.seed = std::stoull(value());
    else if (argument == "--artifacts")
      options.artifacts = value();
    else if (argument == "--dictionary")
      options.words = read_dictionary(value());
    else if (argument.starts_with("--"))
      throw std::runtime_error(argument + " is no option: --seconds, --seed, --dictionary, --artifacts");
    else if (fs::is_directory(argument))
      for (const auto& entry : fs::directory_iterator{argument}) options.inputs.push_back(entry.path());
    else
      options.inputs.emplace_back(argument);
  }
  std::ranges::sort(options.inputs);
  for (const auto& path : options.inputs)
    if (fs::file_size(path) > max_input_bytes)
      throw std::runtime_error(fmt::format("{} has over {} bytes", path.string(), max_input_bytes));
  if (options.inputs.empty()) throw std::runtime_error("no input: give files or a folder of them");
  return options;
}

/// What the child leaves for its parent, even when it dies.
struct Shared {
  std::atomic<std::uint64_t> executions, replayed, corpus, edges, slowest_ms, size;
  std::atomic<bool> finished;
  char input[max_input_bytes];
};

class Child {
 public:
  Child(Shared& shared, const Options& options) : shared_{shared}, options_{options} {}

  void run() {
    for (const auto& path : options_.inputs) {
      auto input = read(path);
      execute(input);
      reached_something_new();
      keep(std::move(input));
      ++shared_.replayed;
    }
    Mutator mutator{options_.seed, options_.words};
    const auto end = Clock::now() + std::chrono::duration<double>{options_.seconds};
    while (Clock::now() < end) {
      // Half of them from what was found last.
      const auto recent = std::min<std::size_t>(corpus_.size(), 16);
      const auto base =
          mutator.below(2) == 0 ? corpus_.size() - 1 - mutator.below(recent) : mutator.below(corpus_.size());
      auto input = mutator.mutate(corpus_[base], corpus_[mutator.below(corpus_.size())]);
      execute(input);
      if (reached_something_new()) keep(std::move(input));
    }
    shared_.finished = true;
  }

 private:
  void execute(const Bytes& input) {
    shared_.size = input.size();
    std::memcpy(shared_.input, input.data(), input.size());
    // Of its exact size, so that the address sanitizer sees what is read beyond it.
    const std::vector<std::uint8_t> exact(input.begin(), input.end());
    hits.fill(0);
    previous_place = 0;
    const auto start = Clock::now();
    recording = true;
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
    recording = false;
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
    shared_.slowest_ms = std::max(shared_.slowest_ms.load(), static_cast<std::uint64_t>(took));
    ++shared_.executions;
  }

  void keep(Bytes input) {
    corpus_bytes_ += input.size();
    if (corpus_bytes_ <= max_corpus_bytes) corpus_.push_back(std::move(input));
    shared_.corpus = corpus_.size();
    shared_.edges = static_cast<std::uint64_t>(std::ranges::count_if(seen, [](unsigned char s) { return s != 0; }));
  }

  Shared& shared_;
  const Options& options_;
  std::vector<Bytes> corpus_;
  std::size_t corpus_bytes_ = 0;
};

std::size_t resident_bytes(pid_t process) {
  std::ifstream file{fmt::format("/proc/{}/statm", process)};
  std::size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Waits for the child; empty if all is well, or what went wrong, in a word that names the file and in a sentence.
std::array<std::string, 2> watch(pid_t child, const Shared& shared) {
  std::uint64_t executions = 0;
  auto since = Clock::now();
  while (true) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
      const auto how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                           : fmt::format("exit status {}", WEXITSTATUS(status));
      if (shared.finished) return {"", fmt::format("failed at its end ({}): see above", how)};
      return {"crash", fmt::format("died ({})", how)};
    }
    const auto kill = [&] {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
    };
    if (shared.executions != executions || shared.finished) {
      executions = shared.executions;
      since = Clock::now();
    } else if (Clock::now() - since > max_input_time) {
      kill();
      return {"hang", fmt::format("took over {} s", max_input_time.count())};
    }
    if (resident_bytes(child) > max_resident_bytes) {
      kill();
      return {"memory", fmt::format("grew over {} MiB", max_resident_bytes >> 20U)};
    }
    ::usleep(20'000);
  }
}

/// Keeps the input that was under way, under a name that tells inputs apart.
fs::path save(const Shared& shared, const fs::path& folder, const std::string& what, const std::string& name) {
  const std::string_view input{shared.input, shared.size};
  auto path = folder / fmt::format("{}-{}-{:016x}", what, name, std::hash<std::string_view>{}(input));
  fs::create_directories(folder);
  std::ofstream file{path, std::ios::binary};
  file << input << std::flush;
  if (!file) throw std::runtime_error(fmt::format("cannot write {}", path.string()));
  return path;
}

int fuzz(const Options& options, const std::string& name) {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("cannot share memory");
  auto& shared = *new (memory) Shared{};
  const auto start = Clock::now();
  const auto child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Child{shared, options}.run();
    return 0;
  }
  const auto [what, sentence] = watch(child, shared);
  const auto seconds = std::chrono::duration<double>(Clock::now() - start).count();
  fmt::print("{}: {} replayed, {} executions in {:.1f} s, {:.0f} a second, {} kept, {} edges, slowest {} ms\n", name,
             shared.replayed.load(), shared.executions.load(), seconds,
             static_cast<double>(shared.executions.load()) / seconds, shared.corpus.load(), shared.edges.load(),
             shared.slowest_ms.load());
  if (sentence.empty()) return 0;
  fmt::print(stderr, "{}: {}{}\n", name, sentence,
             what.empty() ? ""
                          : fmt::format(" on the input {}: give it to this program to see it again",
                                        save(shared, options.artifacts, what, name).string()));
  return 1;
}

}  // namespace

int main(int count, char** arguments) {
  auto name = fs::path{arguments[0]}.filename().string();
  if (name.ends_with("_fuzz")) name.resize(name.size() - std::strlen("_fuzz"));
  try {
    return fuzz(parse(count, arguments), name);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return 2;
  }
}
