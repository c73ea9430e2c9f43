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
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;
using Clock = std::chrono::steady_clock;
using Bytes = std::string;

constexpr std::size_t max_input_bytes = 1 << 20;
constexpr std::size_t max_corpus_bytes = 64 << 20;
constexpr auto max_input_time = std::chrono::seconds{60};  // hours on a slow machine are no hang, this is
constexpr std::size_t max_resident_bytes = std::size_t{3} << 30;

// ------ what the inputs reach
// -----------------------------------------------------------------------------------------

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

// ------ new inputs from old ones
// --------------------------------------------------------------------------------------

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<Bytes> words) : dice_{seed}, words_{std::move(words)} {}

  std::size_t below(std::size_t n) { return dice_() % n; }

  /// `input`, changed in one to eight ways; `other` lends parts.
  Bytes mutate(Bytes input, const Bytes& other) {
    for (auto steps = std::size_t{1} << below(4); steps > 0; --steps) change(input, other);
    if (input.size() > max_input_bytes) input.resize(max_input_bytes);
    return input;
  }

 private:
  void change(Bytes& input, const Bytes& other) {
    if (input.empty()) {
      input = other;
      return;
    }
    const auto at = below(input.size());
    const auto length = std::min(input.size() - at, std::size_t{1} << below(9));
    switch (below(12)) {
      case 0:
        input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        input[at] = static_cast<char>(dice_());
        break;
      case 2:
        overwrite(input, at, interesting());
        break;
      case 3:
        input.erase(at, length);
        break;
      case 4:  // twice, or many times
        input.insert(at, repeated(input.substr(at, length), below(8) == 0 ? 64 : 1));
        break;
      case 5:
        input.insert(at, std::string(std::size_t{1} << below(9), static_cast<char>(dice_())));
        break;
      case 6:
        if (!words_.empty()) input.insert(at, words_[below(words_.size())]);
        break;
      case 7:
        if (!words_.empty()) overwrite(input, at, words_[below(words_.size())]);
        break;
      case 8:
        if (!other.empty()) input = input.substr(0, at) + other.substr(below(other.size()));
        break;
      case 9:
        input.resize(at);
        break;
      case 10:
        overwrite(input, below(input.size()), input.substr(at, length));
        break;
      default:
        replace_number(input, at);
    }
  }

  static Bytes repeated(const Bytes& part, std::size_t times) {
    Bytes all;
    while (times-- > 0) all += part;
    return all;
  }

  static void overwrite(Bytes& input, std::size_t at, const Bytes& part) {
    input.replace(at, std::min(part.size(), input.size() - at), part);
  }

  /// A number near which code goes wrong, in one to eight bytes of either order.
  Bytes interesting() {
    constexpr std::array<std::uint64_t, 12> numbers{0,      1,          0x7F,       0x80,       0xFF,        0x7FFF,
                                                    0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1ULL << 62U, ~0ULL};
    const auto number = numbers[below(numbers.size())] + below(3) - 1;
    Bytes bytes(std::size_t{1} << below(4), '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(number >> (8 * i));
    if (below(2) == 0) std::ranges::reverse(bytes);
    return bytes;
  }

  /// The digits at or behind `at` become another number.
  void replace_number(Bytes& input, std::size_t at) {
    constexpr std::array numbers{"0"sv,
                                 "1"sv,
                                 "-1"sv,
                                 "255"sv,
                                 "65536"sv,
                                 "2147483647"sv,
                                 "4294967296"sv,
                                 "9223372036854775807"sv,
                                 "9223372036854775808"sv,
                                 "18446744073709551616"sv,
                                 "1e999"sv,
                                 "00000000000"sv};
    const auto first = input.find_first_of("0123456789", at);
    if (first == Bytes::npos) return;
    const auto last = std::min(input.find_first_not_of("0123456789", first), input.size());
    input.replace(first, last - first, numbers[below(numbers.size())]);
  }

  std::mt19937_64 dice_;
  std::vector<Bytes> words_;
};

// ------ files
// ---------------------------------------------------------------------------------------------------------

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
    if (read(path).size() > max_input_bytes)
      throw std::runtime_error(fmt::format("{} has over {} bytes", path.string(), max_input_bytes));
  if (options.inputs.empty()) throw std::runtime_error("no input: give files or a folder of them");
  return options;
}

// ------ child and parent
// ----------------------------------------------------------------------------------------------

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
    reached_something_new();
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
