#include "support/paper_plan.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

namespace examples {
namespace {

using enum PictureEncoder;

/// What differs between scales.
struct Scale {
  int made_memes;
  std::array<int, 2> sizes;  ///< stand for 224 and 384 pixels
  const char *cnn, *vit, *text;
  std::int64_t picture_epochs, dino_epochs, pretrain_epochs, finetune_epochs;
  std::int64_t batch, max_tokens, least_steps;
  double lr;
  std::int64_t prototypes, dino_hidden;
  int locals;
};

// Networks of the same families as the paper's, in the sizes that a laptop, or a test, has time for.
constexpr Scale tiny{160,
                     {32, 48},
                     "resnet18:width=8,depth=1",
                     "vit_tiny_patch16_224:patch_size=8,width=48,depth=1",
                     "minilm_l6:width=48,depth=1,dropout=0,max_tokens=24",
                     1,
                     1,
                     1,
                     2,
                     16,
                     24,
                     10,
                     8e-4,
                     64,
                     64,
                     2};
constexpr Scale small{3000,
                      {48, 64},
                      "resnet18:width=16,depth=1",
                      "vit_tiny_patch16_224:patch_size=8,width=96,depth=2",
                      "minilm_l6:width=96,depth=2,dropout=0,max_tokens=24",
                      3,
                      3,
                      16,
                      10,
                      32,
                      24,
                      200,
                      8e-4,
                      1024,
                      256,
                      2};
constexpr Scale paper{
    0,     {224, 384}, "resnet50", "vit_base_patch16_224", "distilbert", 25, 25, 25, 25, 64, 64, 1000, 1e-4,
    65536, 2048,       8};

const Scale& scale_of(const std::string& name) {
  if (name == "tiny") return tiny;
  if (name == "small") return small;
  if (name == "paper") return paper;
  throw sm::InvalidArgument(fmt::format("no scale is called \"{}\": use tiny, small or paper", name));
}

/// Leaves out the rows, points and classifiers whose key is not to be kept.
template <class Keep>
void keep_rows(PaperPlan& plan, Keep keep) {
  for (auto& table : plan.tables) std::erase_if(table.rows, [&](const auto& row) { return !keep(row.classifier); });
  // A table shows rows of others beside its own, not alone.
  std::erase_if(plan.tables, [](const PaperTable& table) {
    return std::ranges::none_of(table.rows, [&](const auto& row) { return row.classifier.starts_with(table.key); });
  });
  std::erase_if(plan.label_points, [&](const auto& point) { return !keep(point.classifier); });
  std::erase_if(plan.experiment.classifiers, [&](const auto& fit) { return !keep(fit.key); });
}

/// Builds a plan; rows and pre-trainings are added once each.
class Planner {
 public:
  explicit Planner(const PaperOptions& options) : options_{options}, scale_{scale_of(options.scale)} {
    auto& e = plan_.experiment;
    const auto with_weights = [](std::string encoder, const std::string& file) {
      if (file.empty()) return encoder;
      return encoder + (encoder.find(':') == std::string::npos ? ":" : ",") + "weights=" + file;
    };
    e.cnn = with_weights(scale_.cnn, options.cnn_weights);
    e.vit = with_weights(scale_.vit, options.vit_weights);
    e.text = with_weights(scale_.text, options.text_weights);
    e.batch = scale_.batch;
    e.max_tokens = scale_.max_tokens;
    e.lr = scale_.lr;
    e.least_steps = scale_.least_steps;
    if (&scale_ != &paper) e.clip_projection = sm::ProjectionKind::mlp;
    e.dino_prototypes = scale_.prototypes;
    e.dino_hidden = scale_.dino_hidden;
    e.dino_locals = scale_.locals;
  }

  PaperPlan plan() {
    picture_tables();
    multimodal_table();
    controls();
    label_efficiency();
    if (options_.beyond) {
      fusion_heads();
      equal_compute();
    }
    return keep_wanted();
  }

 private:
  int large() const { return scale_.sizes[1]; }
  /// Which network stands for the paper's.
  std::string here(const char* encoder) const { return &scale_ == &paper ? "" : fmt::format(" (here {})", encoder); }
  std::string pixels(int which) const {
    constexpr std::array paper_sizes{224, 384};
    const auto i = static_cast<std::size_t>(which);
    const auto here = scale_.sizes[i] == paper_sizes[i] ? "" : fmt::format(" (here {})", scale_.sizes[i]);
    return fmt::format("{}{}", paper_sizes[i], here);
  }

