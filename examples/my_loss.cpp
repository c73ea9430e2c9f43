// my_loss: a loss of one's own in twenty lines (align_uniform.hpp), trained through Siamese. Copy both to start.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/method/siamese.hpp>
#include <sslmeme/testing/loss_contract.hpp>
#include <sslmeme/train/progress.hpp>
#include <sslmeme/train/trainer.hpp>

#include "align_uniform.hpp"
#include "support/cli.hpp"
#include "support/data.hpp"

#include <sstream>

namespace sm = sslmeme;

// [check]
/// Throws unless the loss keeps the contract of pair losses: 0-d, finite, the right gradient, and the claims made here.
void check(const AlignUniform& loss) {
  const auto report = sm::testing::check_pair_loss(loss, {.scale_invariant = true});
  std::ostringstream text;
  text << report;
  if (!report) throw sm::Error(text.str());
}
// [/check]

int main(int argc, char** argv) {
  CLI::App app{"Trains a picture encoder with a loss of your own (alignment + uniformity), without labels.", "my_loss"};
  examples::DataArguments memes;
  std::string split = "train", encoder = "resnet18:width=16,depth=1";
  std::int64_t epochs = 2, batch = 32;
  int size = 64;
  AlignUniform loss;
  app.add_option("--data", memes.data, "folder of memes, in the Hateful Memes layout or one that --layout names")
      ->required();
  memes.add_layout_to(app);
  app.add_option("--split", split, "split to train on")->capture_default_str();
  app.add_option("--epochs", epochs)->capture_default_str();
  app.add_option("--batch", batch, "samples a batch")->capture_default_str();
  app.add_option("--size", size, "pixels of both edges")->capture_default_str();
  app.add_option("--encoder", encoder, "picture encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--uniform-weight", loss.uniform_weight, "weight of the uniformity term")->capture_default_str();
  app.footer("Example:\n  my_loss --data memes --split train --epochs 2 --size 64");

  return examples::run_program(app, argc, argv, [&] {
    check(loss);
    const auto data = memes.open(split);
    // [train]
    sm::DataLoader loader{data, sm::cass_views({.size = size}), {.batch_size = batch}};
    const sm::Siamese method{examples::parse_image_encoder(encoder, {.image_size = size}), sm::projection({.out = 128}),
                             loss};
    sm::Trainer{method, {.epochs = epochs}}.fit(loader, sm::ProgressBar{"my_loss"});
    // [/train]
  });
}
