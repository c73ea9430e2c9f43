// pretrain_cass_mm: CASS-MM, CASS extended to words: a CNN, a ViT and a text encoder teach each other; labels are not
// used.
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/train/checkpoint.hpp>
#include <sslmeme/train/progress.hpp>
#include <sslmeme/train/trainer.hpp>

#include "support/cli.hpp"

int main(int argc, char** argv) {
  using namespace examples;
  CLI::App app{"Pre-trains a CNN, a ViT and a text encoder on each other (CASS-MM), without labels.",
               "pretrain_cass_mm"};
  TrainingArguments arguments;
  arguments.add_to(app);
  std::string cnn = "resnet50", vit = "vit_small_patch16_224", text = "minilm_l6";
  bool reference = false;
  app.add_option("--cnn", cnn, "convolutional encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--vit", vit, "transformer encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--text", text, "text encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_flag("--reference", reference, "cosine on all three edges, nothing against collapse");
  sm::CassMmOptions options;
  app.add_option("--picture-weight", options.picture_weight, "of the edge CNN-ViT")->capture_default_str();
  app.add_option("--text-weight", options.text_weight, "of each edge to the words")->capture_default_str();
  app.add_flag("--mask-duplicates", options.loss.mask_duplicates,
               "equal captions in a batch are no negatives of each other");
  app.footer(
      "Example:\n  pretrain_cass_mm --data memes --out runs/cass_mm --size 64 --cnn resnet18:width=32 --vit "
      "vit_tiny_patch16_224:patch_size=8,depth=4");

  return run_program(app, argc, argv, [&] {
    const sm::MemeJsonl data{arguments.data, arguments.split};
    const auto tokenizer = arguments.tokenizer(data);
    const sm::ImageEncoderOptions encoder{.image_size = arguments.size, .seed = arguments.seed};
    options.seed = arguments.seed;
    const auto recipe = reference ? sm::cass_mm_reference : sm::cass_mm;
    auto method = recipe(
        parse_image_encoder(cnn, encoder), parse_image_encoder(vit, encoder),
        parse_text_encoder(text, {.vocabulary_size = tokenizer->vocabulary_size(), .seed = arguments.seed}), options);
    sm::DataLoader loader{data, sm::train_views({.size = arguments.size}), arguments.loader(tokenizer)};
    sm::Trainer{method, arguments.trainer()}.fit(loader, VocabularyKeeper{tokenizer}, sm::ProgressBar{"cass-mm"},
                                                 sm::Checkpoint{});
  });
}
