// auroc_speed SCORES LABELS [rounds]: seconds of AUROC, the best of several rounds, and its value. SCORES holds f64,
// LABELS i64 as they lie in memory. Its peer and driver is benchmarks/peers/compare_auroc.py.
#include <sslmeme/core/files.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

namespace sm = sslmeme;

namespace {

template <class T>
std::vector<T> numbers_in(const char* file) {
  const auto bytes = sm::read_file(file);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: auroc_speed SCORES LABELS [rounds]\n";
    return 2;
  }
  try {
    const auto scores = numbers_in<double>(argv[1]);
    const auto labels = numbers_in<std::int64_t>(argv[2]);
    const int rounds = argc > 3 ? std::stoi(argv[3]) : 3;
    double best = 1e30, value = 0;
    for (int round = 0; round < rounds; ++round) {
      const auto began = std::chrono::steady_clock::now();
      value = sm::auroc(scores, labels);
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
    }
    std::cout.precision(17);
    std::cout << best << ' ' << value << '\n';
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