  /// The key of a pre-training, which is added unless it is there.
  std::string pretrained(Pretraining method, const char* title, PictureEncoder encoder, int size, std::int64_t epochs,
                         const std::string& key) {
    auto& all = plan_.experiment.pretrainings;
    if (std::ranges::find(all, key, &PretrainFit::key) == all.end())
      all.push_back({key, title, method, encoder, size, epochs});
    return key;
  }
  std::string cass(int size) {
    return pretrained(Pretraining::cass, "CASS", vit, size, scale_.picture_epochs,
                      fmt::format("pretrain-cass-{}", size));
  }
  std::string dino(PictureEncoder encoder, int size) {
    return pretrained(Pretraining::dino, encoder == cnn ? "DINO (CNN)" : "DINO (ViT)", encoder, size,
                      scale_.dino_epochs, fmt::format("pretrain-dino-{}-{}", encoder == cnn ? "cnn" : "vit", size));
  }
  std::string clip() {
    return pretrained(Pretraining::clip, "CLIP", vit, large(), scale_.pretrain_epochs, "pretrain-clip");
  }
  std::string cass_mm() {
    return pretrained(Pretraining::cass_mm, "CASS-MM", vit, large(), scale_.pretrain_epochs, "pretrain-cass_mm");
  }

  /// Adds a classifier unless it is there, and gives its key.
  std::string classifier(FinetuneFit fit) {
    auto& all = plan_.experiment.classifiers;
    if (std::ranges::find(all, fit.key, &FinetuneFit::key) == all.end()) all.push_back(fit);
    return fit.key;
  }
  std::string memes(const std::string& key, const std::string& title, PictureEncoder picture, const std::string& from,
                    std::int64_t labels = 0) {
    return classifier({.key = key,
                       .title = title,
                       .picture = picture,
                       .from = from,
                       .labels = labels,
                       .size = large(),
                       .epochs = scale_.finetune_epochs});
  }

  /// Tables 1 and 2: pictures alone.
  void picture_tables() {
    static constexpr std::array published_cnn{
        std::array{0.5157, 0.081, 0.5175, 0.044}, std::array{0.5398, 0.091, 0.5435, 0.031},
        std::array{0.5129, 0.009, 0.5267, 0.055}, std::array{0.5116, 0.076, 0.511, 0.016},
        std::array{0.5405, 0.045, 0.5475, 0.015}, std::array{0.532, 0.033, 0.543, 0.056}};
    static constexpr std::array published_vit{
        std::array{0.51293, 0.043, 0.5235, 0.065}, std::array{0.5196, 0.051, 0.5545, 0.01},
        std::array{0.513, 0.077, 0.5195, 0.014},   std::array{0.5, 0.022, 0.545, 0.087},
        std::array{0.53386, 0.009, 0.59, 0.017},   std::array{0.5002, 0.011, 0.624, 0.071}};
    for (const auto encoder : {cnn, vit}) {
      PaperTable table{encoder == cnn ? "table1" : "table2",
                       encoder == cnn ? fmt::format("Table 1: ResNet-50{}, pictures alone", here(scale_.cnn))
                                      : fmt::format("Table 2: ViT-B/16{}, pictures alone", here(scale_.vit)),
                       {}};
      const auto& published = encoder == cnn ? published_cnn : published_vit;
      for (const auto which : {0, 1}) {
        const auto size = scale_.sizes[static_cast<std::size_t>(which)];
        const auto row = [&](const char* name, const char* title, const std::string& from) {
          const auto full_title = fmt::format("{} {}", title, pixels(which));
          table.rows.push_back({full_title,
                                classifier({.key = fmt::format("{}-{}-{}", table.key, name, size),
                                            .title = full_title,
                                            .picture = encoder,
                                            .words = false,
                                            .from = from,
                                            .size = size,
                                            .epochs = scale_.picture_epochs}),
                                published_figures(published[table.rows.size()])});
        };
        row("supervised", "supervised", "");
        row("cass", "CASS", cass(size));
        row("dino", "DINO", dino(encoder, size));
      }
      plan_.tables.push_back(std::move(table));
    }
  }

