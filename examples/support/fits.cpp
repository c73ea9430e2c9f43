#include "support/fits.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/eval/meme_scorer.hpp>
#include <sslmeme/method/dino.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/train/checkpoint.hpp>
#include <sslmeme/train/trainer.hpp>

#include "support/cli.hpp"
#include "support/experiment.hpp"
#include "support/guided.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <span>
#include <utility>

namespace examples {
namespace {

namespace fs = std::filesystem;

/// `n` positions of `data`, half of each class, drawn by `seed`.
std::vector<std::size_t> some_of_each_class(const sm::AnyDataset& data, std::int64_t n, std::uint64_t seed) {
  std::vector<std::size_t> order(data.size()), chosen;
  std::iota(order.begin(), order.end(), 0);
  sm::Rng{seed}.shuffle(std::span{order});
  std::array<std::int64_t, 2> left{n / 2, n - n / 2};
  for (const auto i : order) {
    const auto label = data.label(i).value_or(-1);
    if (label != 0 && label != 1) continue;
    if (left[static_cast<std::size_t>(label)]-- > 0) chosen.push_back(i);
  }
  if (std::ssize(chosen) != n) {
    throw sm::InvalidArgument(fmt::format(
        "{} memes, half of each class, are wanted to learn from; the split has {} of them", n, chosen.size()));
  }
  return chosen;
}

/// Encoders as a seed's fits begin with them: at random, or from their files.
sm::ImageEncoder fresh_picture_encoder(const Experiment& e, PictureEncoder which, int size, std::uint64_t seed) {
  const bool cnn = which == PictureEncoder::cnn;
  return parse_image_encoder(
      cnn ? e.cnn : e.vit,
      {.image_size = size, .seed = sm::derive_seed({seed, cnn ? 1U : 2U}), .dynamic_img_size = !cnn});
}
sm::TextEncoder fresh_text_encoder(const Experiment& e, std::int64_t vocabulary_size, std::uint64_t seed) {
  return parse_text_encoder(e.text, {.vocabulary_size = vocabulary_size, .seed = sm::derive_seed({seed, 3})});
}

/// One seed's run through all fits.
class SeedRun {
 public:
  SeedRun(const Experiment& experiment, int seed, SeedProgress& progress)
      : experiment_{experiment},
        seed_{static_cast<std::uint64_t>(seed)},
        number_{seed},
        progress_{progress},
        train_{experiment.data.open_split(experiment.train)},
        pool_{experiment.data.open_split(experiment.pretraining_split())},
        splits_{open_splits(experiment.data, experiment.dev, experiment.test, experiment.also)} {
    at::set_num_threads(experiment.threads);
    tokenizer_ = experiment.vocabulary.empty()
                     ? train_tokenizer(train_.data)
                     : std::make_shared<const sm::WordPiece>(sm::WordPiece::from_file(experiment.vocabulary));
    progress.fits_total = static_cast<int>(experiment.pretrainings.size() + experiment.classifiers.size());
  }

  void run() {
    for (const auto& fit : experiment_.pretrainings) {
      progress_.begin_fit(fit.title);
      if (!fs::exists(folder(fit.key) / "model.safetensors")) pretrain(fit);
      ++progress_.fits_done;
    }
    for (const auto& fit : experiment_.classifiers) {
      progress_.begin_fit(fit.title);
      if (!fs::exists(folder(fit.key) / "scorer.json")) finetune(fit);  // written last
      ++progress_.fits_done;
    }
  }

 private:
  fs::path folder(const std::string& key) const { return fit_folder(experiment_, number_, key); }

  sm::ImageEncoder picture_encoder(PictureEncoder which, int size) const {
    return fresh_picture_encoder(experiment_, which, size, seed_);
  }
  sm::TextEncoder text_encoder() const { return fresh_text_encoder(experiment_, tokenizer_->vocabulary_size(), seed_); }

  sm::TrainerOptions trainer(std::int64_t epochs, const std::string& key) const {
    return {.epochs = epochs,
            .optimizer = sm::AdamW{.lr = experiment_.lr, .weight_decay = experiment_.weight_decay},
            .schedule = sm::WarmupCosine{.warmup = sm::Epochs{1}},
            .precision = experiment_.precision,
            .clip_norm = 1,
            .seed = seed_,
            .device = experiment_.device,
            .output_dir = folder(key),
            .existing = experiment_.checkpoints ? sm::ExistingRun::resume : sm::ExistingRun::overwrite};
  }

