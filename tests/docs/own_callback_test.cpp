// The callback of docs/extend/callback.md, tried on a real run.
#include <sslmeme/data/loader.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/method/siamese.hpp>
#include <sslmeme/train/trainer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

namespace sm = sslmeme;

namespace {

// [callback]
/// Ends training when the mean loss of an epoch has not fallen by `least` for `patience` epochs.
struct EarlyStop {
  int patience = 3;
  double least = 1e-3;

  sm::Flow on_epoch_end(const sm::StepInfo& info) {
    if (info.mean_loss < best - least) {
      best = info.mean_loss;
      waited = 0;
    } else {
      ++waited;
    }
    return waited < patience ? sm::Flow::proceed : sm::Flow::stop;
  }

  double best = std::numeric_limits<double>::infinity();
  int waited = 0;
};
static_assert(sm::Callback<EarlyStop>);
// [/callback]

// [dataset]
/// Plain pictures of growing brightness, made on the fly.
struct Greys {
  std::size_t size() const { return 8; }
  sm::Sample get(std::size_t i) const {
    sm::Image picture{32, 32};
    for (auto& pixel : picture.pixels) pixel = static_cast<std::uint8_t>(i * 16);
    return {.picture = std::move(picture), .text = "", .label = {}, .id = static_cast<std::int64_t>(i)};
  }
};
static_assert(sm::Dataset<Greys>);
// [/dataset]

TEST_CASE("a callback that says stop ends the run after that epoch") {
  sm::DataLoader loader{Greys{}, sm::eval_views({.size = 32}), {.batch_size = 4, .workers = 0}};
  const sm::Siamese method{sm::image_encoder("resnet18", {.width = 8, .depth = 1}), sm::projection({.out = 8}),
                           sm::InfoNce{}};
  // A learning rate of zero: nothing is learned, so the loss does not fall.
  const auto result = sm::Trainer{method, {.epochs = 20, .optimizer = sm::AdamW{.lr = 0}}}.fit(
      loader, EarlyStop{.patience = 2, .least = 10});
  CHECK(result.stopped);
  CHECK(result.history.size() == 3);  // the first epoch sets the best, two more are waited for
}

}  // namespace
