// Verdicts are those of the classifier, from any thread, with the nearest memes and what each modality says alone.
#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/calibration.hpp>
#include <sslmeme/eval/meme_scorer.hpp>
#include <sslmeme/eval/predict.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/train/load_classifier.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <thread>

#include "files.hpp"
#include "state.hpp"
#include "tiny_classifier.hpp"

namespace sslmeme {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using test::tiny_settings;
using test::TinyMemes;

std::vector<Sample> all_memes() {
  std::vector<Sample> memes;
  for (std::size_t i = 0; i < TinyMemes{}.size(); ++i) memes.push_back(TinyMemes{}.get(i));
  return memes;
}

/// One run for all cases that change nothing of it.
const std::filesystem::path& tiny_run() {
  static const test::TemporaryFolder folder;
  static const auto run = [] {
    test::train_tiny(folder / "run", test::tiny_classifier());
    return folder / "run";
  }();
  return run;
}

void check_same(const Verdict& a, const Verdict& b) {
  CHECK_THAT(a.logit, WithinAbs(b.logit, 1e-5));
  CHECK_THAT(a.probability, WithinAbs(b.probability, 1e-5));
  CHECK_THAT(*a.without_words, WithinAbs(*b.without_words, 1e-5));
  CHECK_THAT(*a.without_picture, WithinAbs(*b.without_picture, 1e-5));
  REQUIRE(a.nearest.size() == b.nearest.size());
  CHECK(a.nearest.front().id == b.nearest.front().id);
}

TEST_CASE("a scorer says of each meme what predict says, calibrated, one by one and in batches") {
  const MemeScorer scorer{tiny_run()};
  auto classifier = load_classifier(tiny_run());
  DataLoader loader{TinyMemes{},
                    scorer.views(),
                    {.batch_size = 5,
                     .shuffle = false,
                     .drop_last = false,
                     .tokenizer = scorer.tokenizer(),
                     .max_tokens = scorer.settings().max_tokens}};
  const auto expected = predict(classifier, loader);
  const auto memes = all_memes();
  const auto verdicts = scorer.score(memes);
  REQUIRE(verdicts.size() == memes.size());
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const auto& verdict = verdicts[i];
    CHECK_THAT(verdict.logit, WithinAbs(expected.logits[i], 1e-5));
    CHECK_THAT(verdict.probability, WithinAbs(1 / (1 + std::exp(-verdict.logit / tiny_settings.temperature)), 1e-9));
    CHECK(verdict.harmful == (verdict.probability >= tiny_settings.threshold));
    CHECK_THAT(verdict.reason, ContainsSubstring(verdict.harmful ? "harmful" : "harmless") &&
                                   ContainsSubstring("without the words") && ContainsSubstring("most similar"));
    check_same(scorer.score(memes[i].picture, memes[i].text), verdict);
  }
  loader.start_epoch(0);
  check_same(scorer.score(*loader.next()).at(3), verdicts[3]);
}

TEST_CASE("the threshold of a run gives way to that of the options") {
  const auto meme = TinyMemes{}.get(0);
  CHECK(MemeScorer{tiny_run(), {.threshold = 0.0}}.score(meme.picture, meme.text).harmful);
  CHECK_FALSE(MemeScorer{tiny_run(), {.threshold = 1.0}}.score(meme.picture, meme.text).harmful);
}

TEST_CASE("a bank that does not fit its memes or its classifier is refused") {
  const MemeScorer scorer{tiny_run()};
  const auto with = [&](const MemeBank& bank) {
    return MemeScorer{load_classifier(tiny_run()), scorer.tokenizer(), tiny_settings, bank};
  };
  CHECK_NOTHROW(with(scorer.bank()));
  auto fewer = scorer.bank();
  fewer.memes.pop_back();
  CHECK_THROWS_AS(with(fewer), InvalidArgument);
  CHECK_THROWS_AS(with({.image_background = scorer.bank().image_background}), InvalidArgument);
  auto bare = scorer.bank();
  bare.text_background = Tensor{};
  CHECK_THROWS_MATCHES(with(bare), InvalidArgument, MessageMatches(ContainsSubstring("background is (12, ")));
  auto narrow = scorer.bank();
  narrow.features = narrow.features.narrow(1, 0, 3);
  CHECK_THROWS_AS(with(narrow), InvalidArgument);
}

