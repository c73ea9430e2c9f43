// pretrain_clip: CLIP (arXiv:2103.00020) on the pictures and words of a meme folder; labels are not used.
#include <sslmeme/method/recipes.hpp>

#include "support/cli.hpp"
#include "support/training.hpp"

int main(int argc, char** argv) {
  using namespace examples;
  CLI::App app{"Pre-trains a picture and a text encoder with CLIP's contrastive loss, without labels.",
               "pretrain_clip"};
  TrainingArguments arguments;
  arguments.add_to(app);
  std::string image = "vit_small_patch16_224", text = "minilm_l6";
  app.add_option("--image", image, "picture encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--text", text, "text encoder, NAME[:key=value,…]")->capture_default_str();
  bool mlp = false;
  app.add_flag("--mlp", mlp, "MLP projections: learn faster from fresh encoders");
  bool mask_duplicates = false;
  app.add_flag("--mask-duplicates", mask_duplicates, "equal captions in a batch are no negatives of each other");
  app.footer(
      "Example:\n  pretrain_clip --data memes --out runs/clip --size 64 --image "
      "vit_tiny_patch16_224:patch_size=8,depth=4 --epochs 5\n"
      "  pretrain_clip --data memes --out runs/clip --image ViT-B-32:weights=clip.safetensors --text "
      "ViT-B-32:weights=clip.safetensors --vocab bpe_simple_vocab_16e6.txt.gz");

  return run_program(app, argc, argv, [&] {
    arguments.join_ranks();
    const auto split = arguments.dataset();
    const auto words = arguments.words(text, split.data);
    auto method = sm::clip(
        parse_image_encoder(image, {.image_size = arguments.size, .seed = arguments.seed}),
        parse_text_encoder(text, {.vocabulary_size = words.tokenizer->vocabulary_size(), .seed = arguments.seed}),
        {.projection = mlp ? sm::ProjectionKind::mlp : sm::ProjectionKind::linear,
         .loss = {.mask_duplicates = mask_duplicates},
         .seed = arguments.seed,
         .gather = {arguments.ranks}});
    sm::DataLoader loader{split.data, sm::train_views({.size = arguments.size}),
                          arguments.loader(split, words.tokenizer)};
    train(method, arguments, loader, "clip", VocabularyKeeper{words});
  });
}