  sm::DataLoader loader(const OpenSplit& split, sm::Views views, std::int64_t batch) const {
    return {split.data,
            std::move(views),
            {.batch_size = batch,
             .workers = experiment_.workers,
             .seed = seed_,
             .tokenizer = tokenizer_,
             .max_tokens = experiment_.max_tokens,
             .sampler = shard_order(split),
             .unreadable = {.policy = sm::UnreadablePolicy::substitute},
             .pin_memory = experiment_.device.starts_with("cuda")}};
  }

  template <class M, class... Callbacks>
  void train(const M& method, const sm::TrainerOptions& options, sm::DataLoader batches, Callbacks... callbacks) {
    constexpr std::int64_t most_checkpoints = 30;  // epochs of few memes are too short to save each
    const auto interval = (options.epochs + most_checkpoints - 1) / most_checkpoints;
    sm::Trainer{method, options}.fit(batches, VocabularyKeeper{{tokenizer_}}, callbacks...,
                                     ProgressReporter{&progress_},
                                     sm::Checkpoint{.every_epochs = experiment_.checkpoints ? interval : 0, .keep = 1});
  }

  void pretrain(const PretrainFit& fit) {
    const auto options = trainer(fit.epochs, fit.key);
    const auto batches = [&](sm::Views views) { return loader(pool_, std::move(views), experiment_.batch); };
    const auto cnn = [&] { return picture_encoder(PictureEncoder::cnn, fit.size); };
    const auto vit = [&] { return picture_encoder(PictureEncoder::vit, fit.size); };
    const auto gentle = sm::train_views({.size = fit.size});
    switch (fit.method) {
      case Pretraining::clip:
        return train(sm::clip(picture_encoder(fit.encoder, fit.size), text_encoder(),
                              {.projection = experiment_.clip_projection, .seed = seed_}),
                     options, batches(gentle));
      case Pretraining::cass:
        return train(sm::cass(cnn(), vit(), {.seed = seed_}), options, batches(sm::cass_views({.size = fit.size})));
      case Pretraining::cass_mm:
        return train(sm::cass_mm(cnn(), vit(), text_encoder(), {.seed = seed_}), options, batches(gentle));
      case Pretraining::cass_mm_reference:
        return train(sm::cass_mm_reference(cnn(), vit(), text_encoder()), options, batches(gentle));
      case Pretraining::dino:
        return pretrain_dino(fit, options);
    }
  }

  void pretrain_dino(const PretrainFit& fit, sm::TrainerOptions options) {
    sm::DinoMethodOptions dino{.head = {.prototypes = experiment_.dino_prototypes,
                                        .hidden = experiment_.dino_hidden,
                                        .batch_norm = true,
                                        .seed = seed_},
                               .loss = {.prototypes = experiment_.dino_prototypes},
                               .views = 2 + experiment_.dino_locals};
    auto& optimizer = std::get<sm::AdamW>(options.optimizer);
    optimizer.weight_decay = 0.04;
    optimizer.final_weight_decay = 0.4;
    options.clip_norm = 3;
    options.clip_scope = sm::ClipScope::each;
    // 96 of 224 pixels as published, and a whole number of the patches of any ViT here.
    const auto local_size = std::max(1, fit.size * 3 / 7 / 16) * 16;
    train(sm::dino(picture_encoder(fit.encoder, fit.size), dino), options,
          loader(pool_,
                 sm::dino_views({.global_size = fit.size, .local_size = local_size, .locals = experiment_.dino_locals}),
                 experiment_.batch));
  }

  void finetune(const FinetuneFit& fit) {
    auto classifier = make_classifier(fit);
    const auto split = fit.labels == 0 ? train_ : few_labels(fit.labels);
    const auto& data = split.data;
    const auto samples = static_cast<std::int64_t>(data.size());
    const auto batch = std::min(experiment_.batch, samples), steps = samples / batch;
    const auto epochs = std::max(fit.epochs, (experiment_.least_steps + steps - 1) / steps);
    const Preparation preparation{fit.size, tokenizer_, experiment_.max_tokens};
    auto batches = loader(split, sm::train_views({.size = fit.size}), batch);
    if (fit.retrieval_guided) {
      const GuidedArguments defaults;
      const auto guided = guide(classifier, data, preparation, defaults);
      train(guided.method, trainer(epochs, fit.key), std::move(batches), guided.remember);
      measure_votes(guided.method, splits_, preparation, folder(fit.key), defaults.neighbours);
    } else {
      train(classifier, trainer(epochs, fit.key), std::move(batches));
    }
    const auto results = measure_run(classifier, splits_, preparation, folder(fit.key),
                                     {experiment_.train, fit.from.empty() ? "" : folder(fit.from).string()});
    sm::save_scorer(
        folder(fit.key), classifier, data, tokenizer_,
        {fit.size, experiment_.max_tokens, results.threshold, results.temperature, results.temperature_note},
        {.max_memes = experiment_.bank, .seed = seed_, .workers = experiment_.workers, .unreadable = left_out_of_bank});
  }