  void multimodal_table() {
    PaperTable table{"table3", fmt::format("Table 3: pictures and words, {} pixels", pixels(1)), {}};
    const auto row = [&](const char* name, const char* title, PictureEncoder picture, const std::string& from,
                         const std::array<double, 4>& published) {
      table.rows.push_back(
          {title, memes(std::string{"table3-"} + name, title, picture, from), published_figures(published)});
    };
    row("clip", "CLIP (ViT)", vit, clip(), {0.5761, 0.011, 0.5915, 0.031});
    row("cass_mm-vit", "CASS-MM (ViT)", vit, cass_mm(), {0.5518, 0.05, 0.6335, 0.012});
    row("cass_mm-cnn", "CASS-MM (ResNet)", cnn, cass_mm(), {0.5518, 0.05, 0.5817, 0.087});
    plan_.tables.push_back(std::move(table));
  }

  /// What the tables are to be read beside: no pre-training, and one modality alone for as long as both.
  void controls() {
    PaperTable table{"controls", "Controls, without pre-training", {}};
    const auto alone = [&](const char* key, const char* title, PictureEncoder picture, bool words) {
      table.rows.push_back({title, classifier({.key = key,
                                               .title = title,
                                               .picture = picture,
                                               .words = words,
                                               .size = large(),
                                               .epochs = scale_.finetune_epochs})});
    };
    alone("controls-picture", "picture only (ResNet)", cnn, false);
    alone("controls-words", "words only", none, true);
    alone("controls-both-cnn", "both (ResNet)", cnn, true);
    alone("controls-both-vit", "both (ViT)", vit, true);
    plan_.tables.push_back(std::move(table));
  }

  /// The same classifier, a ViT and a text encoder, from every pre-training and for every number of labels.
  void label_efficiency() {
    struct Start {
      const char *name, *title;
      std::string from, with_all;  ///< with_all: the classifier of another table that has all labels
    };
    const std::array starts{Start{"none", "none", "", "controls-both-vit"},
                            Start{"clip", "CLIP", clip(), "table3-clip"}, Start{"cass", "CASS", cass(large()), ""},
                            Start{"dino", "DINO", dino(vit, large()), ""},
                            Start{"cass_mm", "CASS-MM", cass_mm(), "table3-cass_mm-vit"}};
    for (const auto& start : starts) {
      const auto curve = fmt::format("labels-{}", start.name);
      const auto title = [&](std::int64_t n) { return fmt::format("{}, {} labels", start.title, n); };
      for (const std::int64_t n : {50, 200, 1000}) {
        if (n >= options_.memes || n > options_.most_labels) continue;
        plan_.label_points.push_back(
            {curve, start.title, n, memes(fmt::format("{}-{}", curve, n), title(n), vit, start.from, n)});
      }
      const auto all = start.with_all.empty()
                           ? memes(fmt::format("{}-all", curve), title(options_.memes), vit, start.from)
                           : start.with_all;
      plan_.label_points.push_back({curve, start.title, options_.memes, all});
    }
  }

  /// Every head, and one trained by retrieval too, on encoders that are fine-tuned with it, fresh or from every
  /// pre-training that reads words, and on frozen ones.
  void fusion_heads() {
    struct Start {
      const char *name, *title;
      std::string from;
      const char* tuned_align;  ///< the row of another table that is the same
    };
    const std::array starts{Start{"clip", "CLIP", clip(), "table3-clip"},
                            Start{"cass_mm", "CASS-MM", cass_mm(), "table3-cass_mm-vit"},
                            Start{"none", "no pre-training", "", "controls-both-vit"}};
    PaperTable table{"fusion", "Fusion heads by pre-training (ViT and words)", {}};
    const auto row = [&](const Start& start, bool frozen, const std::string& name, const char* kind, bool guided) {
      const auto title = fmt::format("{}, {}: {}", start.title, frozen ? "frozen" : "fine-tuned", name);
      if (!frozen && !guided && std::string_view{kind} == "align") {
        table.rows.push_back({title, start.tuned_align});
        return;
      }
      const auto key = fmt::format("fusion-{}-{}{}", start.name, guided ? "rgcl" : kind, frozen ? "" : "-tuned");
      table.rows.push_back({title, classifier({.key = key,
                                               .title = title,
                                               .picture = vit,
                                               .from = start.from,
                                               .fusion = sm::fusion_kind(kind),
                                               .frozen_encoders = frozen,
                                               .retrieval_guided = guided,
                                               .size = large(),
                                               .epochs = scale_.finetune_epochs})});
    };
    for (const bool frozen : {true, false}) {
      for (const auto& start : starts) {
        if (frozen && start.from.empty()) continue;  // nothing was learned that could be kept
        for (const auto* const kind : {"concat", "align", "cross", "cmaf"}) row(start, frozen, kind, kind, false);
        row(start, frozen, "align and RGCL", "align", true);
      }
    }
    plan_.tables.push_back(std::move(table));
  }

