// The code of docs/reference/fusion.md, run.
#include <sslmeme/eval/neighbour_vote.hpp>
#include <sslmeme/method/retrieval_guided.hpp>
#include <sslmeme/train/between_epochs.hpp>
#include <sslmeme/train/checkpoint.hpp>
#include <sslmeme/train/trainer.hpp>

#include <catch2/catch_test_macros.hpp>

#include "files.hpp"
#include "xor_memes.hpp"

namespace sm = sslmeme;
using namespace sm::test;

TEST_CASE("Training guided by retrieval and the vote of neighbours are as the page shows them") {
  const auto words = xor_words();
  const auto image = sm::image_encoder("resnet18", {.width = 2, .depth = 1});
  const auto text = std::make_shared<Words>(words->vocabulary_size());
  const XorMemes train{.count = 32};
  const TemporaryFolder temporary;
  const sm::TrainerOptions options{.epochs = 1, .output_dir = temporary / "run"};
  const sm::LoaderOptions every_meme{
      .batch_size = 16, .workers = 0, .shuffle = false, .drop_last = false, .tokenizer = words, .max_tokens = 12};
  sm::DataLoader loader{
      train, sm::train_views({.size = 32}), {.batch_size = 16, .workers = 0, .tokenizer = words, .max_tokens = 12}};
  // [train]
  sm::Supervised classifier{image, text, {.fusion = {.kind = sm::FusionKind::cmaf}}};
  sm::RetrievalGuided guided{classifier, {.memory = static_cast<std::int64_t>(train.size())}};
  const auto remember = [&] {
    sm::DataLoader whole{train, sm::eval_views({.size = 32}), every_meme};
    guided.remember(sm::embed(classifier, whole));
  };
  sm::Trainer{guided, options}.fit(loader, sm::BetweenEpochs{remember}, sm::Checkpoint{});
  // [/train]
  sm::DataLoader dev{XorMemes{.count = 12, .seed = 1}, sm::eval_views({.size = 32}), every_meme};
  // [vote]
  const auto by_logit = sm::predict(classifier, dev);
  const auto by_neighbours = sm::predict_by_vote(guided, dev, {.k = 20});
  // [/vote]
  CHECK(by_logit.ids == by_neighbours.ids);
  CHECK(by_neighbours.scores.size() == 12);
}
