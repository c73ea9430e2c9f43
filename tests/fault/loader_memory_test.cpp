// A loader for many epochs: memory stays flat. And one that gets no more threads: it says so and leaves nothing behind.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/loader.hpp>

#include <ATen/Parallel.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "batches.hpp"
#include "files.hpp"

namespace sslmeme {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

/// Bytes that the process takes: all of its address space, or what of it is in memory.
double bytes_taken(bool resident) {
  std::ifstream status{"/proc/self/statm"};
  double pages = 0, in_memory = 0;
  status >> pages >> in_memory;
  return (resident ? in_memory : pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// Pictures of different sizes, as PNG and JPEG files.
struct Pictures {
  std::vector<fs::path> paths;
  std::size_t size() const { return paths.size(); }
  Sample get(std::size_t i) const { return {read_image(paths[i]), "", {}, static_cast<std::int64_t>(i)}; }
};

Pictures make_pictures(const test::TemporaryFolder& folder) {
  Pictures pictures;
  for (int i = 0; i < 64; ++i) {
    const auto name = std::to_string(i);
    if (i % 4 == 3) {
      pictures.paths.push_back(folder / (name + ".jpg"));
      fs::copy_file(fs::path{SSLMEME_TEST_DATA} / "pictures" / (i % 8 == 3 ? "baseline.jpg" : "progressive.jpg"),
                    pictures.paths.back());
      continue;
    }
    Image image{200 + i * 37 % 500, 150 + i * 53 % 400};
    for (std::size_t k = 0; k < image.pixels.size(); ++k)
      image.pixels[k] = static_cast<std::uint8_t>(k * 7 + k / 1000 * 31 + static_cast<std::size_t>(i));
    pictures.paths.push_back(folder / (name + ".png"));
    write_png(pictures.paths.back(), image);
  }
  return pictures;
}

TEST_CASE("the memory of 20 epochs is that of 3") {
  const test::TemporaryFolder folder;
  DataLoader loader{make_pictures(folder), cass_views({.size = 64}), {.batch_size = 8, .workers = 2}};
  double after_3 = 0;
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    loader.start_epoch(epoch);
    while (loader.next()) {
    }
    if (epoch == 2) after_3 = bytes_taken(true);
  }
  const auto after_20 = bytes_taken(true);
  CAPTURE(after_3 / 1e6, after_20 / 1e6);
  CHECK(after_20 < 1.05 * after_3);
}

/// While alive, the stacks of four more threads do not fit in memory, but much else does.
class NoRoomForStacks {
 public:
  NoRoomForStacks() {
    constexpr std::size_t gigabyte = std::size_t{1} << 30U;
    pthread_getattr_default_np(&attributes_);
    pthread_attr_t large = attributes_;
    pthread_attr_setstacksize(&large, 2 * gigabyte);
    pthread_setattr_default_np(&large);
    getrlimit(RLIMIT_AS, &limit_);
    auto narrow = limit_;
    narrow.rlim_cur = static_cast<rlim_t>(bytes_taken(false)) + 7 * gigabyte;
    setrlimit(RLIMIT_AS, &narrow);
  }
  ~NoRoomForStacks() {
    setrlimit(RLIMIT_AS, &limit_);
    pthread_setattr_default_np(&attributes_);
  }
  NoRoomForStacks(const NoRoomForStacks&) = delete;
  NoRoomForStacks& operator=(const NoRoomForStacks&) = delete;

 private:
  pthread_attr_t attributes_{};
  rlimit limit_{};
};

TEST_CASE("where the system gives no more threads, LibTorch's number of threads is as before") {
  struct Black {
    std::size_t size() const { return 512; }
    Sample get(std::size_t i) const { return {Image{8, 8}, "", {}, static_cast<std::int64_t>(i)}; }
  };
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  DataLoader loader{Black{}, eval_views({.size = 8}), {.batch_size = 2, .workers = 8}};
  {
    const NoRoomForStacks no_room;
    CHECK_THROWS_MATCHES(
        loader.start_epoch(0), IoError,
        MessageMatches(ContainsSubstring("of 8 workers were started") && ContainsSubstring("set .workers lower")));
  }
  CHECK(at::get_num_threads() == 3);
  int fresh = 0;
  std::thread{[&] { fresh = at::get_num_threads(); }}.join();
  CHECK(fresh == 3);
  CHECK_THROWS_MATCHES(loader.next(), InvalidArgument, MessageMatches(ContainsSubstring("start_epoch")));
  CHECK(test::batches_of(loader, 0).size() == 256);  // it goes on once there are
  at::set_num_threads(before);
}

}  // namespace
}  // namespace sslmeme
