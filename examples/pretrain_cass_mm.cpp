// pretrain_cass_mm: CASS-MM, CASS extended to words: a CNN, a ViT and a text encoder teach each other; labels are not
// used.
#include <sslmeme/method/recipes.hpp>

#include "support/cli.hpp"
#include "support/training.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace examples;

/// An option whose values are the names of `choices`.
template <class T>
CLI::Option* add_choice(CLI::App& app, const std::string& option, T& value, const std::map<std::string, T>& choices,
                        const std::string& description) {
  std::set<std::string> names;
  std::string now;
  for (const auto& [name, choice] : choices) {
    names.insert(name);
    if (choice == value) now = name;
  }
  const auto choose = [&value, choices](const std::string& name) { value = choices.at(name); };
  return app.add_option_function<std::string>(option, choose, description)
      ->check(CLI::IsMember(names))
      ->default_str(now);
}

/// The options --NAME-loss, --NAME-weight and --NAME-gradient.
void add_edge(CLI::App& app, const std::string& name, const std::string& which, sm::CassMmEdge& edge, double& weight,
              const std::vector<CLI::Option*>& excluded) {
  const auto excludes = [&](CLI::Option* option) {
    for (auto* const other : excluded) option->excludes(other);
  };
  excludes(add_choice(app, "--" + name + "-loss", edge.loss,
                      {{"cosine", sm::EdgeLoss::cosine},
                       {"info_nce", sm::EdgeLoss::info_nce},
                       {"vicreg", sm::EdgeLoss::vicreg},
                       {"barlow_twins", sm::EdgeLoss::barlow_twins}},
                      "loss of the edge " + which));
  excludes(app.add_option("--" + name + "-weight", weight, "its weight")->capture_default_str());
  excludes(add_choice(app, "--" + name + "-gradient", edge.gradient,
                      {{"both", sm::EdgeGradient::both},
                       {"first", sm::EdgeGradient::first},
                       {"second", sm::EdgeGradient::second},
                       {"predicted", sm::EdgeGradient::predicted}},
                      "which end learns; predicted: each predicts the other, which does not"));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Pre-trains a CNN, a ViT and a text encoder on each other (CASS-MM), without labels.",
               "pretrain_cass_mm"};
  TrainingArguments arguments;
  arguments.add_to(app);
  std::string cnn = "resnet50", vit = "vit_small_patch16_224", text = "minilm_l6";
  bool reference = false, fused = false;
  app.add_option("--cnn", cnn, "convolutional encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--vit", vit, "transformer encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--text", text, "text encoder, NAME[:key=value,…]")->capture_default_str();
  sm::CassMmOptions options;
  sm::CassMmFusedOptions of_fused;
  auto* const all_cosine =
      app.add_flag("--reference", reference, "cosine on all three edges, nothing against collapse");
  auto* const whole_memes =
      app.add_flag("--fused", fused, "CNN and words against ViT and words: one edge, which is as --text-* says")
          ->excludes(all_cosine);
  double picture_weight = options.picture.weight.at({}), text_weight = options.text.weight.at({});
  add_edge(app, "picture", "CNN-ViT", options.picture, picture_weight, {all_cosine, whole_memes});
  add_edge(app, "text", "picture-text, each of the two", options.text, text_weight, {all_cosine});
  add_choice(app, "--projection", options.projection,
             {{"linear", sm::ProjectionKind::linear},
              {"mlp", sm::ProjectionKind::mlp},
              {"residual", sm::ProjectionKind::residual}},
             "head of each node; mlp ends in a BatchNorm");
  const auto* const dropout = app.add_option("--modality-dropout", options.modality_dropout,
                                             "share of samples that miss a node [0; 0.5 with --fused]");
  app.add_flag("--mask-duplicates", options.loss.mask_duplicates,
               "equal captions in a batch are no negatives of each other; whole memes, as --fused compares, differ by "
               "their pictures")
      ->excludes(whole_memes);
  app.footer(
      "Example:\n  pretrain_cass_mm --data memes --out runs/cass_mm --size 64 --cnn resnet18:width=32 --vit "
      "vit_tiny_patch16_224:patch_size=8,depth=4");

  return run_program(app, argc, argv, [&] {
    arguments.join_ranks();
    const auto split = arguments.dataset();
    const auto words = arguments.words(text, split.data);
    const sm::ImageEncoderOptions encoder{.image_size = arguments.size, .seed = arguments.seed};
    options.seed = of_fused.seed = arguments.seed;
    options.gather = of_fused.gather = {arguments.ranks};
    options.picture.weight = picture_weight;
    options.text.weight = text_weight;
    if (reference) {
      options.picture = sm::CassMmOptions::reference().picture;
      options.text = sm::CassMmOptions::reference().text;
    }
    if (*dropout) of_fused.modality_dropout = options.modality_dropout;
    of_fused.edge = options.text;
    of_fused.loss = options.loss;
    of_fused.projection = options.projection;
    const auto image_of = [&](const std::string& name) { return parse_image_encoder(name, encoder); };
    const auto reader =
        parse_text_encoder(text, {.vocabulary_size = words.tokenizer->vocabulary_size(), .seed = arguments.seed});
    auto method = fused ? sm::cass_mm_fused(image_of(cnn), image_of(vit), reader, of_fused)
                        : sm::cass_mm(image_of(cnn), image_of(vit), reader, options);
    sm::DataLoader loader{split.data, sm::train_views({.size = arguments.size}),
                          arguments.loader(split, words.tokenizer)};
    train(method, arguments, loader, "cass-mm", VocabularyKeeper{words});
  });
}