  /// CASS-MM runs three encoders where CLIP runs two: CLIP at half as many epochs again, and CASS-MM with nothing
  /// against collapse.
  void equal_compute() {
    PaperTable table{"compute", "CASS-MM beside CLIP at equal compute, and its reference", {}};
    const auto longer = pretrained(Pretraining::clip, "CLIP, 3/2 of the epochs", vit, large(),
                                   (scale_.pretrain_epochs * 3 + 1) / 2, "pretrain-clip-longer");
    const auto reference = pretrained(Pretraining::cass_mm_reference, "CASS-MM reference", vit, large(),
                                      scale_.pretrain_epochs, "pretrain-cass_mm_reference");
    const auto row = [&](const char* key, const char* title, const std::string& from) {
      table.rows.push_back({title, memes(key, title, vit, from)});
    };
    row("compute-clip", "CLIP, 3/2 of the epochs", longer);
    row("table3-cass_mm-vit", "CASS-MM (ViT)", cass_mm());
    row("compute-cass_mm_reference", "CASS-MM reference (ViT)", reference);
    plan_.tables.push_back(std::move(table));
  }

  /// The classifiers that one word of `only` names.
  std::set<std::string> keys_named(const std::string& begin) const {
    std::set<std::string> named;
    for (const auto& key : keys_of(plan_)) {
      if (key.starts_with(begin)) named.insert(key);
    }
    for (const auto& table : plan_.tables) {
      if (table.key != begin) continue;
      for (const auto& row : table.rows) named.insert(row.classifier);
    }
    for (const auto& point : plan_.label_points) {
      if (point.key.starts_with(begin)) named.insert(point.classifier);
    }
    return named;
  }

  [[noreturn]] void refuse(const std::string& begin) const {
    if (!options_.beyond) {
      auto more = options_;
      more.only.clear();
      more.beyond = true;
      for (const auto& key : keys_of(Planner{more}.plan())) {
        if (key.starts_with(begin))
          throw sm::InvalidArgument(fmt::format("the rows of \"{}\" are there with --beyond alone", begin));
      }
    }
    throw sm::InvalidArgument(
        fmt::format("no row begins with \"{}\"; the rows: {}", begin, fmt::join(keys_of(plan_), " ")));
  }

  static Published published_figures(const std::array<double, 4>& p) { return {{p[0], p[1], 2}, {p[2], p[3], 2}}; }

  /// Leaves out what --only does not name, and pre-trainings that nothing starts from.
  PaperPlan keep_wanted() {
    if (options_.only.empty()) return plan_;
    std::set<std::string> wanted;
    for (const auto& begin : options_.only) {
      const auto named = keys_named(begin);
      if (named.empty()) refuse(begin);
      wanted.insert(named.begin(), named.end());
    }
    keep_rows(plan_, [&](const std::string& key) { return wanted.contains(key); });
    std::set<std::string> needed;
    for (const auto& fit : plan_.experiment.classifiers) needed.insert(fit.from);
    std::erase_if(plan_.experiment.pretrainings, [&](const auto& fit) { return !needed.contains(fit.key); });
    return plan_;
  }

  const PaperOptions& options_;
  const Scale& scale_;
  PaperPlan plan_;
};

}  // namespace

int made_memes_of(const std::string& scale) {
  return scale_of(scale).made_memes;
}

PaperPlan paper_plan(const PaperOptions& options) {
  return Planner{options}.plan();
}

PaperPlan complete_part(PaperPlan plan) {
  const auto every_seed_left = [&plan](const std::string& key, const char* file) {
    for (int seed = 0; seed < plan.seeds; ++seed) {
      if (!std::filesystem::exists(fit_folder(plan.experiment, seed, key) / file)) return false;
    }
    return true;
  };
  keep_rows(plan, [&](const std::string& key) { return every_seed_left(key, "scorer.json"); });
  std::erase_if(plan.experiment.pretrainings,
                [&](const auto& fit) { return !every_seed_left(fit.key, "model.safetensors"); });
  return plan;
}

std::vector<std::string> keys_of(const PaperPlan& plan) {
  std::vector<std::string> keys;
  for (const auto& fit : plan.experiment.classifiers) keys.push_back(fit.key);
  return keys;
}

}  // namespace examples