  OpenSplit few_labels(std::int64_t labels) const {
    return {.name = train_.name, .data = sm::Subset{train_.data, some_of_each_class(train_.data, labels, seed_)}};
  }

  sm::Supervised make_classifier(const FinetuneFit& fit) const {
    return {picture_encoder_of(fit),
            text_encoder_of(fit),
            {.fusion = {.kind = fit.fusion,
                        .norm = sm::FusionNorm::batch,
                        .dim = experiment_.fusion_dim,
                        .fusion_dropout = 0.1,
                        .seed = sm::derive_seed({seed_, 4})},
             .train_encoders = !fit.frozen_encoders}};
  }

  sm::ImageEncoder picture_encoder_of(const FinetuneFit& fit) const {
    if (fit.picture == PictureEncoder::none) return nullptr;
    if (fit.from.empty()) return picture_encoder(fit.picture, fit.size);
    const auto method = pretraining(fit.from).method;
    const auto* const node = method == Pretraining::clip          ? "image"
                             : method == Pretraining::dino        ? "teacher"
                             : fit.picture == PictureEncoder::cnn ? "cnn"
                                                                  : "vit";
    return sm::load_image_encoder(folder(fit.from), node);
  }
  /// Fresh after a pre-training that reads no words.
  sm::TextEncoder text_encoder_of(const FinetuneFit& fit) const {
    if (!fit.words) return nullptr;
    if (fit.from.empty()) return text_encoder();
    const auto method = pretraining(fit.from).method;
    const bool reads = method != Pretraining::cass && method != Pretraining::dino;
    return reads ? sm::load_text_encoder(folder(fit.from), "text") : text_encoder();
  }
  const PretrainFit& pretraining(const std::string& key) const {
    const auto found = std::ranges::find(experiment_.pretrainings, key, &PretrainFit::key);
    if (found == experiment_.pretrainings.end())
      throw sm::InvalidArgument(fmt::format("the experiment has no pre-training \"{}\"", key));
    return *found;
  }

  const Experiment& experiment_;
  std::uint64_t seed_;  ///< number_, for options
  int number_;
  SeedProgress& progress_;
  OpenSplit train_, pool_;
  MeasuredSplits splits_;
  std::shared_ptr<const sm::WordPiece> tokenizer_;
};

}  // namespace

UsedEncoders used_encoders(const Experiment& experiment) {
  UsedEncoders used;
  const auto add = [&](PictureEncoder picture, bool words) {
    used.cnn = used.cnn || picture == PictureEncoder::cnn;
    used.vit = used.vit || picture == PictureEncoder::vit;
    used.text = used.text || words;
  };
  for (const auto& fit : experiment.pretrainings) {
    const bool words = fit.method != Pretraining::cass && fit.method != Pretraining::dino;
    if (fit.method == Pretraining::clip || fit.method == Pretraining::dino) {
      add(fit.encoder, words);
    } else {
      add(PictureEncoder::cnn, words);
      add(PictureEncoder::vit, words);
    }
  }
  for (const auto& fit : experiment.classifiers) add(fit.picture, fit.words);
  return used;
}

void check_encoders(const Experiment& experiment) {
  const auto used = used_encoders(experiment);
  const auto size = experiment.classifiers.front().size;
  if (used.cnn) fresh_picture_encoder(experiment, PictureEncoder::cnn, size, 0);
  if (used.vit) fresh_picture_encoder(experiment, PictureEncoder::vit, size, 0);
  if (!used.text) return;
  constexpr std::int64_t any = 100;  // a vocabulary that is trained fits its encoder
  const auto tokens =
      experiment.vocabulary.empty() ? any : sm::WordPiece::from_file(experiment.vocabulary).vocabulary_size();
  fresh_text_encoder(experiment, tokens, 0);
}

fs::path fit_folder(const Experiment& experiment, int seed, const std::string& key) {
  return experiment.out / fmt::format("seed-{}", seed) / key;
}

void run_seed(const Experiment& experiment, int seed, SeedProgress& progress) {
  SeedRun{experiment, seed, progress}.run();
}

}  // namespace examples
