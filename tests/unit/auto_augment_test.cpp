// RandAugment against torchvision (scripts/golden/transforms.py, rand_augment.json), and the law of its choice.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/auto_augment.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/transforms.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "json_files.hpp"
#include "patterns.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;

const std::filesystem::path folder = std::filesystem::path{SSLMEME_TEST_DATA} / "transforms";
const auto golden = test::json_of(folder / "rand_augment.json");

AugmentOperation operation_of(const std::string& name) {
  static const std::map<std::string, AugmentOperation> all{{"Identity", AugmentOperation::identity},
                                                           {"ShearX", AugmentOperation::shear_x},
                                                           {"ShearY", AugmentOperation::shear_y},
                                                           {"TranslateX", AugmentOperation::translate_x},
                                                           {"TranslateY", AugmentOperation::translate_y},
                                                           {"Rotate", AugmentOperation::rotate},
                                                           {"Brightness", AugmentOperation::brightness},
                                                           {"Color", AugmentOperation::color},
                                                           {"Contrast", AugmentOperation::contrast},
                                                           {"Sharpness", AugmentOperation::sharpness},
                                                           {"Posterize", AugmentOperation::posterize},
                                                           {"Solarize", AugmentOperation::solarize},
                                                           {"AutoContrast", AugmentOperation::auto_contrast},
                                                           {"Equalize", AugmentOperation::equalize}};
  return all.at(name);
}

TEST_CASE("RandAugment's magnitudes are torchvision's") {
  REQUIRE(golden["magnitudes"].size() == 4 * augment_operations.size());
  for (const auto& item : golden["magnitudes"]) {
    const int bins = item[0], width = item[1], height = item[2];
    const bool whole = item[3] == "Posterize";
    const auto& expected = item[5];
    for (int i = 0; i < bins; ++i) {
      const RandAugment transform{.magnitude = i, .num_magnitude_bins = bins};
      INFO(item[3] << " of " << width << " × " << height << ", " << i << " of " << bins);
      // The last bit of torch.linspace hangs on the machine that it ran on.
      CHECK_THAT(
          transform.magnitude_of(operation_of(item[3]), width, height),
          WithinRel(expected[expected.size() > 1 ? static_cast<std::size_t>(i) : 0].get<double>(), whole ? 0 : 4e-7));
    }
  }
  // 150 pixels of 331 are shifted in steps of five, none of which may be cut to four.
  for (int i = 0; i < 31; ++i) {
    CHECK(RandAugment{.magnitude = i}.magnitude_of(AugmentOperation::translate_x, 331, 1) == 5 * i);
  }
}

TEST_CASE("each operation of RandAugment equals torchvision's") {
  REQUIRE(golden["applied"].size() == 9 * 6 + 2 * 3 + 3);
  const auto source = test::pattern("waves", 61, 47);
  for (const auto& item : golden["applied"]) {
    INFO(item);
    const Augmentation augmentation{operation_of(item[0]), item[3].get<double>()};
    CHECK(test::fingerprint(augmented(source, augmentation)) == item[4].get<std::string>());
  }
  const auto difference = [picture = read_image(folder / "source.png")](const Augmentation& augmentation,
                                                                        const std::string& name) {
    const auto actual = augmented(picture, augmentation, Interpolation::bilinear);
    const auto expected = read_image(folder / ("rand_augment_" + name + ".png"));
    int largest = 0;
    for (std::size_t i = 0; i < actual.pixels.size(); ++i) {
      largest = std::max(largest, std::abs(actual.pixels[i] - expected.pixels.at(i)));
    }
    return largest;
  };
  CHECK(difference({AugmentOperation::shear_x, 0.21}, "ShearX") <= 1);
  CHECK(difference({AugmentOperation::shear_y, -0.3}, "ShearY") <= 1);
  CHECK(difference({AugmentOperation::rotate, 27}, "Rotate") <= 1);
}

TEST_CASE("RandAugment chooses evenly among operations and signs") {
  const RandAugment transform;
  constexpr int n = 28'000;
  Rng rng{11};
  std::map<AugmentOperation, std::array<int, 2>> counts;
  for (int i = 0; i < n; ++i) {
    const auto drawn = transform.draw(224, 200, rng);
    REQUIRE(std::abs(drawn.magnitude) == transform.magnitude_of(drawn.operation, 224, 200));
    ++counts[drawn.operation][drawn.magnitude < 0 ? 1 : 0];
  }
  REQUIRE(counts.size() == augment_operations.size());
  const double expected = static_cast<double>(n) / static_cast<double>(augment_operations.size());
  double chi_square = 0;
  int with_sign = 0;
  for (const auto& [operation, count] : counts) {
    const double excess = count[0] + count[1] - expected;
    chi_square += excess * excess / expected;
    if (count[1] == 0) continue;
    ++with_sign;
    CHECK(std::abs(count[0] - count[1]) < 4.5 * std::sqrt(expected));
  }
  CHECK(chi_square < 45);  // 13 degrees of freedom: exceeded once in 50 000
  CHECK(with_sign == 9);
}

TEST_CASE("RandAugment applies num_ops operations in a row") {
  const auto source = test::pattern("waves", 40, 30);
  for (const int num_ops : {0, 1, 2, 5}) {
    const RandAugment transform{.num_ops = num_ops, .magnitude = 20};
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      Rng a{seed}, b{seed};
      auto expected = source;
      for (int i = 0; i < num_ops; ++i) expected = augmented(expected, transform.draw(40, 30, b));
      CHECK(ImageTransform{transform}(source, a) == expected);
    }
  }
  std::set<std::vector<std::uint8_t>> seen;
  Rng rng{2};
  for (int i = 0; i < 40; ++i) seen.insert(RandAugment{}(source, rng).pixels);
  CHECK(seen.size() > 25);
}

TEST_CASE("RandAugment refuses options that cannot work") {
  const auto message = [](const auto& part) { return MessageMatches(ContainsSubstring(part)); };
  CHECK_THROWS_MATCHES(ImageTransform{RandAugment{.num_ops = -1}}, InvalidArgument, message("num_ops is -1"));
  CHECK_THROWS_MATCHES(ImageTransform{RandAugment{.magnitude = 31}}, InvalidArgument,
                       message("magnitude is 31 of .num_magnitude_bins 31"));
  CHECK_THROWS_AS((ImageTransform{RandAugment{.magnitude = 0, .num_magnitude_bins = 1}}), InvalidArgument);
  CHECK_THROWS_MATCHES(ImageTransform{RandAugment{.interpolation = Interpolation::bicubic}}, InvalidArgument,
                       message("choose nearest or bilinear"));
  CHECK_THROWS_MATCHES(augmented(Image{2, 2}, {AugmentOperation::posterize, NAN}), InvalidArgument,
                       message(".magnitude is nan"));
  CHECK_THROWS_MATCHES(augmented(Image{2, 2}, {AugmentOperation::posterize, 9}), InvalidArgument, message("bits is 9"));
}

}  // namespace
}  // namespace sslmeme
