#include "support/demo_fits.hpp"

#include <sslmeme/core/random.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/train/trainer.hpp>

#include "support/cli.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>

namespace examples {
namespace {

// Small members of both families, so that the demo ends in minutes on two cores: same code as their big siblings.
constexpr const char* cnn_name = "resnet18";
constexpr const char* vit_name = "vit_tiny_patch16_224";
constexpr const char* text_name = "minilm_l6";
constexpr std::int64_t max_tokens = 24;

/// One seed's run through all fits.
class SeedRun {
 public:
  SeedRun(const DemoOptions& options, int seed, SeedProgress& progress)
      : options_{options}, seed_{static_cast<std::uint64_t>(seed)}, number_{seed}, progress_{progress} {
    at::set_num_threads(1);
    DataArguments memes;
    memes.data = (options.out / "memes").string();
    memes.layout = "memes";
    train_ = memes.open("train");
    splits_ = open_splits(memes, "dev_seen", "test_seen", {"test_unseen"});
    tokenizer_ = train_tokenizer(*train_);
    progress.fits_total = static_cast<int>(2 + demo_rows().size());
  }

  void run() {
    pretrain(
        "clip", [&] { return sm::clip(vit(), text(), {.seed = seed_}); }, sm::train_views({.size = options_.size}));
    pretrain(
        "cass_mm", [&] { return sm::cass_mm(cnn(), vit(), text(), {.seed = seed_}); },
        sm::train_views({.size = options_.size}));
    for (const auto& row : demo_rows()) finetune(row);
  }

 private:
  sm::ImageEncoder cnn() const {
    return sm::image_encoder(cnn_name, {.width = 16, .depth = 1, .seed = sm::derive_seed({seed_, 1})});
  }
  sm::ImageEncoder vit() const {
    return sm::image_encoder(
        vit_name,
        {.image_size = options_.size, .patch_size = 8, .width = 96, .depth = 2, .seed = sm::derive_seed({seed_, 2})});
  }
  sm::TextEncoder text() const {
    return sm::text_encoder(text_name, {.vocabulary_size = tokenizer_->vocabulary_size(),
                                        .max_tokens = max_tokens,
                                        .width = 96,
                                        .depth = 2,
                                        .dropout = 0,
                                        .seed = sm::derive_seed({seed_, 3})});
  }

  sm::TrainerOptions trainer(std::int64_t epochs, const std::filesystem::path& out) const {
    return {.epochs = epochs,
            .optimizer = sm::AdamW{.lr = options_.lr, .weight_decay = 0.05},
            .schedule = sm::WarmupCosine{.warmup = sm::Epochs{1}},
            .precision = sm::Precision::fp32,
            .clip_norm = 1,
            .seed = seed_,
            .output_dir = out,
            .existing = sm::ExistingRun::overwrite};
  }

  sm::DataLoader loader(sm::Views views) const {
    return {
        *train_,
        std::move(views),
        {.batch_size = options_.batch, .workers = 1, .seed = seed_, .tokenizer = tokenizer_, .max_tokens = max_tokens}};
  }

  template <class Make>
  void pretrain(const std::string& name, Make make, sm::Views views) {
    progress_.begin_fit(name);
    const auto out = fit_folder(options_, number_, name);
    if (!std::filesystem::exists(out / "model.safetensors")) {
      auto batches = loader(std::move(views));
      auto method = make();
      sm::Trainer{method, trainer(options_.pretrain_epochs, out)}.fit(batches, VocabularyKeeper{tokenizer_},
                                                                      ProgressReporter{&progress_});
    }
    ++progress_.fits_done;
  }

  void finetune(const DemoRow& row) {
    progress_.begin_fit(row.title);
    const auto out = fit_folder(options_, number_, row.key);
    if (!std::filesystem::exists(out / "results.json")) {
      auto classifier = make_classifier(row);
      auto batches = loader(sm::train_views({.size = options_.size}));
      sm::Trainer{classifier, trainer(options_.finetune_epochs, out)}.fit(batches, VocabularyKeeper{tokenizer_},
                                                                          ProgressReporter{&progress_});
      measure_run(classifier, splits_, {options_.size, tokenizer_, max_tokens}, out);
    }
    ++progress_.fits_done;
  }

  sm::Supervised make_classifier(const DemoRow& row) const {
    const bool fresh = row.from.empty();
    const auto run = fit_folder(options_, number_, row.from);
    const auto image_encoder = !row.picture ? nullptr : fresh ? cnn() : sm::load_image_encoder(run, row.node);
    const auto text_encoder = !row.words ? nullptr : fresh ? text() : sm::load_text_encoder(run, "text");
    return {image_encoder,
            text_encoder,
            {.fusion = {.kind = sm::FusionKind::align,
                        .norm = sm::FusionNorm::batch,
                        .dim = 128,
                        .fusion_dropout = 0.1,
                        .seed = sm::derive_seed({seed_, 4})}}};
  }

  DemoOptions options_;
  std::uint64_t seed_;  ///< number_, for options
  int number_;
  SeedProgress& progress_;
  std::optional<sm::AnyDataset> train_;
  MeasuredSplits splits_;
  std::shared_ptr<const sm::WordPiece> tokenizer_;
};

}  // namespace

const std::vector<DemoRow>& demo_rows() {
  static const std::vector<DemoRow> rows{{"supervised_picture", "supervised, picture only", true, false, "", ""},
                                         {"supervised_words", "supervised, words only", false, true, "", ""},
                                         {"supervised_both", "supervised, both", true, true, "", ""},
                                         {"clip_vit", "CLIP (ViT)", true, true, "clip", "image"},
                                         {"cass_mm_vit", "CASS-MM (ViT)", true, true, "cass_mm", "vit"},
                                         {"cass_mm_cnn", "CASS-MM (ResNet)", true, true, "cass_mm", "cnn"}};
  return rows;
}

void run_demo_seed(const DemoOptions& options, int seed, SeedProgress& progress) {
  SeedRun{options, seed, progress}.run();
}

std::filesystem::path fit_folder(const DemoOptions& options, int seed, const std::string& key) {
  return options.out / fmt::format("seed-{}", seed) / key;
}

}  // namespace examples