TEST_CASE("a modality is taken away by the mean over what background memes have in its place") {
  const MemeScorer whole{tiny_run()};
  // More rows than go through the head at once, as with a large bank.
  auto larger = whole.bank();
  const auto background = GENERATE(as<std::int64_t>{}, 12, 30);
  const auto rows = torch::arange(background) % 12;
  larger.image_background = larger.image_background.index_select(0, rows);
  larger.text_background = larger.text_background.index_select(0, rows);
  const MemeScorer scorer{load_classifier(tiny_run()), whole.tokenizer(), tiny_settings, larger};
  const auto memes = all_memes();
  const torch::NoGradGuard no_grad;
  const auto& classifier = scorer.classifier();
  const auto batch = scorer.prepare(memes);
  const auto image = classifier.image()->forward(batch.views[0]);
  const auto text = classifier.text()->forward(batch.tokens, batch.mask);
  const auto probability = [](const Tensor& logits) { return torch::sigmoid(logits / tiny_settings.temperature); };
  // The bank holds all twelve memes: each stands in for the words, or the picture, of every one.
  auto no_words = torch::zeros({image.size(0)}), no_picture = no_words.clone();
  for (std::int64_t k = 0; k < background; ++k) {
    const auto other = [&](const Tensor& x) { return x[k % 12].unsqueeze(0).expand_as(x); };
    no_words += probability(classifier.fusion()->forward(image, other(text))) / background;
    no_picture += probability(classifier.fusion()->forward(other(image), text)) / background;
  }
  const auto verdicts = scorer.score(memes);
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    CHECK_THAT(*verdicts[i].without_words, WithinAbs(no_words[row].item<double>(), 1e-5));
    CHECK_THAT(*verdicts[i].without_picture, WithinAbs(no_picture[row].item<double>(), 1e-5));
  }
  // Memes differ in what the picture says, which a constant would not show.
  CHECK((no_words.max() - no_words.min()).item<double>() > 1e-4);
}

TEST_CASE("the reason tells which modality says the same alone") {
  // Logits are those of one modality plus those of the other: linear heads of one feature each.
  struct Bright final : ImageBackbone {
    Bright() { register_parameter("weight", torch::ones({1})); }
    std::int64_t feature_dim() const override { return 1; }
    Tensor forward(const Tensor& images) override { return images.mean({1, 2, 3}).unsqueeze(1); }
  };
  struct Rose final : TextBackbone {
    Rose() { register_parameter("weight", torch::ones({1})); }
    std::int64_t feature_dim() const override { return 1; }
    Tensor forward(const Tensor& tokens, const Tensor&) override {
      return (tokens == 7).any(1, true).to(torch::kFloat) * 2 - 1;
    }
  };
  const auto reason = [](double picture_weight, double word_weight, float mean = 0) {
    Supervised classifier{std::make_shared<Bright>(),
                          std::make_shared<Rose>(),
                          {.fusion = {.kind = FusionKind::concat, .norm = FusionNorm::batch, .dim = 1, .layers = 0}}};
    const torch::NoGradGuard no_grad;
    for (auto& parameter : classifier.fusion()->named_parameters()) {
      if (parameter.key().ends_with("bias")) parameter.value().zero_();
      if (parameter.key().ends_with("linear.weight")) parameter.value().fill_(1);
    }
    classifier.fusion()->named_parameters()["mlp.0.weight"].copy_(torch::tensor({{picture_weight, word_weight}}));
    const MemeBank bank{torch::eye(2), torch::full({1, 1}, mean), torch::full({1, 1}, mean), {{1, 1}, {2, 0}}};
    const MemeScorer scorer{classifier, test::tiny_words(), {.size = 16, .max_tokens = 12}, bank};
    Image white{16, 16};
    std::ranges::fill(white.pixels, std::uint8_t{255});
    return scorer.score(white, "rose").reason;
  };
  CHECK_THAT(reason(2, 0), ContainsSubstring("harmful with") && ContainsSubstring("the picture alone says the same"));
  CHECK_THAT(reason(0, -2), ContainsSubstring("harmless with") && ContainsSubstring("the words alone say the same"));
  CHECK_THAT(reason(2, 2, 1), ContainsSubstring("either alone says the same"));  // the mean meme is harmful too
  CHECK_THAT(reason(2, 2, -4), ContainsSubstring("it takes both"));
  CHECK_THAT(reason(2, 2), ContainsSubstring("1 of the 2 most similar labelled memes are harmful"));
}

