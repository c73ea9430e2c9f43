// No space left while a run is written: what was good stays, and serves once there is space again.
#include <sslmeme/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/mount.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <string>
#include <utility>

#include "tiny_run.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using namespace sm::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::ExistingRun;

namespace {

/// While alive, no file of this process may grow beyond so many bytes: write() then fails as on a full disk.
struct FileSizeLimit {
  explicit FileSizeLimit(rlim_t bytes) : signal{std::signal(SIGXFSZ, SIG_IGN)} {
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit limit{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, signal);
  }
  rlimit before{};
  void (*signal)(int);
};

/// A file system of one megabyte, where the system allows to make one.
struct SmallDisk {
  explicit SmallDisk(fs::path where) : path{std::move(where)} {
    fs::create_directories(path);
    mounted = mount("tmpfs", path.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted) umount2(path.c_str(), MNT_DETACH);
  }
  fs::path path;
  bool mounted;
};

/// Nothing of a half written file or checkpoint is left.
void check_no_partial(const fs::path& run) {
  for (const auto& entry : fs::recursive_directory_iterator{run}) {
    const auto name = entry.path().filename().string();
    INFO(name);
    CHECK((name.find(".tmp") == std::string::npos && name.find("partial") == std::string::npos));
  }
}

}  // namespace

TEST_CASE("No space left: the run ends with IoError, older checkpoints stay and serve") {
  const TemporaryFolder temporary;
  const auto whole = temporary / "whole", run = temporary / "run";
  const auto expected = train(options(whole));
  train(options(run), StopAt{4});
  const auto before = all_files_of(run / "checkpoints");
  const auto model = bytes_of(run / "model.safetensors");
  {
    const FileSizeLimit limit{8192};
    CHECK_THROWS_MATCHES(train(options(run, ExistingRun::resume), StopAt{6}), sm::IoError,
                         MessageMatches(ContainsSubstring("cannot write") && ContainsSubstring(run.string())));
  }
  CHECK((all_files_of(run / "checkpoints") == before));
  CHECK((bytes_of(run / "model.safetensors") == model));
  check_no_partial(run);
  check_same(train(options(run, ExistingRun::resume)), expected, run);
}

TEST_CASE("A disk that is really full: the same") {
  const TemporaryFolder temporary;
  const SmallDisk disk{temporary / "disk"};
  if (!disk.mounted) SKIP("mounting a small file system is not allowed here");
  const auto run = disk.path / "run";
  train(options(run), StopAt{4});
  const auto before = all_files_of(run / "checkpoints");
  {
    std::ofstream filler{disk.path / "filler", std::ios::binary};
    const std::string block(4096, 'x');
    while (filler.write(block.data(), 4096) && filler.flush()) {
    }
  }
  CHECK_THROWS_MATCHES(train(options(run, ExistingRun::resume), StopAt{6}), sm::IoError,
                       MessageMatches(ContainsSubstring("No space left") || ContainsSubstring("disk full")));
  CHECK((all_files_of(run / "checkpoints") == before));
  check_no_partial(run);
  fs::remove(disk.path / "filler");
  CHECK(train(options(run, ExistingRun::resume)).result.steps == batches * epochs);
}
