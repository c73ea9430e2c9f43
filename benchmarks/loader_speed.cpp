// loader_speed [--data FOLDER] [--epochs N] [--size S]: pictures a second that a loader gives with one and with two
// workers, of the same files: those of FOLDER, or PNGs made for it. LibTorch has one thread; nothing else is done.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/memory.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/loader.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace sm = sslmeme;
namespace fs = std::filesystem;

namespace {

struct Arguments {
  fs::path data;
  std::int64_t epochs = 6;
  int size = 224;
};

struct Pictures {
  std::vector<fs::path> paths;
  std::size_t size() const { return paths.size(); }
  sm::Sample get(std::size_t i) const { return {sm::read_image(paths[i]), "", {}, static_cast<std::int64_t>(i)}; }
};

Pictures pictures_in(const fs::path& folder) {
  Pictures pictures;
  for (const auto& entry : fs::directory_iterator{folder}) pictures.paths.push_back(entry.path());
  std::sort(pictures.paths.begin(), pictures.paths.end());
  return pictures;
}

/// 550 × 400, as memes often are: smooth with some noise, so that they compress like photographs.
void make_pictures(const fs::path& folder, int count) {
  for (int i = 0; i < count; ++i) {
    sm::Image image{550, 400};
    sm::Rng rng{static_cast<std::uint64_t>(i)};
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width * 3; ++x)
        image.row(y)[x] = static_cast<std::uint8_t>(128 + 100 * std::sin(x * 0.01 + i) * std::cos(y * 0.02) +
                                                    static_cast<double>(rng.below(16)));
    }
    sm::write_png(folder / (std::to_string(i) + ".png"), image);
  }
}

/// Pictures a second of one epoch.
double rate_of(sm::DataLoader& loader, std::int64_t epoch) {
  const auto began = std::chrono::steady_clock::now();
  std::int64_t pictures = 0;
  loader.start_epoch(epoch);
  while (const auto next = loader.next()) pictures += next->size();
  return static_cast<double>(pictures) /
         std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void run(const Arguments& arguments, const fs::path& folder) {
  const auto data = pictures_in(folder);
  if (data.paths.empty()) throw sm::InvalidArgument(folder.string() + " has no picture: give another --data");
  const auto batch = std::min<std::int64_t>(16, static_cast<std::int64_t>(data.size()));
  const auto compare = [&](const char* name, const sm::Views& views) {
    sm::DataLoader first{data, views, {.batch_size = batch, .workers = 1}};
    sm::DataLoader second{data, views, {.batch_size = batch, .workers = 2}};
    double one = 0, two = 0;
    for (std::int64_t epoch = 0; epoch < arguments.epochs; ++epoch) {
      one = std::max(one, rate_of(first, epoch));
      two = std::max(two, rate_of(second, epoch));
    }
    std::cout << name << "  1 worker " << one << "  2 workers " << two << "  ratio " << two / one << std::endl;
  };
  std::cout << data.size() << " pictures, pictures a second, best of " << arguments.epochs << " epochs by turns\n";
  compare("clip_eval ", sm::clip_eval({.size = arguments.size}));
  compare("cass_views", sm::cass_views({.size = arguments.size}));
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  sm::keep_freed_memory();  // as the programs do
  try {
    Arguments arguments;
    for (int i = 1; i < argc; i += 2) {
      const std::string name = argv[i];
      if (i + 1 == argc || (name != "--data" && name != "--epochs" && name != "--size")) {
        std::cerr << "usage: loader_speed [--data FOLDER] [--epochs N] [--size S]\n";
        return 2;
      }
      if (name == "--data") arguments.data = argv[i + 1];
      if (name == "--epochs") arguments.epochs = std::stoll(argv[i + 1]);
      if (name == "--size") arguments.size = std::stoi(argv[i + 1]);
    }
    if (!arguments.data.empty()) {
      run(arguments, arguments.data);
      return 0;
    }
    auto folder = (fs::temp_directory_path() / "loader_speed_XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) throw sm::IoError("cannot make a folder for pictures: " + folder);
    make_pictures(folder, 480);
    try {
      run(arguments, folder);
    } catch (...) {
      fs::remove_all(folder);
      throw;
    }
    fs::remove_all(folder);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