TEST_CASE("the nearest memes are those of highest cosine, a meme of the bank itself first") {
  const MemeScorer scorer{tiny_run(), {.nearest = 4}};
  const auto memes = all_memes();
  const auto verdicts = scorer.score(memes);
  const auto& features = scorer.bank().features;
  const auto cosines = torch::mm(features, features.t());
  for (std::size_t i = 0; i < memes.size(); ++i) {
    const auto& nearest = verdicts[i].nearest;
    REQUIRE(nearest.size() == 4);
    CHECK(nearest[0].id == memes[i].id);
    CHECK(nearest[0].label == *memes[i].label);
    CHECK(nearest[0].text == memes[i].text);
    CHECK(nearest[0].picture == TinyMemes{}.source(i));
    CHECK_THAT(nearest[0].cosine, WithinAbs(1, 1e-5));
    const auto expected = std::get<0>(cosines[static_cast<std::int64_t>(i)].sort(0, /*descending=*/true));
    for (std::int64_t k = 0; k < 4; ++k)
      CHECK_THAT(nearest[static_cast<std::size_t>(k)].cosine, WithinAbs(expected[k].item<double>(), 1e-5));
  }
  CHECK(MemeScorer{tiny_run(), {.nearest = 0}}.score(memes[0].picture, memes[0].text).nearest.empty());
  CHECK(MemeScorer{tiny_run(), {.nearest = 99}}.score(memes[0].picture, memes[0].text).nearest.size() == 12);
}

