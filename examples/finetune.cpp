// finetune: trains a harmful-meme classifier on labels, from pre-trained or fresh encoders, and measures it.
#include <sslmeme/eval/meme_scorer.hpp>
#include <sslmeme/method/supervised.hpp>

#include "support/cli.hpp"
#include "support/experiment.hpp"
#include "support/guided.hpp"
#include "support/training.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <optional>

namespace {

using namespace examples;

struct Arguments : TrainingArguments {
  std::string from, image_node = "image", text_node = "text", modality = "both", fusion = "align",
                    fusion_norm = "batch";
  double fusion_dropout = 0.1;
  std::string image = "vit_small_patch16_224", text = "minilm_l6", dev = "dev_seen", test = "test_seen";
  std::vector<std::string> also;
  bool freeze = false;
  std::int64_t patience = 0, bank = 10'000;
  GuidedArguments guided;
};

void add_options(CLI::App& app, Arguments& a) {
  a.add_to(app);
  app.add_option("--from", a.from, "run directory of a pre-training; without it encoders start fresh");
  app.add_option("--image-node", a.image_node,
                 "node of --from for the pictures (clip: image; cass, cass-mm: cnn or vit)")
      ->capture_default_str();
  app.add_option("--text-node", a.text_node, "node of --from for the words")->capture_default_str();
  app.add_option("--image", a.image, "fresh picture encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--text", a.text, "fresh text encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--modality", a.modality)->check(CLI::IsMember({"both", "picture", "words"}))->capture_default_str();
  app.add_option("--fusion", a.fusion, "concat, align, cross or cmaf")->capture_default_str();
  app.add_option("--fusion-norm", a.fusion_norm, "batch learns from fresh encoders, l2 is as published")
      ->check(CLI::IsMember({"batch", "l2"}))
      ->capture_default_str();
  app.add_option("--fusion-dropout", a.fusion_dropout, "of the fused features; 0.4 as published for frozen encoders")
      ->capture_default_str();
  app.add_option("--dev", a.dev, "split to tune threshold and temperature on")->capture_default_str();
  app.add_option("--test", a.test, "split to measure")->capture_default_str();
  app.add_option("--also", a.also, "further splits to measure, or to score where they lack labels")->delimiter(',');
  app.add_option("--patience", a.patience, "stop after so many epochs without a better AUROC on --dev; 0 never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--bank", a.bank, "so many training memes are kept as examples for score_memes to compare with")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--freeze", a.freeze, "train the fusion head alone");
  a.guided.add_to(app);
  app.footer(
      "Example:\n  finetune --data memes --out runs/clip-ft --from runs/clip --size 64 --epochs 10\n"
      "  finetune --data memes --out runs/rgcl --from runs/clip --size 64 --fusion cmaf --freeze --rgcl");
}

/// The encoders that the modality asks for; a null one is not used.
struct Encoders {
  sm::ImageEncoder image;
  sm::TextEncoder text;
  Words words;  ///< of the text encoder
};

Encoders encoders(const Arguments& a, const sm::AnyDataset& train_split) {
  Encoders made;
  if (a.modality != "words") {
    made.image = a.from.empty() ? parse_image_encoder(a.image, {.image_size = a.size, .seed = a.seed})
                                : sm::load_image_encoder(a.from, a.image_node);
  }
  if (a.modality == "picture") {
    made.words = a.words({}, train_split);
  } else if (a.from.empty()) {
    made.words = a.words(a.text, train_split);
    made.text =
        parse_text_encoder(a.text, {.vocabulary_size = made.words.tokenizer->vocabulary_size(), .seed = a.seed});
  } else {
    made.text = sm::load_text_encoder(a.from, a.text_node);
    made.words = a.words_of(*made.text, a.from);
  }
  return made;
}

void report(const RunResults& results) {
  const auto line = [&](const std::string& split, const SplitFigures& figures) {
    if (!figures.evaluation) {
      std::cout << fmt::format("{}: {} memes scored, not all with labels of both classes\n", split, figures.n);
      return;
    }
    const auto& e = *figures.evaluation;
    std::cout << fmt::format("{}: AUROC {:.4f}, accuracy {:.4f} at 0.5, {:.4f} at {:.3f} (tuned on {}), {} memes\n",
                             split, e.auroc, e.accuracy, e.tuned_accuracy, e.threshold, results.dev, figures.n);
  };
  line(results.test, results.splits.at(results.test));
  for (const auto& [name, figures] : results.splits) {
    if (name != results.test && name != results.dev) line(name, figures);
  }
  if (!results.temperature_note.empty())
    std::cerr << "finetune: probabilities are as the classifier gives them: " << results.temperature_note << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a harmful-meme classifier on labels and measures it.", "finetune"};
  Arguments a;
  add_options(app, a);

  return run_program(app, argc, argv, [&] {
    a.join_ranks();
    const auto opened = a.dataset();
    const auto& train_split = opened.data;
    const auto splits = open_splits(a, a.dev, a.test, a.also);
    const auto made = encoders(a, train_split);
    const auto& tokenizer = made.words.tokenizer;
    const auto norm = a.fusion_norm == "l2" ? sm::FusionNorm::l2 : sm::FusionNorm::batch;
    sm::Supervised classifier{made.image,
                              made.text,
                              {.fusion = {.kind = sm::fusion_kind(a.fusion),
                                          .norm = norm,
                                          .fusion_dropout = a.fusion_dropout,
                                          .seed = a.seed},
                               .train_encoders = !a.freeze}};
    const Preparation preparation{a.size, tokenizer, a.max_tokens};
    sm::DataLoader loader{train_split, sm::train_views({.size = a.size}), a.loader(opened, tokenizer)};
    const auto dev_auroc = [&] {
      auto dev = evaluation_loader(splits.all.front().data, preparation);
      const auto predictions = sm::predict(classifier, dev);
      return sm::evaluate(predictions, predictions).auroc;
    };
    const auto patience = a.patience > 0 ? a.patience : a.epochs;
    const VocabularyKeeper vocabulary{made.words};
    const ForgetResults forget;
    const sm::EarlyStopping stop{.metric = "dev_auroc", .measure = dev_auroc, .patience = patience};
    std::optional<Guided> guided;
    if (a.guided.rgcl) {
      guided = guide(classifier, train_split, preparation, a.guided);
      examples::train(guided->method, a, loader, "finetune", vocabulary, forget, guided->remember, stop);
    } else {
      examples::train(classifier, a, loader, "finetune", vocabulary, forget, stop);
    }
    if (a.ranks && a.ranks->rank() != 0) return;  // one measures for all
    const auto results = measure_run(classifier, splits, preparation, a.out, {a.split, a.from});
    sm::save_scorer(a.out, classifier, train_split, tokenizer,
                    {a.size, a.max_tokens, results.threshold, results.temperature, results.temperature_note},
                    {.max_memes = a.bank, .seed = a.seed, .workers = a.workers, .unreadable = a.unreadable_of_bank()},
                    std::filesystem::path{a.out} / made.words.file());
    report(results);
    if (guided) {
      const auto k = a.guided.neighbours;
      const auto votes = measure_votes(guided->method, splits, preparation, a.out, k);
      std::cout << fmt::format(
          "{}: by the vote of {} neighbours AUROC {:.4f}, accuracy {:.4f} at 0.5, {:.4f} at {:.3f}\n", splits.test, k,
          votes.auroc, votes.accuracy, votes.tuned_accuracy, votes.threshold);
    }
  });
}
