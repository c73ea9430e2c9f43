// views_speed FOLDER [rounds] [name]: milliseconds a picture of processor time, on one thread, of reading the pictures
// of FOLDER and of making views of them (all, or those of a recipe), normalized into the memory of a batch, as the
// loader does. Its peer and driver is benchmarks/peers/compare_views.py.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/memory.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/views.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace sm = sslmeme;

namespace {

/// Of all pictures, the best of several rounds.
template <class F>
void measure(const char* name, std::size_t pictures, int rounds, F f) {
  double best = 1e30;
  for (int round = 0; round < rounds; ++round) {
    const auto began = std::clock();
    for (std::size_t i = 0; i < pictures; ++i) f(i);
    best = std::min(best, static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC);
  }
  std::cout << name << ' ' << 1e3 * best / static_cast<double>(pictures) << std::endl;
}

void run(const std::filesystem::path& folder, int rounds, const std::string& only) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator{folder}) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  if (only.empty() || only == "decode")
    measure("decode", paths.size(), rounds, [&](std::size_t i) { sm::read_image(paths[i]); });
  const auto make = [&](const char* name, const sm::Views& views) {
    if (!only.empty() && only != name) return;
    std::vector<std::vector<float>> batch;
    for (const auto& view : views)
      batch.emplace_back(3 * static_cast<std::size_t>(view.size) * static_cast<std::size_t>(view.size));
    measure(name, paths.size(), rounds, [&](std::size_t i) {
      const auto picture = sm::read_image(paths[i]);
      for (std::size_t v = 0; v < views.size(); ++v) {
        sm::Rng rng{sm::derive_seed({i, v})};
        views[v].normalize.write(views[v].transform(picture, rng), batch[v].data());
      }
    });
  };
  make("dino", sm::dino_views());
  make("clip_eval", sm::clip_eval());
  make("cass_384", sm::cass_views({.size = 384}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: views_speed FOLDER [rounds] [decode | dino | clip_eval | cass_384]\n";
    return 2;
  }
  at::set_num_threads(1);
  sm::keep_freed_memory();  // as the programs do
  try {
    run(argv[1], argc > 2 ? std::stoi(argv[2]) : 3, argc > 3 ? argv[3] : "");
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