TEST_CASE("threads share a scorer") {
  const MemeScorer scorer{tiny_run()};
  const auto memes = all_memes();
  const auto expected = scorer.score(memes);
  std::vector<std::vector<Verdict>> found(4);
  std::vector<std::thread> threads;
  for (auto& verdicts : found) {
    threads.emplace_back([&verdicts, copy = scorer, &memes] {
      at::set_num_threads(1);
      for (const auto& meme : memes) verdicts.push_back(copy.score(meme.picture, meme.text));
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& verdicts : found) {
    REQUIRE(verdicts.size() == expected.size());
    for (std::size_t i = 0; i < verdicts.size(); ++i) check_same(verdicts[i], expected[i]);
  }
}

TEST_CASE("scoring leaves the caller's gradient mode and the classifier's as they are") {
  const MemeScorer scorer{tiny_run()};
  const auto meme = TinyMemes{}.get(0);
  scorer.score(meme.picture, meme.text);
  CHECK(torch::GradMode::is_enabled());
  CHECK_FALSE(scorer.classifier().module()->is_training());
}

TEST_CASE("a classifier of one modality does without the other") {
  const test::TemporaryFolder folder;
  const auto meme = TinyMemes{}.get(1);
  SECTION("words") {
    test::train_tiny(folder / "run", test::tiny_classifier(false, true));
    const MemeScorer scorer{folder / "run"};
    CHECK_FALSE(scorer.reads_pictures());
    const auto verdict = scorer.score(Image{}, meme.text);
    CHECK(verdict.logit == scorer.score(meme.picture, meme.text).logit);
    CHECK(verdict.logit != scorer.score(Image{}, "a red rose").logit);
    CHECK_FALSE(verdict.without_words);
    CHECK(verdict.nearest.front().text == meme.text);
  }
  SECTION("pictures") {
    test::train_tiny(folder / "run", test::tiny_classifier(true, false));
    const MemeScorer scorer{folder / "run"};
    CHECK_FALSE(scorer.reads_words());
    CHECK(scorer.score(meme.picture).logit == scorer.score(meme.picture, "a skunk").logit);
    CHECK_THROWS_MATCHES(scorer.score(Image{}, "a skunk"), InvalidArgument,
                         MessageMatches(ContainsSubstring("has no picture")));
  }
}

TEST_CASE("of many labelled memes the same few are drawn for any number of workers, in order") {
  auto classifier = test::tiny_classifier();
  const auto bank_of = [&](int workers, std::uint64_t seed) {
    return make_bank(classifier, TinyMemes{40}, test::tiny_words(), tiny_settings,
                     {.max_memes = 10, .seed = seed, .batch_size = 3, .workers = workers});
  };
  const auto bank = bank_of(0, 7), again = bank_of(2, 7), other = bank_of(0, 8);
  const auto ids_of = [](const MemeBank& some) {
    std::vector<std::int64_t> ids;
    for (const auto& meme : some.memes) ids.push_back(meme.id);
    return ids;
  };
  const auto ids = ids_of(bank);
  REQUIRE(ids.size() == 10);
  CHECK(std::ranges::is_sorted(ids));
  CHECK((ids == ids_of(again)));
  CHECK(torch::equal(bank.features, again.features));
  CHECK(torch::equal(bank.image_background, again.image_background));
  const auto few = make_bank(classifier, TinyMemes{40}, test::tiny_words(), tiny_settings,
                             {.max_memes = 10, .background = 4, .seed = 7});
  REQUIRE(few.text_background.size(0) == 4);
  // Background rows are rows of the same memes, as they come out of the encoders.
  const auto unit = [](const Tensor& x) { return x / x.norm(2, {1}, true); };
  const auto joint = torch::cat({unit(few.image_background), unit(few.text_background)}, 1) / std::sqrt(2.0);
  CHECK(torch::mm(joint, few.features.t()).amax(1).sub(1).abs().max().item<double>() < 1e-5);
  CHECK_THROWS_AS(make_bank(classifier, TinyMemes{}, test::tiny_words(), tiny_settings, {.background = 0}),
                  InvalidArgument);
  CHECK((ids != ids_of(other)));
  const auto lengths = bank.features.norm(2, {1});
  CHECK((lengths - 1).abs().max().item<double>() < 1e-6);
  CHECK(classifier.module()->is_training());
}

TEST_CASE("a bank leaves out memes that cannot be read where it is told to") {
  struct Damaged : TinyMemes {
    Sample get(std::size_t i) const {
      if (i == 3) throw PictureError(PictureFault::truncated, "img/3.png is damaged");
      return TinyMemes::get(i);
    }
  };
  auto classifier = test::tiny_classifier();
  const auto bank_of = [&](const AnyDataset& data, UnreadablePolicy policy) {
    return make_bank(classifier, data, test::tiny_words(), tiny_settings,
                     {.batch_size = 5, .workers = 1, .unreadable = {.policy = policy, .abort_above = 1}});
  };
  CHECK_THROWS_AS(bank_of(Damaged{}, UnreadablePolicy::fail), PictureError);
  CHECK_THROWS_AS(bank_of(Damaged{}, UnreadablePolicy::substitute), InvalidArgument);
  const auto bank = bank_of(Damaged{}, UnreadablePolicy::leave_out);
  const auto whole = bank_of(TinyMemes{}, UnreadablePolicy::fail);
  REQUIRE(bank.memes.size() == 11);
  REQUIRE(bank.features.size(0) == 11);
  CHECK(bank.memes[2].id == 102);
  CHECK(bank.memes[3].id == 104);
  CHECK(torch::allclose(bank.features[3], whole.features[4], 1e-4, 1e-5));
  CHECK(bank.image_background.isfinite().all().item<bool>());
}

TEST_CASE("a classifier is built again from its description") {
  const auto classifier = test::tiny_classifier();
  const auto again = supervised_from_json(classifier.describe());
  CHECK(again.describe() == classifier.describe());
  CHECK(load_classifier(tiny_run()).describe() == classifier.describe());
  CHECK(supervised_from_json(test::tiny_classifier(false, true).describe()).image() == nullptr);
  CHECK_THROWS_AS(supervised_from_json("{}"), DataError);
  CHECK_THROWS_AS(supervised_from_json(R"({"method": "dino"})"), DataError);
}

TEST_CASE("a run that cannot score says what to do") {
  const test::TemporaryFolder folder;
  const auto refuses = [&](const std::string& name, const std::string& part) {
    CHECK_THROWS_MATCHES(MemeScorer{folder / name}, Error, MessageMatches(ContainsSubstring(part)));
  };
  SECTION("no run at all") {
    refuses("nowhere", "nowhere is no run directory");
    CHECK_THROWS_AS(MemeScorer{folder / "nowhere"}, IoError);
  }
  SECTION("a pre-training") {
    folder.write("config.json", R"({"method": {"method": "modality_graph"}})");
    CHECK_THROWS_MATCHES(MemeScorer{folder.path}, InvalidArgument,
                         MessageMatches(ContainsSubstring("no fine-tuned run") &&
                                        ContainsSubstring("finetune --from " + folder.path.string())));
  }
  std::filesystem::copy(tiny_run(), folder / "run", std::filesystem::copy_options::recursive);
  SECTION("not trained to the end") {
    std::filesystem::remove(folder / "run/model.safetensors");
    refuses("run", "is not finished");
  }
  SECTION("not completed") {
    std::filesystem::remove(folder / "run/scorer.json");
    refuses("run", "finetune --resume");
  }
  SECTION("another file than was saved") {
    const auto* const name = GENERATE("bank.safetensors", "bank.jsonl", "vocab.txt", "model.safetensors");
    auto bytes = test::bytes_of(folder / "run" / name);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    folder.write(std::filesystem::path{"run"} / name, bytes);
    refuses("run", name);
  }
  SECTION("settings that are none") {
    folder.write("run/scorer.json", "{");
    refuses("run", "scorer.json");
  }
  SECTION("options") {
    CHECK_THROWS_AS((MemeScorer{tiny_run(), {.nearest = -1}}), InvalidArgument);
    CHECK_THROWS_AS((MemeScorer{tiny_run(), {.device = "gpu"}}), InvalidArgument);
  }
}

}  // namespace
}  // namespace sslmeme
