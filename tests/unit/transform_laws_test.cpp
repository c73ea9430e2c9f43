// The dice of random transforms against torchvision's: each parameter's distribution, by the test of Kolmogorov and
// Smirnov (scripts/golden/laws.py).
#include <sslmeme/data/erasing.hpp>
#include <sslmeme/data/transforms.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "json_files.hpp"

namespace sslmeme {
namespace {

constexpr std::size_t draws = 100'000;

const auto golden = test::json_of(std::filesystem::path{SSLMEME_TEST_DATA} / "transforms" / "laws.json");

/// Parameters by name.
using Draw = std::map<std::string, double>;
using Columns = std::map<std::string, std::vector<double>>;

Columns drawn(const std::function<Draw(Rng&)>& draw) {
  Rng rng{17};
  Columns columns;
  for (std::size_t i = 0; i < draws; ++i) {
    for (const auto& [name, value] : draw(rng)) columns[name].push_back(value);
  }
  return columns;
}

/// The largest distance of two distributions at the golden's points.
double distance(std::vector<double> values, const nlohmann::json& law) {
  std::ranges::sort(values);
  double largest = 0;
  for (std::size_t i = 0; i < law["at"].size(); ++i) {
    const auto below = std::ranges::upper_bound(values, law["at"][i].get<double>()) - values.begin();
    const double share = static_cast<double>(below) / static_cast<double>(values.size());
    largest = std::max(largest, std::abs(share - law["below"][i].get<double>() / golden["draws"].get<double>()));
  }
  return largest;
}

/// Equal distributions are further apart than this once in a million times (Smirnov's limit; at points of the golden's
/// choice and for whole numbers more seldom).
double limit() {
  constexpr double rarity = 1e-6;
  return std::sqrt(-0.5 * std::log(rarity / 2)) *
         std::sqrt(1.0 / static_cast<double>(draws) + 1.0 / golden["draws"].get<double>());
}

void check_law(const std::string& transform, const std::function<Draw(Rng&)>& draw) {
  const auto columns = drawn(draw);
  std::set<std::string> seen;
  for (const auto& law : golden["laws"]) {
    if (law["transform"] != transform) continue;
    const std::string name = law["parameter"];
    INFO(transform << ", " << name);
    REQUIRE(columns.contains(name));
    CHECK(distance(columns.at(name), law) < limit());
    seen.insert(name);
  }
  CHECK(seen.size() == columns.size());
}

/// What torchvision calls the box when nothing fits.
Box or_all(const Box& box, int width, int height) {
  return box.width > 0 || box.height > 0 ? box : Box{0, 0, width, height};
}

Draw parameters(const Box& box, int width, int height) {
  return {{"left", box.x},
          {"top", box.y},
          {"width", box.width},
          {"height", box.height},
          {"area", static_cast<double>(box.width) * box.height},
          {"aspect", static_cast<double>(box.width) / box.height},
          {"left_share", static_cast<double>(box.x) / std::max(width - box.width, 1)},
          {"top_share", static_cast<double>(box.y) / std::max(height - box.height, 1)}};
}

const RandomAffine motion{
    .degrees = {-10, 25}, .translate = {0.1, 0.3}, .scale = {0.7, 1.4}, .shear = {AngleRange{-5, 15}, {-20, 3}}};

Draw parameters(const AffineMotion& drawn) {
  return {{"degrees", drawn.degrees}, {"shift_x", drawn.shift.x}, {"shift_y", drawn.shift.y},
          {"scale", drawn.scale},     {"shear_x", drawn.shear.x}, {"shear_y", drawn.shear.y}};
}

TEST_CASE("RandomResizedCrop draws place, area and aspect as torchvision does") {
  const auto check = [](int width, int height, const RandomResizedCrop& transform) {
    check_law("crop " + std::to_string(width) + ' ' + std::to_string(height),
              [&](Rng& rng) { return parameters(transform.draw(width, height, rng), width, height); });
  };
  check(550, 400, {.size = 224});
  check(61, 47, {.size = 224, .scale = {0.9, 1.0}});
  check(300, 60, {.size = 224, .scale = {0.1, 0.6}});  // where most draws do not fit
}

TEST_CASE("RandomErasing draws its box as torchvision does") {
  const auto check = [](int width, int height, const RandomErasing& transform) {
    check_law("erasing " + std::to_string(width) + ' ' + std::to_string(height), [&](Rng& rng) {
      return parameters(or_all(transform.draw(width, height, rng), width, height), width, height);
    });
  };
  check(224, 224, {});
  check(100, 40, {.scale = {0.1, 0.9}});
  check(80, 60, {.scale = {0.05, 0.2}, .ratio = {0.5, 4}});
}

TEST_CASE("RandomAffine draws turn, shift, scale and shear as torchvision does") {
  check_law("affine", [](Rng& rng) { return parameters(motion.draw(61, 47, rng)); });
}

TEST_CASE("RandomPerspective draws corners as torchvision does") {
  check_law("perspective", [](Rng& rng) {
    const auto to = RandomPerspective{.distortion_scale = 0.5}.draw(61, 47, rng);
    Draw draw;
    for (std::size_t i = 0; i < to.size(); ++i) {
      draw["x" + std::to_string(i)] = to[i].x;
      draw["y" + std::to_string(i)] = to[i].y;
    }
    return draw;
  });
}

TEST_CASE("ColorJitter draws factors and order as torchvision does") {
  std::map<int, int> orders;
  check_law("jitter", [&](Rng& rng) {
    const ColorJitter transform{.brightness = 0.4, .contrast = 1.5, .saturation = 0.2, .hue = 0.1};
    const auto factors = transform.draw(rng);
    int order = 0;
    for (const int step : factors.order) order = 10 * order + step;
    ++orders[order];
    return Draw{{"order", order},
                {"brightness", factors.brightness},
                {"contrast", factors.contrast},
                {"saturation", factors.saturation},
                {"hue", factors.hue}};
  });
  CHECK(orders.size() == 24);
  double chi_square = 0;
  const double expected = draws / 24.0;
  for (const auto& [order, count] : orders) chi_square += (count - expected) * (count - expected) / expected;
  CHECK(chi_square < 65);  // 23 degrees of freedom: exceeded once in 120 000
}

TEST_CASE("GaussianBlur draws its deviation as torchvision does") {
  check_law("blur", [](Rng& rng) { return Draw{{"sigma", GaussianBlur{}.draw(rng)}}; });
}

TEST_CASE("the test of laws tells near ones apart") {
  const auto far = [](const std::string& transform, const std::string& parameter, const auto& draw) {
    const auto columns = drawn([&](Rng& rng) { return Draw{{parameter, draw(rng)}}; });
    const auto law = std::ranges::find_if(golden["laws"], [&](const auto& item) {
      return item["transform"] == transform && item["parameter"] == parameter;
    });
    REQUIRE(law != golden["laws"].end());
    return distance(columns.at(parameter), *law) / limit();
  };
  // An aspect uniform itself, not its logarithm.
  CHECK(far("erasing 224 224", "aspect", [](Rng& rng) {
          const double aspect = rng.uniform(0.3, 3.3);
          const auto box = RandomErasing{.ratio = {aspect, aspect}}.draw(224, 224, rng);
          return static_cast<double>(box.width) / box.height;
        }) > 1.5);
  // Width and height exchanged.
  CHECK(far("erasing 80 60", "width", [](Rng& rng) {
          return static_cast<double>(RandomErasing{.scale = {0.05, 0.2}, .ratio = {0.25, 2}}.draw(80, 60, rng).width);
        }) > 1.5);
  CHECK(far("crop 550 400", "area", [](Rng& rng) {
          const auto part = RandomResizedCrop{.size = 8, .scale = {0.1, 1.0}}.draw(550, 400, rng);
          return static_cast<double>(part.width) * part.height;
        }) > 1.5);
  CHECK(far("affine", "shift_x", [](Rng& rng) { return rng.uniform(-6.1, 6.1); }) > 1.5);  // not whole
  CHECK(far("affine", "degrees", [](Rng& rng) { return rng.uniform(-10, 24); }) > 1.5);
  CHECK(far("affine", "scale", [](Rng& rng) { return std::exp(rng.uniform(std::log(0.7), std::log(1.4))); }) > 1.5);
  CHECK(far("perspective", "x1", [](Rng& rng) { return 60.0 - static_cast<double>(rng.below(15)); }) > 1.5);
  CHECK(far("jitter", "contrast", [](Rng& rng) { return std::max(0.0, rng.uniform(-0.5, 2.5)); }) > 1.5);
  CHECK(far("blur", "sigma", [](Rng& rng) { return 0.1 + 1.9 * std::pow(rng.uniform(), 1.1); }) > 1.5);
}

}  // namespace
}  // namespace sslmeme
