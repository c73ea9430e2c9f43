// pretrain_cass: CASS (arXiv:2206.04170) on the pictures of a meme folder; neither words nor labels are used.
#include <sslmeme/method/recipes.hpp>

#include "support/cli.hpp"
#include "support/training.hpp"

int main(int argc, char** argv) {
  using namespace examples;
  CLI::App app{"Pre-trains a CNN and a ViT on each other's view of the same picture (CASS), without labels.",
               "pretrain_cass"};
  TrainingArguments arguments;
  arguments.add_to(app);
  std::string cnn = "resnet50", vit = "vit_small_patch16_224";
  sm::CassOptions options;
  bool reference = false;
  app.add_option("--cnn", cnn, "convolutional encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--vit", vit, "transformer encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--contrast", options.contrast, "weight of the term against collapse")->capture_default_str();
  app.add_flag("--reference", reference, "as published: cosine alone on 1000 logits; may collapse");
  app.footer(
      "Example:\n  pretrain_cass --data memes --out runs/cass --size 64 --cnn resnet18:width=32 --vit "
      "vit_tiny_patch16_224:patch_size=8,depth=4");

  return run_program(app, argc, argv, [&] {
    const auto data = arguments.dataset();
    const sm::ImageEncoderOptions encoder{
        .image_size = arguments.size, .num_classes = reference ? 1000 : 0, .seed = arguments.seed};
    options.seed = arguments.seed;
    auto method = reference ? sm::cass_reference(parse_image_encoder(cnn, encoder), parse_image_encoder(vit, encoder))
                            : sm::cass(parse_image_encoder(cnn, encoder), parse_image_encoder(vit, encoder), options);
    sm::DataLoader loader{data, sm::cass_views({.size = arguments.size}), arguments.loader()};
    train(method, arguments, loader, "cass");
  });
}
