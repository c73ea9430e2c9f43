// Bits that flip and files that end early: no damaged checkpoint is taken for a whole one.
#include <sslmeme/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <random>
#include <string>

#include "files.hpp"
#include "tiny_run.hpp"
#include "train/checkpoint_store.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using namespace sm::test;
using sm::ExistingRun;

namespace {

void write_over(const fs::path& path, const std::string& content) {
  std::ofstream{path, std::ios::binary | std::ios::trunc} << content;
}

/// Whether a checkpoint with this file in place of its own is rejected.
bool rejected(const fs::path& file, const std::string& content) {
  write_over(file, content);
  try {
    sm::detail::read_checkpoint(file.parent_path());
    return false;
  } catch (const sm::Error&) {
    return true;
  }
}

std::string flipped(std::string content, std::size_t bit) {
  content[bit / 8] = static_cast<char>(static_cast<unsigned char>(content[bit / 8]) ^ (1U << bit % 8));
  return content;
}

std::size_t header_bytes(const std::string& safetensors) {
  std::size_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length * 256 + static_cast<unsigned char>(safetensors[i]);
  return 8 + length;
}

}  // namespace

TEST_CASE("Every flipped bit and every truncation of a checkpoint is noticed") {
  const TemporaryFolder temporary;
  train(options(temporary.path), StopAt{4});
  const auto checkpoint = sm::detail::checkpoints_in(temporary / "checkpoints").front();
  REQUIRE_NOTHROW(sm::detail::read_checkpoint(checkpoint));
  std::mt19937_64 dice{3};
  for (const auto* name : {"manifest.json", "model.safetensors", "optimizer.safetensors"}) {
    INFO(name);
    const auto file = checkpoint / name;
    const auto whole = bytes_of(file);
    const bool text = file.extension() == ".json";
    const auto head = text ? whole.size() : header_bytes(whole);
    std::size_t missed = 0;
    for (std::size_t byte = 0; byte < head; ++byte)
      missed += rejected(file, flipped(whole, byte * 8 + dice() % 8)) ? 0 : 1;
    for (int i = 0; i < (text ? 0 : 1000); ++i) {
      const auto bit = std::uniform_int_distribution<std::size_t>{head * 8, whole.size() * 8 - 1}(dice);
      missed += rejected(file, flipped(whole, bit)) ? 0 : 1;
    }
    for (int i = 0; i < 100; ++i) {
      const auto length = std::uniform_int_distribution<std::size_t>{0, whole.size() - 1}(dice);
      missed += rejected(file, whole.substr(0, length)) ? 0 : 1;
    }
    missed += rejected(file, whole + '\0') ? 0 : 1;
    CHECK(missed == 0);
    write_over(file, whole);
    REQUIRE_NOTHROW(sm::detail::read_checkpoint(checkpoint));
  }
}
