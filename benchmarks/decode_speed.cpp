// decode_speed FOLDER [rounds]: milliseconds a picture, on one thread, of decoding the files of FOLDER/png_rgb,
// png_rgba, png_grey and jpeg out of memory. Its peer and driver is benchmarks/peers/compare_decode.py.
#include <sslmeme/core/files.hpp>
#include <sslmeme/core/memory.hpp>
#include <sslmeme/data/image_io.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <vector>

namespace sm = sslmeme;

namespace {

std::vector<std::string> files_of(const std::filesystem::path& folder, const std::string& extension) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator{folder}) {
    if (entry.path().extension() != extension) continue;
    files.push_back(sm::read_file(entry.path()));
  }
  return files;
}

/// Of all pictures, the best of several rounds.
void measure(const char* name, const std::vector<std::string>& files, int rounds) {
  double best = 1e30;
  for (int round = 0; round < rounds; ++round) {
    const auto began = std::chrono::steady_clock::now();
    for (const auto& file : files) sm::decode_image(std::as_bytes(std::span{file}));
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  }
  std::cout << name << ' ' << 1e3 * best / static_cast<double>(files.size()) << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: decode_speed FOLDER [rounds]\n";
    return 2;
  }
  sm::keep_freed_memory();  // as the programs do
  try {
    const int rounds = argc > 2 ? std::stoi(argv[2]) : 3;
    for (const std::string kind : {"png_rgb", "png_rgba", "png_grey", "jpeg"})
      measure(kind.c_str(), files_of(std::filesystem::path{argv[1]} / kind, kind == "jpeg" ? ".jpg" : ".png"), rounds);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
